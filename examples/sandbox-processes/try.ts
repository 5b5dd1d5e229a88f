// Two processes of one sandbox at the same time: node examples/sandbox-processes/try.ts SANDBOX
import { createClient } from '@holdfast/client';
import { SandboxProcesses } from './processes.ts';

const { HOLDFAST_URL: url, HOLDFAST_API_KEY: apiKey } = process.env;
if (!url || !apiKey) throw new Error('set HOLDFAST_URL and HOLDFAST_API_KEY');
const sandbox = new SandboxProcesses(createClient({ url, apiKey }), process.argv[2] ?? 'my-sandbox');

const server = await sandbox.startProcess('echo starting; sleep 1; echo "listening on 3000"; exec sleep 1000');
const { line } = await server.waitForLog(/listening on (\d+)/, 60_000);
console.log('the server says:', line);

const build = await sandbox.startProcess('for step in fetch compile test; do echo $step; sleep 0.2; done; exit 3');
console.log('the build ended with', (await build.waitForExit()).exitCode);
console.log('and wrote', JSON.stringify((await build.getLogs()).stdout));

await server.kill();
for (const { id, status, exitCode, command } of await sandbox.listProcesses())
  console.log(id, status, exitCode, command.slice(0, 40));
