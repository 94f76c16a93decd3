/** What the application of a lane works with. */
export interface Client {
  get(key: string): Promise<string | null>;
  incr(key: string): Promise<number>;
  rpush(key: string, value: string): Promise<number>;
  /** INCR that takes place once, however often it is sent under this id; undefined where there is no such thing. */
  incrOnce?(id: string, key: string): Promise<number>;
  /** INCR and RPUSH, both or none. */
  transaction(counter: string, list: string, value: string): Promise<void>;
  end(): void;
}
