// Runs one of this folder's TypeScript programs on the Node that this repository brings along
// (node_modules/.bin/node), after installing the dependencies when they are missing or older than
// the lockfile.
//
//   node scripts/with-toolchain.mjs scripts/demo.ts [arguments]
//
// Plain JavaScript without dependencies: it must run on Node 20 in a fresh clone. It writes nothing
// to stdout, which belongs to the program it runs.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lockfile = join(root, 'package-lock.json');
// npm writes this one at the end of a successful installation.
const installedLockfile = join(root, 'node_modules', '.package-lock.json');
const stamp = join(root, 'node_modules', '.holdfast-lock-hash');
const node = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

const say = (message) => process.stderr.write(`holdfast: ${message}\n`);
const lockHash = () => createHash('sha256').update(readFileSync(lockfile)).digest('hex');

function isInstalled() {
  if (!existsSync(installedLockfile) || !existsSync(node)) return false;
  if (statSync(lockfile).mtimeMs <= statSync(installedLockfile).mtimeMs) return true;
  // A checkout touches the lockfile without changing it; only its content decides then.
  return existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === lockHash();
}

function install() {
  say('installing dependencies (about 270 MB to download, once) …');
  // Warnings are omitted: the newer Node that some packages ask for is among the packages installed
  // here. `npm run` names its own npm; that one is used again, whatever else is on the PATH.
  const npmScript = process.env.npm_execpath?.endsWith('.js') ? process.env.npm_execpath : null;
  const [program, first] = npmScript ? [process.execPath, [npmScript]] : ['npm', []];
  const args = [...first, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, error } = spawnSync(program, args, {
    cwd: root,
    // Its stdout goes to our stderr.
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32' && !npmScript,
  });
  if (error) fail(`npm could not be run (${error.message}). Install Node with npm, or run \`npm ci\` yourself.`);
  if (status !== 0) fail(`npm ci failed (exit ${status}); its messages are above. Run \`npm ci\` by hand to look closer.`);
  if (!existsSync(node)) {
    fail('npm ci left out node_modules/node/bin/node. Install scripts must be allowed: check `npm config get ignore-scripts`.');
  }
  writeFileSync(stamp, `${lockHash()}\n`);
  say('dependencies are installed.');
}

function fail(message) {
  say(message);
  process.exit(1);
}

const [script, ...args] = process.argv.slice(2);
if (!script) fail('usage: node scripts/with-toolchain.mjs SCRIPT.ts [arguments]');
if (!isInstalled()) install();

const child = spawn(node, [resolve(root, script), ...args], { stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));

// npm runs scripts through a shell, and not every shell passes a signal on. When npm has ended,
// only this process can stop the program.
const parent = process.ppid;
if (process.env.npm_lifecycle_event) {
  setInterval(() => {
    if (process.ppid !== parent) child.kill('SIGTERM');
  }, 500).unref();
}

child.on('error', (error) => fail(`could not run ${node}: ${error.message}`));
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  // Ends the way the program ended, without our own handler.
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
