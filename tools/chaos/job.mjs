// The job of a chaos run: numbered JSON lines at a steady pace, each written to the truth file
// before it is printed.
//
//    node job.mjs TRUTH_FILE LINES DURATION_MS [RELEASE_FILE]
//
// With a RELEASE_FILE it does not end before that file exists: it holds back some lines, and prints
// them slower and slower. On SIGINT or SIGTERM it prints no more and exits 130, so that everything
// in the truth file was printed. Without a release or a signal it ends by itself long after its
// time.
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';

const TEXTS = ['größe', '時計', 'naïve', 'a "quoted" \\ word', '\ufffd', 'tab\there', 'x'.repeat(40), '', 'line\nend', '🦀'];

const [truthFile, lines, durationMs, releaseFile] = [
  process.argv[2],
  Number(process.argv[3]),
  Number(process.argv[4]),
  process.argv[5],
];
const truth = openSync(truthFile, 'a');
const begun = Date.now();
let written = 0;

const lateEnd = setTimeout(() => process.exit(3), durationMs + 300_000);

function finish(code) {
  clearInterval(timer);
  clearTimeout(lateEnd);
  closeSync(truth);
  process.stdout.write('', () => process.exit(code));
}

let released = releaseFile === undefined;

const timer = setInterval(() => {
  const spent = (Date.now() - begun) / durationMs;
  released ||= existsSync(releaseFile);
  // A tenth of the lines at the end of the time, half of that after twice the time, and always at
  // least one.
  const most = released ? lines : lines - Math.ceil((lines / 10) * Math.min(1, 1 / spent));
  // A pace over the whole time: delays by a full pipe are made up for.
  const due = Math.min(most, Math.floor(spent * lines) + 1);
  let text = '';
  while (written < due) {
    written += 1;
    text += `${JSON.stringify({ n: written, text: TEXTS[written % TEXTS.length], random: Math.random() })}\n`;
  }
  if (text === '') return;
  writeSync(truth, text);
  process.stdout.write(text);
  if (written === lines) finish(0);
}, 5);

process.stdout.on('error', () => process.exit(4));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => finish(130));
