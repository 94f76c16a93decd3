import { printable } from './printable.js';

/** What stands for every name after the first `most`. */
export const OTHER = 'other';

const LONGEST_LABEL = 100;

/**
 * Turns names into label values: without secrets, at most 100 characters, and only so many of them.
 * A name made of a user's id would otherwise be a series for every user.
 */
export class LabelBound {
  private readonly most: number;
  private readonly labels = new Set<string>();
  // Names by what they were turned into: redacting is dearer than counting. As bounded as the labels.
  private readonly seen = new Map<string, string>();

  constructor(most: number) {
    this.most = most;
  }

  /** The label of a name; what is no text is `unknown`. */
  of(name: unknown): string {
    if (typeof name !== 'string') return 'unknown';
    const known = this.seen.get(name);
    if (known !== undefined) return known;
    const label = printable(name, LONGEST_LABEL);
    if (!this.labels.has(label)) {
      if (this.labels.size >= this.most) return OTHER;
      this.labels.add(label);
    }
    if (this.seen.size < this.most) this.seen.set(name, label);
    return label;
  }
}
