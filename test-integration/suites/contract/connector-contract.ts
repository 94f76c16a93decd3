import type { Contract } from './contract.js';
import { cutCases } from './cut-cases.js';
import { describeWith } from './fixture.js';
import { loadCases } from './load-cases.js';
import { outageCases } from './outage-cases.js';
import { refusalCases } from './refusal-cases.js';
import { silenceCases } from './silence-cases.js';

/** What every connector guarantees, over a real service with real faults. */
export async function connectorContract(contract: Contract): Promise<void> {
  describeWith(contract, await contract.start(), (fixture) => {
    outageCases(fixture);
    loadCases(fixture);
    cutCases(fixture);
    silenceCases(fixture);
    refusalCases(fixture);
  });
}
