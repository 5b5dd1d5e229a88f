/**
 * Programs that the tests run as jobs. They get the file in `HOLD` to wait for, and nothing else
 * from outside.
 */

const HELD = `
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
const released = () => existsSync(process.env.HOLD);
const hold = async () => { while (!released()) await sleep(20); };
`;

/**
 * Prints numbered lines until it is released, \`linesMin\` at least: half of them as JSON, which
 * become \`agent\` events.
 */
export const mixedUntilReleased = (linesMin: number): string => `${HELD}
let number = 0;
while (number < ${linesMin} || !released()) {
  for (let i = 0; i < 8; i += 1) {
    number += 1;
    if (number % 2) console.log(JSON.stringify({ step: number, note: 'größe 時計' }));
    else console.error('line ' + number);
  }
  await sleep(10);
  if (number > 60_000) break;
}
process.exitCode = 7;
`;

/** Numbered lines at a steady pace until it is released. */
export const linesUntilReleased = (everyMs = 50): string => `${HELD}
for (let number = 1; !released() && number < 20_000; number += 1) {
  console.log('line ' + number);
  await sleep(${everyMs});
}
console.log('released');
`;

/**
 * So many numbered lines as fast as they are taken, in colours, each `NEEDLE_EVERY`th with a word
 * to search for. After each hundred comes a JSON line: read as JSON lines it is an event of its
 * own, so that the log has thousands of events however the pipe was read.
 */
export const NEEDLE_EVERY = 20_000;
export const manyLines = (count: number): string => `
import { once } from 'node:events';
const colours = [31, 32, 33, 34, 35, 36];
let text = '';
for (let number = 1; number <= ${count}; number += 1) {
  const needle = number % ${NEEDLE_EVERY} === 0 ? ' needle' : '';
  text += '\\x1b[' + colours[number % 6] + 'mstep\\x1b[0m ' + number + ' of ${count}: compiled src/module-' + (number % 997) + '/index.ts' + needle + '\\n';
  if (number % 100 === 0) text += JSON.stringify({ type: 'progress', done: number / ${count} }) + '\\n';
  if (text.length < 60_000 && number < ${count}) continue;
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
  text = '';
}
`;

/**
 * What a job may print to harm a page that shows it. `window.__harm` is what a script of it would
 * set. Printed as JSON lines and as text; each piece of text is a line of its own that begins with
 * a word to find it by.
 */
export const hostile = `
const ESC = '\\x1b', BEL = '\\x07';
const say = (line) => process.stdout.write(line + '\\n');
say('html <script>window.__harm = 1</script><img src=x onerror="window.__harm=2"><svg onload="window.__harm=3">&lt;b&gt;');
say('link-js ' + ESC + ']8;;javascript:window.__harm=4' + BEL + 'click-js' + ESC + ']8;;' + BEL + ' after');
say('link-data ' + ESC + ']8;;data:text/html,<script>opener.__harm=5</script>' + ESC + '\\\\' + 'click-data' + ESC + ']8;;' + ESC + '\\\\' + ' after');
say('link-trick ' + ESC + ']8;; java\\tscript:window.__harm=6' + BEL + 'click-trick' + ESC + ']8;;' + BEL + ' after');
say('link-http ' + ESC + ']8;;https://example.com/a?b=1&c="d"' + BEL + 'click-http' + ESC + ']8;;' + BEL + ' after');
say('link-open ' + ESC + ']8;;https://example.com/never-closed' + BEL + 'still a link');
say('after-open is no link');
say('cursor ' + ESC + '[H' + ESC + '[10A' + ESC + '[?1049h' + ESC + '[?25l' + ESC + '[5;5Hmoved' + ESC + '7' + ESC + '8' + ESC + '(0' + ' kept');
say('secret' + ESC + '[2J' + ESC + '[1K' + ESC + 'c' + '\\r' + ESC + '[Kwiped out before');
say('10%' + '\\r' + '50%' + '\\r' + 'progress 100% done');
say('title ' + ESC + ']0;owned' + BEL + ESC + ']52;c;b3duZWQ=' + BEL + ESC + 'P+q544e' + ESC + '\\\\' + ESC + '_apc' + ESC + '\\\\' + 'end');
say('colours ' + Array.from({ length: 1000 }, (_, i) => ESC + '[38;5;' + (i % 256) + 'm.').join('') + ESC + '[0m end');
say('bad-colour ' + ESC + '[38;2;999;-1;mx' + ESC + '[48;5;9999my' + ESC + '[1;2;3;4;5;7;8;9;53;99999mz' + ESC + '[0m end');
say('controls ' + String.fromCharCode(0, 1, 2, 8, 8, 11, 12, 14, 127, 133) + ' end');
say('bidi \\u202Egnp.exe\\u202C \\u200B\\u2066x\\u2069 end');
say('marks ' + 'e' + '\\u0301'.repeat(3000) + ' end');
say(JSON.stringify({ type: 'lone', text: 'lone \\ud800 and \\udc00 and \\ud83d' }));
say('{"type":"proto","__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"text":{"html":"<script>window.__harm=7</script>"}}');
say('{"text":"agent <script>window.__harm=8</script> ' + '\\\\u001b]8;;javascript:window.__harm=9\\\\u0007click-agent\\\\u001b]8;;\\\\u0007"}');
process.stdout.write(Buffer.concat([Buffer.from('bytes '), Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f]), Buffer.from(' end\\n')]));
say('long ' + 'x'.repeat(1024 * 1024) + ' long-end');
say('unfinished ' + ESC + '[31');
say('after-unfinished end');
say('last-line');
`;
