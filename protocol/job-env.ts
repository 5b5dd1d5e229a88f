/**
 * Variables that tell a job about its run. The wrapper sets them for every job, so a start cannot.
 * Other names that begin with HOLDFAST_ mean nothing to the wrapper when they are given for its
 * job, and a job that runs the command line needs some of them.
 */
export const JOB_ENV_RESERVED: readonly string[] = [
  'HOLDFAST_SESSION',
  'HOLDFAST_EXECUTION',
  'HOLDFAST_RUN_URL',
  'HOLDFAST_DEADLINE',
  'HOLDFAST_SOCKET',
];
