/** How the drill counts, for the report. */
export const METHOD: readonly string[] = [
  'Three applications, four workers each, fetch the same registered model (two files, 3 MB) from one MLflow server, again and again, each time into a folder that is new: nothing comes from a cache. Each application has a proxy of its own.',
  'A body that is cut by a reset ends with a broken wire. One that is cut in good order ends early as if it were complete, without a length that would tell: so do proxies between when the server behind them dies.',
  'The server is killed with -9 and started again; an outage lasts until it answers from its database, asked past the proxies.',
  'After each fetch that was reported as done the file is hashed. “Acknowledged, but lost” is a fetch that was reported as done and left other bytes than those that were registered.',
  'Python is MLflow’s own client (mlflow.artifacts.download_artifacts) with its defaults: it repeats requests, but nothing of a body that has begun. The same is true of axios-retry.',
  'A fetch takes as long as its bytes take. The longest gap is the longest time in which no fetch of a lane succeeded.',
];
