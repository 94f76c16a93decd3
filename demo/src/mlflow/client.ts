/** What the application of a lane works with: fetches version 1 of a model into a folder that is new. */
export interface Client {
  /** @returns the folder that holds the model's files */
  fetch(model: string, into: string): Promise<string>;
  end(): void;
}
