/**
 * The wrapper as a process, with times set by the test: `node wrapper-with-times.ts
 * '{"firstWelcomeBudgetMs":1000}' run … -- command`.
 */

import { run } from '../../wrapper/run.ts';
import { fixedCredential } from '../../wrapper/transport/credential.ts';

const [, , times = '{}', ...args] = process.argv;
const { HOLDFAST_INGEST_URL: url = '', HOLDFAST_INGEST_TOKEN: token = '', HOLDFAST_SPOOL: spool = '' } = process.env;

process.exitCode = await run({
  command: args.slice(args.indexOf('--') + 1),
  url,
  credential: fixedCredential(token),
  spoolDirectory: spool,
  format: 'text',
  cwd: null,
  env: process.env,
  stdin: { file: null, open: false },
  tee: false,
  recoverOnly: false,
  log: { problem: (message) => process.stderr.write(`${message}\n`), fact: () => {} },
  handleSignals: true,
  times: JSON.parse(times),
});
