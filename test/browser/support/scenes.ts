/**
 * Jobs for the screenshots, with the output of real ones: a build, a failing test run, a coding
 * agent, a nightly import. The output is fixed. They pause where they change from stdout to stderr,
 * because the order of two pipes is not guaranteed.
 */

const PRELUDE = `
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
const released = () => existsSync(process.env.HOLD);
const hold = async () => { while (!released()) await sleep(20); };
const say = (...lines) => { for (const line of lines) process.stdout.write(line + '\\n'); };
const warn = (...lines) => { for (const line of lines) process.stderr.write(line + '\\n'); };
const paint = (code) => (text) => '\\x1b[' + code + 'm' + text + '\\x1b[0m';
const [bold, dim, red, green, yellow, blue, magenta, cyan] = [1, 2, 31, 32, 33, 34, 35, 36].map(paint);
`;

/** A build that is in the middle of its tests, and stays there until it is released. */
export const build = `${PRELUDE}
say(bold('$ npm ci'), '', 'added 412 packages in 9s', '', dim('58 packages are looking for funding'));
await sleep(80);
warn(yellow('npm warn') + ' deprecated glob@7.2.3: versions before v9 are no longer supported');
await sleep(80);
say('', bold('$ tsc --noEmit && vite build'), cyan('vite v8.3.8') + green(' building for production...'), 'transforming...', green('✓') + ' 1284 modules transformed.');
for (const [file, kb, gz] of [['index.html', '0.71', '0.39'], ['assets/index-B4kq0w2X.css', '24.80', '5.61'], ['assets/checkout-D1x7.js', '88.12', '27.94'], ['assets/index-CqT3w9.js', '143.27', '46.02']])
  say(dim('dist/') + cyan(file.padEnd(30)) + kb.padStart(8) + ' kB ' + dim('│ gzip: ' + gz.padStart(6) + ' kB'));
say(green('✓ built in 4.18s'), '', bold('$ vitest run'), '', ' ' + paint('30;46')(' RUN ') + ' v5.1.1 ' + dim('/srv/web-shop'), '');
const suites = ['cart/totals', 'cart/coupons', 'checkout/address', 'checkout/payment', 'catalog/search', 'catalog/filters', 'account/session', 'account/orders', 'api/retry', 'api/cache', 'ui/money', 'ui/dates'];
let n = 0;
for (const suite of suites) {
  n += 7;
  say(' ' + green('✓') + ' test/' + suite + '.test.ts ' + dim('(' + (4 + (n % 13)) + ' tests) ') + yellow((20 + (n * 37) % 400) + 'ms'));
  await sleep(120);
}
await sleep(80);
warn(yellow('⚠ ') + 'test/checkout/payment.test.ts: 1 test took longer than 300 ms');
for (let i = 1; !released() && i < 5000; i += 1) {
  say(' ' + green('✓') + ' e2e/order-' + String(i).padStart(3, '0') + '.spec.ts ' + dim('(3 tests) ') + yellow((300 + (i * 53) % 900) + 'ms'));
  await sleep(900);
}
`;

