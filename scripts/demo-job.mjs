// The demo's job: prints numbered lines at an uneven pace, and writes each to a file first, as the
// reference for the comparison.
//
//   node scripts/demo-job.mjs TRUTH_FILE FINISH_FILE
//
// It prints at least LINES_MIN lines and continues until FINISH_FILE exists, so that it still runs
// when its network and its coordinator come back, on a slow machine too.
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const LINES_MIN = 300;
const LINES_MAX = 20_000;
const VERBS = ['resolve', 'compile', 'link', 'check', 'pack', 'upload', 'index', 'verify'];
const THINGS = ['parser', 'größe', 'socket', 'ledger', 'router', 'cache', 'naïve-bayes', 'scheduler', '時計', 'spool'];

const [truthFile, finishFile] = process.argv.slice(2);
const any = (list) => list[Math.floor(Math.random() * list.length)];

let number = 0;
function say(text) {
  number += 1;
  const line = `${String(number).padStart(4, '0')}  ${text}\n`;
  appendFileSync(truthFile, line);
  process.stdout.write(line);
}

while ((number < LINES_MIN || !existsSync(finishFile)) && number < LINES_MAX) {
  // Bursts and pauses: a cut in the middle of a burst is the interesting case.
  const burst = Math.random() < 0.1 ? 20 : 1 + Math.floor(Math.random() * 3);
  for (let i = 0; i < burst; i += 1) say(`${any(VERBS)} ${any(THINGS)} ${Math.random().toString(16).slice(2, 10)}`);
  await sleep(20 + Math.random() * 80);
}
say('done');
