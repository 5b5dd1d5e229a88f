/**
 * What redaction costs when the output contains no secret, which is the usual case. Each figure is
 * the CPU time per byte from the job's bytes to pieces of text; its floor is the same without
 * redaction.
 */

import { createHash } from 'node:crypto';
import { type Redaction, readRedaction } from '../../wrapper/output/redaction.ts';
import { JsonLineSplitter, type Splitter, TextSplitter } from '../../wrapper/output/text-splitter.ts';
import { type Bench, interleaved, scaled } from '../lib/bench.ts';
import { type Figure, figureOf, type Target } from '../lib/figures.ts';

const READ_BYTES = 64 * 1024;
const LINE_BYTES = 80;
/**
 * 100 MB/s, like the rest of a wrapper. JSON lines are parsed too, and are measured without a
 * target.
 */
const TARGET: Target = { of: 'value', atMost: 10 };

/** The same for each run: randomness must not make two runs differ. */
const letters = (seed: string, length: number): string => {
  let text = '';
  for (let n = 0; text.length < length; n += 1) text += createHash('sha512').update(`${seed} ${n}`).digest('base64').slice(0, 86);
  return text.slice(0, length);
};

const tokens = (count: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, n) => [
      `N${n}_TOKEN`,
      `${['ghp_', 'sk-', ''][n % 3]}${letters(`token ${n}`, 20 + ((n * 7) % 40))}`,
    ]),
  );

const PEM = `-----BEGIN PRIVATE KEY-----\n${letters('pem', 1600).replace(/.{64}/g, '$&\n')}-----END PRIVATE KEY-----`;

const SECRETS: Record<string, Record<string, string>> = {
  'of one with 40 bytes': { A_TOKEN: letters('one', 40) },
  'of one with 6 bytes': { A_TOKEN: 'hunt3r' },
  'of 20 secrets': tokens(20),
  'of 20 and a PEM key': { ...tokens(20), A_KEY: PEM },
  'of 200 secrets': tokens(200),
};

function lines(bytes: number, line: (n: number) => string): Buffer {
  const count = Math.floor(bytes / LINE_BYTES);
  return Buffer.from(Array.from({ length: count }, (_, n) => `${line(n).padEnd(LINE_BYTES - 1)}\n`).join(''));
}

interface Output {
  name: string;
  make: (bytes: number) => Buffer;
  splitter: (redaction: Redaction | null) => Splitter;
  target: Target | null;
}

const OUTPUTS: Output[] = [
  {
    name: 'log',
    make: (bytes) =>
      lines(bytes, (n) => `2026-11-30T20:55:${n % 60}Z INFO worker ${n % 17}: compiled src/app/${(n * 7919) % 1000}.ts ok`),
    splitter: (redaction) => new TextSplitter(redaction),
    target: TARGET,
  },
  {
    name: 'base64',
    make: (bytes) => Buffer.from(letters('output', bytes).replace(/.{76}/g, '$&\n')),
    splitter: (redaction) => new TextSplitter(redaction),
    target: TARGET,
  },
  {
    name: 'JSON lines',
    make: (bytes) => lines(bytes, (n) => JSON.stringify({ level: 'info', n, msg: `compiled src/app/${(n * 7919) % 1000}.ts` })),
    splitter: (redaction) => new JsonLineSplitter(redaction),
    target: null,
  },
];

const redactionOf = (secrets: Record<string, string>): Redaction | null => {
  const reading = readRedaction([secrets], []);
  if (reading.kind !== 'read') throw new Error('too much to redact');
  return reading.redaction;
};

/** Passes over the same output. The quickest shared its core the least. */
const PASSES = 3;

/** Nanoseconds of CPU per byte. */
function split(output: Buffer, make: () => Splitter): number {
  const passes = Array.from({ length: PASSES }, () => {
    const splitter = make();
    const before = process.cpuUsage();
    for (let at = 0; at < output.length; at += READ_BYTES) splitter.push(output.subarray(at, at + READ_BYTES));
    splitter.end();
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1000) / output.length;
  });
  return Math.min(...passes);
}

export const redaction: Bench = {
  name: 'redaction',
  measures: "nanoseconds of CPU per byte to cut a job's output into text while it is searched for secrets",
  doesNotMeasure: 'output that is full of secrets',
  run: async (context) => {
    const figures: Figure[] = [];
    for (const { name, make, splitter, target } of OUTPUTS) {
      const output = make(scaled(context, 16_000_000, 200_000));
      const searches = Object.entries(SECRETS).map(([secrets, values]) => [secrets, redactionOf(values)] as const);
      const systems = [['none', null] as const, ...searches].map(
        ([secrets, search]) => [secrets, async () => split(output, () => splitter(search))] as const,
      );
      const rounds = await interleaved(context, Object.fromEntries(systems));
      for (const [secrets] of systems)
        figures.push(figureOf(`redaction/${name}/${secrets}`, 'ns/byte', rounds[secrets] as number[], rounds.none, target));
    }
    return figures;
  },
};