/** A test run that fails with a diff. */
export const failingTests = `${PRELUDE}
say(bold('$ vitest run'), '', ' ' + paint('30;46')(' RUN ') + ' v5.1.1 ' + dim('/srv/web-shop'), '');
for (const suite of ['cart/totals', 'cart/coupons', 'checkout/address', 'catalog/search', 'account/session'])
  say(' ' + green('✓') + ' test/' + suite + '.test.ts ' + dim('(8 tests) ') + yellow('41ms'));
say(' ' + red('❯') + ' test/checkout/tax.test.ts ' + dim('(6 tests | ') + red('1 failed') + dim(') ') + yellow('58ms'), '   ' + red('× rounds each line before it sums up'));
await sleep(80);
warn('', red('───────') + paint('1;41')(' Failed Tests 1 ') + red('───────'), '', paint('1;41')(' FAIL ') + ' test/checkout/tax.test.ts > ' + bold('rounds each line before it sums up'),
  red(bold('AssertionError') + ': expected 19.98 to be 19.99 // Object.is equality'), '', green('- Expected'), red('+ Received'), '', green('- 19.99'), red('+ 19.98'), '',
  ' ' + cyan('❯') + ' test/checkout/tax.test.ts:' + dim('42:24'),
  dim('    40|') + '   const lines = [' + yellow('9.995') + ', ' + yellow('9.995') + '];',
  dim('    41|') + '   const total = sumWithTax(lines, ' + yellow('0') + ');',
  '    42|   ' + blue('expect') + '(total).' + blue('toBe') + '(' + yellow('19.99') + ');', dim('      |                        ') + red('^'), '');
await sleep(80);
say('', bold(dim(' Test Files  ')) + red('1 failed') + dim(' | ') + green('5 passed') + dim(' (6)'), bold(dim('      Tests  ')) + red('1 failed') + dim(' | ') + green('45 passed') + dim(' (46)'), bold(dim('   Duration  ')) + '2.31s');
process.exit(1);
`;

/** A coding agent that reports in JSON lines. */
export const agent = `${PRELUDE}
const event = async (fields) => { console.log(JSON.stringify(fields)); await sleep(30); };
await event({ type: 'session', model: 'coder-large', cwd: '/srv/web-shop' });
await event({ type: 'user', text: 'The tax of an order with two items is off by one cent. Find out why and fix it.' });
await event({ type: 'assistant', text: 'I will look at how line totals are rounded.' });
await event({ type: 'tool', name: 'grep', input: { pattern: 'toFixed|Math.round', path: 'src/checkout' } });
await event({ type: 'tool_result', name: 'grep', lines: 4, output: 'src/checkout/tax.ts:17: return Math.round(sum * 100) / 100;' });
await event({ type: 'assistant', text: 'tax.ts rounds the sum, not each line. Invoices must round each line first.' });
await event({ type: 'tool', name: 'edit', input: { path: 'src/checkout/tax.ts', replaced: 1 } });
await event({ type: 'tool', name: 'bash', input: { command: 'npx vitest run test/checkout' } });
say(' ' + green('✓') + ' test/checkout/tax.test.ts ' + dim('(6 tests) ') + yellow('31ms'));
say(' ' + green('✓') + ' test/checkout/payment.test.ts ' + dim('(11 tests) ') + yellow('204ms'));
await event({ type: 'assistant', text: 'All 17 tests pass. The rounding now happens per line, as the invoice prints it.' });
await event({ type: 'result', cost: 0.0713, turns: 5, changed: ['src/checkout/tax.ts'] });
`;

/** An import that runs until it is interrupted, and then exits cleanly. */
export const nightlyImport = `${PRELUDE}
let stop = false;
process.on('SIGINT', () => { stop = true; });
say('import of 2026-11-20, 48 files, 31.4 GB', 'manifest ' + dim('sha256:9f41…c07e') + ' verified');
for (let i = 1; i <= 480 && !stop; i += 1) {
  const part = String(i).padStart(2, '0');
  say('part-' + part + '.parquet  ' + green('loaded') + '  ' + (612_000 + ((i * 7919) % 90_000)).toLocaleString('en') + ' rows  ' + dim((((i * 613) % 90) / 10 + 2).toFixed(1) + ' s'));
  await sleep(10);
  if (i % 9 === 0) warn(yellow('warning') + ' part-' + part + ': 3 rows without a customer, kept in quarantine');
  await sleep(i < 30 ? 20 : 500);
}
if (stop) { warn(red('interrupted') + ', rolling back the open part'); process.exit(130); }
`;

/** Ends well at once. */
export const shortDeploy = `${PRELUDE}
say(bold('$ wrangler deploy'), 'Total Upload: 412.77 KiB / gzip: 118.20 KiB', 'Worker Startup Time: 14 ms', green('Deployed') + ' web-shop triggers (1.02 sec)', cyan('  https://web-shop.example.workers.dev'), 'Current Version ID: 4c1f0b52-0d6e-4c70-9d0c-6a7b1c1a9f1e');
`;

