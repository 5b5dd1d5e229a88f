// A full-screen program for the tests of terminals: it asks its terminal questions, draws all of its screen, counts the keys that it
// reads, and moves all the time.
//
//   Ctrl-S  it stands still, and says so
//   Ctrl-D  it ends; the exit code is 7 when an answer of a terminal was missing or came twice
import { createHash } from 'node:crypto';

const ESC = '\u001b';
const TICK_MS = 10;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const ANSWER = /\u001b\[\?[\d;]*c/g;

const { stdin, stdout } = process;
let keys = '';
let answers = 0;
let ticks = 0;
let settled = false;

stdin.setRawMode(true);
stdout.write(`${ESC}[?1049h${ESC}[?25l${ESC}[?2004h${ESC}[22;0t${ESC}]0;full screen\u0007${ESC}[c`);

const at = (row, text) => `${ESC}[${row};1H${text}${ESC}[K`;

function draw() {
  const { columns, rows } = stdout;
  const hash = createHash('sha256').update(keys).digest('hex').slice(0, 12);
  const lines = [
    at(1, `${ESC}[1;3${ticks % 8}mkeys ${keys.length} ${hash}${ESC}[0m`),
    at(2, `size ${columns}x${rows}`),
    at(3, `answers ${answers}`),
    at(4, settled ? 'settled' : `tick ${ticks}`),
  ];
  // Every cell changes with each key, so that a lost one is seen.
  for (let row = 5; row < rows; row += 1) {
    let text = '';
    for (let column = 0; column < columns - 1; column += 1)
      text += String.fromCharCode(33 + ((row * 7 + column + keys.length) % 90));
    lines.push(at(row, `${ESC}[48;5;${(row + keys.length) % 200}m${text}${ESC}[0m`));
  }
  stdout.write(lines.join(''));
}

const timer = setInterval(() => {
  ticks += 1;
  stdout.write(at(4, `tick ${ticks} ${'漢字'.slice(ticks % 2)}`));
}, TICK_MS);

stdin.on('data', (chunk) => {
  let text = chunk.toString('latin1');
  const found = text.match(ANSWER)?.length ?? 0;
  answers += found;
  if (found > 0) text = text.replaceAll(ANSWER, '');
  for (const key of text) {
    if (key === '\u0004') {
      clearInterval(timer);
      stdout.write(`${ESC}[?2004l${ESC}[?25h${ESC}[?1049l`);
      process.exit(answers === 1 ? 0 : 7);
    }
    if (key === '\u0013') {
      settled = true;
      clearInterval(timer);
    } else keys += key;
  }
  draw();
});
stdout.on('resize', draw);
draw();
