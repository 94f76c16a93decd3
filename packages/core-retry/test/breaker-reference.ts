/** The options that the reference machine knows; a rule that is not given is off. */
export interface ReferenceOptions {
  readonly failureThreshold?: number;
  readonly failureRate?: number;
  readonly slowCallRate?: number;
  readonly slowCallMs?: number;
  readonly windowCalls?: number;
  readonly windowMs?: number;
  readonly minimumCalls?: number;
  readonly resetTimeoutMs: number;
  readonly openTimeoutIncrementFactor: number;
  readonly maxOpenTimeoutMs: number;
  readonly halfOpenMaxCalls: number;
  readonly successThreshold: number;
  readonly probeLeaseMs: number;
}

export interface Admitted {
  readonly life: number;
  readonly at: number;
}

/** A circuit breaker as the design's text tells it, the plain way: a log of calls, looked through each time. */
export class ReferenceBreaker {
  now = 0;
  held: 'closed' | 'open' | 'half-open' = 'closed';
  isolations = 0;
  openMs: number;
  successes = 0;
  private readonly options: ReferenceOptions;
  private life = 0;
  private row = 0;
  private trips = 0;
  private until = 0;
  private calls: { at: number; failed: boolean; slow: boolean }[] = [];
  private probes = new Set<Admitted>();

  constructor(options: ReferenceOptions) {
    this.options = options;
    this.openMs = options.resetTimeoutMs;
  }

  get state(): string {
    if (this.isolations > 0) return 'isolated';
    return this.held === 'open' && this.left === 0 ? 'half-open' : this.held;
  }
  get left(): number {
    return Math.max(0, this.until - this.now);
  }
  get failures(): number {
    const { windowCalls, windowMs } = this.options;
    const windowed = windowCalls !== undefined || windowMs !== undefined;
    return windowed ? this.window.filter((call) => call.failed).length : this.row;
  }
  get probing(): number {
    return [...this.probes].filter((probe) => this.leased(probe)).length;
  }

  admit(): Admitted | undefined {
    if (this.isolations > 0 || (this.held === 'open' && this.left > 0)) return undefined;
    if (this.held === 'open') this.enter('half-open');
    if (this.held === 'half-open' && this.probing >= this.options.halfOpenMaxCalls)
      return undefined;
    const call = { life: this.life, at: this.now };
    if (this.held === 'half-open') this.probes.add(call);
    return call;
  }

  end(call: Admitted, vote: 'success' | 'failure' | 'none', hintMs = 0): void {
    if (call.life !== this.life) return;
    const probe = this.probes.delete(call);
    if (vote === 'none' || (probe && !this.leased(call))) return;
    const failed = vote === 'failure';
    if (probe && !failed) {
      this.successes += 1;
      if (this.successes >= this.options.successThreshold) this.close();
      return;
    }
    this.row = failed ? this.row + 1 : 0;
    const slow = this.now - call.at >= (this.options.slowCallMs ?? Infinity);
    this.calls.push({ at: this.now, failed, slow });
    if (probe || this.ill()) this.open(hintMs);
  }

  close(): void {
    this.enter('closed');
    [this.row, this.trips, this.openMs] = [0, 0, this.options.resetTimeoutMs];
  }

  /** Goes on in another process, whose time of day is `jumpMs` ahead. */
  restore(jumpMs: number): void {
    const left = this.held === 'open' ? this.left : 0;
    this.isolations = 0;
    if (this.held === 'closed') this.openMs = this.options.resetTimeoutMs;
    else this.until = this.now + Math.min(this.openMs, Math.max(0, left - jumpMs));
    this.enter(this.held === 'closed' ? 'closed' : 'open');
  }

  private get window() {
    const { windowCalls = Infinity, windowMs = Infinity } = this.options;
    return this.calls.slice(-windowCalls).filter(({ at }) => this.now - at < windowMs);
  }
  private ill(): boolean {
    const { failureRate = 9, slowCallRate = 9 } = this.options;
    const { failureThreshold = failureRate === 9 ? 5 : Infinity } = this.options;
    const calls = this.window;
    const share = (key: 'failed' | 'slow') =>
      calls.filter((call) => call[key]).length / calls.length;
    const judged = calls.length >= (this.options.minimumCalls ?? Infinity);
    const rated = share('failed') >= failureRate || share('slow') >= slowCallRate;
    return this.row >= failureThreshold || (judged && rated);
  }
  private open(hintMs: number): void {
    const { resetTimeoutMs, openTimeoutIncrementFactor, maxOpenTimeoutMs } = this.options;
    const grown = resetTimeoutMs * openTimeoutIncrementFactor ** this.trips;
    this.trips += 1;
    this.openMs = Math.min(Math.max(grown, hintMs), maxOpenTimeoutMs);
    this.until = this.now + this.openMs;
    this.enter('open');
  }
  private leased(probe: Admitted): boolean {
    return this.now - probe.at < this.options.probeLeaseMs;
  }
  private enter(state: 'closed' | 'open' | 'half-open'): void {
    this.held = state;
    this.life += 1;
    this.successes = 0;
    this.calls = [];
    this.probes.clear();
  }
}
