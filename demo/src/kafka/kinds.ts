import { kafkaRequest } from '@outlast/test-integration/faults';
import type { Quota } from '../drill.js';
import type { StrikeKind } from '../strikes.js';

const SWALLOWED = 'sends stored, replies swallowed';
const BEFORE = 'sends cut before the broker got them';

/** How many of each a lane must have met. */
export const QUOTAS: readonly Quota[] = [
  { name: SWALLOWED, least: 100 },
  { name: BEFORE, least: 20 },
];

const bytes = kafkaRequest('produce');

export const KINDS: readonly StrikeKind[] = [
  { bytes, fault: 'cut-after', weight: 75, counts: [SWALLOWED] },
  { bytes, fault: 'cut-before', weight: 25, counts: [BEFORE] },
];
