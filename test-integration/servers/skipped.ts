/** No server: why not, and the command that would cure it, in one sentence for the test report. */
export interface Skipped {
  skipped: string;
}

/** Whether `taken` is no server but the reason for its absence. */
export function isSkipped(taken: object): taken is Skipped {
  return 'skipped' in taken;
}

/** The reason, returned; with CI=true it is thrown, for there a missing server is a failure. */
export function skip(skipped: string): Skipped {
  if (process.env['CI'] === 'true') throw new Error(skipped);
  return { skipped };
}
