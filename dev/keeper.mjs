// Ties a program's life to the process that started it:
//
//   node dev/keeper.mjs [--patience=MS] PROGRAM [arguments]
//
// with a pipe as stdin. When the pipe ends (its other end died, by SIGKILL too), the program gets
// SIGTERM, and after the patience its whole process group gets SIGKILL. A number on the pipe is the
// pid of a process that the program outlives in that case: it gets SIGTERM when that process is
// gone. Started as the leader of a group of its own; the program stays in that group.
import { spawn } from 'node:child_process';

const PATIENCE_DEFAULT_MS = 12_000;
/** How long the program outlives the other process at most. */
const OUTLIVE_MAX_MS = 40_000;
const LOOK_MS = 100;

const [, patience] = /^--patience=(\d+)$/.exec(process.argv[2] ?? '') ?? [];
const patienceMs = patience === undefined ? PATIENCE_DEFAULT_MS : Number(patience);
const [program, ...args] = process.argv.slice(patience === undefined ? 2 : 3);
const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });

const endGroup = () => process.kill(-process.pid, 'SIGKILL');

let ending = false;
function end(signal) {
  child.kill(signal);
  if (ending) return;
  ending = true;
  setTimeout(endGroup, patienceMs);
}

function isThere(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

let told = '';
let orphaned = false;
function endAfterOther() {
  if (orphaned) return;
  orphaned = true;
  const other = Number(told.trim().split('\n').at(-1));
  const limit = Date.now() + OUTLIVE_MAX_MS;
  const look = () => {
    if (other > 0 && isThere(other) && Date.now() < limit) setTimeout(look, LOOK_MS);
    else end('SIGTERM');
  };
  look();
}

process.on('SIGTERM', () => end('SIGTERM'));
process.on('SIGINT', () => end('SIGINT'));
process.on('SIGHUP', () => end('SIGTERM'));
process.stdin.on('data', (text) => {
  told += text;
});
process.stdin.on('error', endAfterOther);
process.stdin.on('end', endAfterOther);

child.on('error', (error) => {
  process.stderr.write(`${program}: ${error.message}\n`);
  process.exit(127);
});
// Ends the processes that the program left behind (such as workerd after a crash of wrangler), and
// this process too.
child.on('exit', endGroup);
