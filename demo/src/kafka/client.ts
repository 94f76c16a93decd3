import type { Message } from 'kafkajs';

/** What the application of a lane works with. */
export interface Client {
  send(topic: string, messages: Message[]): Promise<unknown>;
  end(): Promise<unknown>;
}

/** Where a lane finds its broker, and who it says it is. */
export interface Address {
  readonly brokers: string[];
  readonly username: string;
  readonly password: string;
}
