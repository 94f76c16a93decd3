import type { Quota } from '../drill.js';
import type { StrikeKind } from '../strikes.js';
import { wire } from './keys.js';

const AFTER = 'writes executed, answers swallowed';
const BEFORE = 'writes cut before the server got them';
const EXECS = 'EXECs whose answer was swallowed';
const SCRIPTS = '“exactly once” cut, before or after';

/** How many of each a lane must have met. */
export const QUOTAS: readonly Quota[] = [
  { name: AFTER, least: 20 },
  { name: BEFORE, least: 20 },
  { name: EXECS, least: 5 },
  { name: SCRIPTS, least: 5 },
];

// a lane without the way “exactly once” writes plainly instead, under the same keys
export const KINDS: readonly StrikeKind[] = [
  { bytes: wire('write'), fault: 'swallow', weight: 38, counts: [AFTER] },
  { bytes: wire('write'), fault: 'cut-before', weight: 36, counts: [BEFORE] },
  { bytes: wire('transaction'), fault: 'swallow', weight: 12, counts: [EXECS] },
  { bytes: wire('exactly once'), fault: 'swallow', weight: 8, counts: [SCRIPTS] },
  { bytes: wire('exactly once'), fault: 'cut-before', weight: 6, counts: [SCRIPTS] },
];
