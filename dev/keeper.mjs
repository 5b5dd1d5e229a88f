// Ties a program's life to the process that started it: `node dev/keeper.mjs PROGRAM [arguments]`,
// with a pipe as stdin. When the pipe ends (its other end died, by SIGKILL too), the program gets
// SIGTERM, and after a while its whole process group SIGKILL. Started as the leader of a group of
// its own; the program stays in that group.
import { spawn } from 'node:child_process';

const PATIENCE_MS = 12_000;

const [program, ...args] = process.argv.slice(2);
const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });

const endGroup = () => process.kill(-process.pid, 'SIGKILL');

let ending = false;
function end(signal) {
  child.kill(signal);
  if (ending) return;
  ending = true;
  setTimeout(endGroup, PATIENCE_MS);
}

process.on('SIGTERM', () => end('SIGTERM'));
process.on('SIGINT', () => end('SIGINT'));
process.on('SIGHUP', () => end('SIGTERM'));
process.stdin.on('error', () => end('SIGTERM'));
process.stdin.on('end', () => end('SIGTERM'));
process.stdin.resume();

child.on('error', (error) => {
  process.stderr.write(`${program}: ${error.message}\n`);
  process.exit(127);
});
// Ends the processes that the program left behind (such as workerd after a crash of wrangler), and
// this process too.
child.on('exit', endGroup);
