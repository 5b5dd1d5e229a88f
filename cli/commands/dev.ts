/**
 * `dev`: coordinator and runner on this machine, from the files of the package, until a signal ends
 * them.
 */

import { cpSync, existsSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspectDataFolder } from '../../dev/data-folder.ts';
import { leaveNpm } from '../../dev/npm.ts';
import { stateFolder } from '../../dev/running.ts';
import { passedOn, portsOf, serveLocally, untilEnded } from '../../dev/serve.ts';
import { LocalStack, wranglerDev } from '../../dev/stack.ts';
import { provideWrangler } from '../../dev/wrangler.ts';
import { EXIT } from '../exit-code.ts';
import type { Io } from '../io.ts';
import { type Flags, UsageError } from '../settings.ts';

export interface DevFlags extends Flags {
  port?: string;
  runnerPort?: string;
  data?: string;
}

/** The build puts the wrapper and the Worker beside the bundle that this file becomes a part of. */
const DIST = dirname(fileURLToPath(import.meta.url));
/** In the data folder. It is replaced at each start. */
const WORKER_COPY = '.holdfast-worker';

export async function dev(io: Io, flags: DevFlags): Promise<number> {
  const write = (text: string) => void io.stderr.write(text);
  const note = (text: string) => write(`holdfast: ${text}\n`);
  const worker = join(DIST, 'worker');
  if (!existsSync(worker)) {
    note('dev needs the built package: install it, or run `npm run build` and packages/holdfast/bin/holdfast.mjs');
    return EXIT.coordinator;
  }
  let ports: { port?: number; runnerPort?: number };
  try {
    ports = portsOf(flags);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const state = stateFolder(io.env);
  if (flags.data === undefined && state === null) throw new UsageError('there is no home folder: give --data DIR');
  const data = flags.data === undefined ? join(state as string, 'dev') : resolve(flags.data);

  const found = inspectDataFolder(data);
  if (found.kind === 'refused') throw new UsageError(found.message);

  // From here on a signal is an order to end, also during the download.
  const ended = untilEnded(process.env);
  const abort = new AbortController();
  void ended.then(() => abort.abort());
  const givenEnv = { ...process.env };
  // `npx holdfast` outside of a folder that has the package would ask the registry for the name.
  const program = givenEnv.npm_command === 'exec' ? 'npx holdfast' : 'holdfast';
  leaveNpm(process.env, [DIST, process.cwd()]);

  return serveLocally({
    start: async () => {
      const wrangler = await provideWrangler({ from: join(DIST, 'holdfast.mjs'), env: givenEnv, note, signal: abort.signal });
      return LocalStack.start({
        data,
        ...ports,
        variables: passedOn(process.env),
        cwd: process.cwd(),
        coordinatorCwd: data,
        wrapper: [process.execPath, join(DIST, 'holdfast-wrapper.mjs')],
        coordinator: (at) => {
          // wrangler writes beside its configuration, and the package's own folder may belong to
          // another user.
          const copy = join(data, WORKER_COPY);
          rmSync(copy, { recursive: true, force: true });
          cpSync(worker, copy, { recursive: true });
          return wranglerDev(wrangler, join(copy, 'wrangler.toml'), at);
        },
      });
    },
    ended,
    env: process.env,
    json: flags.json === true,
    next: ({ url, apiKey }) => [
      `${program} run -- sh -c 'for i in 1 2 3; do echo line $i; sleep 1; done'`,
      `${program} list`,
      '',
      '# `holdfast` of this user finds this stack by itself while it runs. Other programs, and other users, need:',
      `export HOLDFAST_URL=${url} HOLDFAST_API_KEY=${apiKey}`,
      '',
      `# A job runs in ${process.cwd()} unless --cwd names another folder.`,
    ],
    second: 'holdfast dev --port 0 --runner-port 0 --data ANOTHER_FOLDER',
    stdout: (text) => void io.stdout.write(text),
    stderr: write,
  });
}