const ESC = '\u001b';
const at = (row: number, column: number): string => `${ESC}[${row};${column}H`;
const ink = (code: string, text: string): string => `${ESC}[${code}m${text}${ESC}[0m`;

/** The size of the terminal of `editor`. */
export const EDITOR_SIZE = { cols: 104, rows: 30 };

/** What a full-screen editor draws: a list of files, a text, and a line of its state. */
export const editor: string = (() => {
  const { cols, rows } = EDITOR_SIZE;
  const files = [
    '▾ web-shop',
    '  ▾ src',
    '    ▸ cart',
    '    ▾ checkout',
    '      address.ts',
    '      payment.ts',
    '      tax.ts',
    '  ▸ test',
    '  package.json',
    '  README.md',
  ];
  const [key, name, text, note, number] = ['35', '34', '32', '90', '36'];
  const code: [string, string][][] = [
    [[note, '/** Tax of a cart, in cents. Rounds once, at the end. */']],
    [
      [key, 'import'],
      ['', ' { '],
      [name, 'Cart'],
      ['', ' } '],
      [key, 'from'],
      ['', ' '],
      [text, "'../cart/cart.ts'"],
      ['', ';'],
    ],
    [],
    [
      [key, 'const'],
      ['', ' '],
      [name, 'RATES'],
      ['', ': '],
      [name, 'Record'],
      ['', '<string, number> = {'],
    ],
    [
      ['', '  standard: '],
      [number, '0.19'],
      ['', ','],
    ],
    [
      ['', '  reduced: '],
      [number, '0.07'],
      ['', ','],
    ],
    [['', '};']],
    [],
    [
      [key, 'export function'],
      ['', ' '],
      [name, 'taxOf'],
      ['', '(cart: '],
      [name, 'Cart'],
      ['', '): number {'],
    ],
    [
      ['', '  '],
      [key, 'let'],
      ['', ' sum = '],
      [number, '0'],
      ['', ';'],
    ],
    [
      ['', '  '],
      [key, 'for'],
      ['', ' ('],
      [key, 'const'],
      ['', ' { price, count, rate } '],
      [key, 'of'],
      ['', ' cart.items) {'],
    ],
    [
      ['', '    '],
      [note, '// Rounding each item is what was off by one cent.'],
    ],
    [
      ['', '    sum += price * count * ('],
      [name, 'RATES'],
      ['', '[rate] ?? '],
      [number, '0'],
      ['', ');'],
    ],
    [['', '  }']],
    [
      ['', '  '],
      [key, 'return'],
      ['', ' Math.'],
      [name, 'round'],
      ['', '(sum);'],
    ],
    [['', '}']],
  ];
  let drawn = `${ESC}[?1049h${ESC}[2J${ESC}]0;tax.ts - web-shop\u0007`;
  for (const [index, file] of files.entries())
    drawn += at(index + 1, 1) + ink(file.includes('tax.ts') ? '1;33' : file.includes('▾') ? '1;34' : '', file);
  for (let row = 1; row < rows - 1; row += 1) drawn += at(row, 23) + ink(note, '│');
  for (const [index, parts] of code.entries())
    drawn +=
      at(index + 1, 25) +
      ink(note, String(index + 1).padStart(3)) +
      parts
        .map(([colour, part]) => (colour ? ink(colour, part) : part))
        .join('')
        .replace(/^/, ' ');
  for (let row = code.length + 1; row < rows - 1; row += 1) drawn += at(row, 25) + ink(note, '  ~');
  const left = ' INSERT  src/checkout/tax.ts [+]';
  const right = 'typescript  utf-8  13:42 ';
  drawn +=
    at(rows - 1, 1) + ink('44;97;1', ' INSERT ') + ink('7', (left.slice(8) + right.padStart(cols - left.length)).padEnd(cols - 8));
  return `${drawn}${at(rows, 1)}"src/checkout/tax.ts" 16L, 431B${at(13, 61)}`;
})();
