export type { FaultCounts } from './counts.js';
export type { Cut, Direction, FaultHit, FaultKind, FaultSpec } from './fault.js';
export {
  type Answering,
  type BodyCut,
  type CutBodies,
  HttpProxy,
  type Passed,
  startHttpProxy,
} from './http-proxy.js';
export { type KafkaApi, kafkaRequest, type Swallowing, swallowEvery } from './kafka.js';
export { type Pattern, POSTGRES_READY } from './pattern.js';
export { type TerminateOptions, terminateBackends } from './process-faults.js';
export { FaultProxy, type OpenConnection, type ProxyOptions, startProxy } from './proxy.js';
export type { ArmedFault, ArmOptions, RandomFaults, RandomOptions, When } from './triggers.js';
