/** Of a command that may run again whatever its name: what is in it runs once. */
export const REPEATABLE: unique symbol = Symbol('outlast.repeatable');

declare module './driver.js' {
  interface Command {
    [REPEATABLE]?: boolean;
  }
}
