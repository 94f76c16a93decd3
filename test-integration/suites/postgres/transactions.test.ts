import { describe } from 'vitest';
import { openLab } from '../support/postgres-lab.js';
import { contentionCases } from './transaction/contention-cases.js';
import { endCases } from './transaction/end-cases.js';
import { optionCases } from './transaction/option-cases.js';
import { replayCases } from './transaction/replay-cases.js';
import { savepointCases } from './transaction/savepoint-cases.js';

const lab = await openLab({ log: 'all', own: true, settings: { deadlock_timeout: '50ms' } });

describe.skipIf(lab.reason)(`a transaction ${lab.reason}`, () => {
  lab.use();
  replayCases(lab);
  optionCases(lab);
  endCases(lab);
  contentionCases(lab);
  savepointCases(lab);
});
