/** Everything that this process writes to its terminal, kept so that it can be searched afterwards. */
export class Recorder {
  #text = '';

  constructor() {
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
      stream.write = ((...args: unknown[]) => {
        this.#text += String(args[0]);
        return write(...args);
      }) as typeof stream.write;
    }
  }

  get text(): string {
    return this.#text;
  }
}
