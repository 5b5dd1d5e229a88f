/**
 * An agent that plays its part: prints lines as the real programs print them, and waits for what it
 * is told. All that it reads on stdin is appended to a file.
 *
 *   node fake-agent.mjs STEPS REPLIES
 *
 *   {"print": …}    one line of JSON
 *   {"reads": n}    waits until it has read so many lines in all
 *   {"wait": FILE}  waits until the file is there
 */

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const [, , steps, replies] = process.argv;
let read = 0;
createInterface({ input: process.stdin }).on('line', (line) => {
  read += 1;
  appendFileSync(replies, `${line}\n`);
});

for (const step of JSON.parse(readFileSync(steps, 'utf8'))) {
  if (step.print) process.stdout.write(`${JSON.stringify(step.print)}\n`);
  while (read < (step.reads ?? 0) || (step.wait && !existsSync(step.wait))) await pause(10);
}
process.exit(0);
