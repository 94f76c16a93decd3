const KEPT = 512;

/** When the latest connections of a pool were opened. */
export class Openings {
  private readonly times: { readonly serial: number; readonly at: number }[] = [];

  /** @param at monotonic milliseconds */
  add(serial: number, at: number): void {
    this.times.push({ serial, at });
    if (this.times.length > KEPT) this.times.shift();
  }

  /** Whether a connection newer than `serial` was opened before `until`, or that is no longer known. */
  between(serial: number, until: number): boolean {
    const oldest = this.times[0];
    if (oldest !== undefined && oldest.serial > serial + 1) return true;
    return this.times.some((opening) => opening.serial > serial && opening.at < until);
  }
}
