import type { Quota } from '../drill.js';
import type { StrikeKind } from '../strikes.js';

const BEFORE = 'writes cut before the server got them';
const AFTER = 'writes executed, answer lost';
const COMMITS = 'COMMITs lost';
const MIDDLE = 'transactions cut in the middle';
const LATE = 'of them held back for 1.2 s';

/** How many of each a lane must have met. */
export const QUOTAS: readonly Quota[] = [
  { name: AFTER, least: 20 },
  { name: BEFORE, least: 20 },
  { name: COMMITS, least: 5 },
  { name: LATE, least: 1 },
  { name: MIDDLE, least: 1 },
];

const COMMIT = '\x03COMMIT';
const holdMs = 1_200;

export const KINDS: readonly StrikeKind[] = [
  { bytes: "'write'", fault: 'cut-before', weight: 30, counts: [BEFORE] },
  { bytes: "'write'", fault: 'cut-after', weight: 30, counts: [AFTER] },
  { bytes: COMMIT, fault: 'cut-before', weight: 10, counts: [COMMITS] },
  { bytes: COMMIT, fault: 'cut-after', weight: 14, counts: [COMMITS] },
  { bytes: COMMIT, fault: 'hold', weight: 6, counts: [COMMITS, LATE], holdMs },
  { bytes: "'transaction'", fault: 'cut-before', weight: 10, counts: [MIDDLE] },
];
