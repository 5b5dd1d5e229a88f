/**
 * Goal: whatever a crashed host left of a spool, what is whole is delivered under its number, a gap
 * stands for the rest, and nothing is altered without a word. Method: the real spool on a real
 * folder, opened again after its files were damaged; and whole runs that find such a spool.
 */

import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HoldfastEvent } from '../../protocol/index.ts';
import { nodeFiles } from '../../wrapper/spool/files.ts';
import { lastSeqOf } from '../../wrapper/spool/sender.ts';
import { Spool } from '../../wrapper/spool/spool.ts';
import { newSpoolState, writeSpoolIdentity, writeSpoolState } from '../../wrapper/spool/state.ts';
import { LosingDisk } from '../support/failing-disk.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { removeTemporaryFolders, runInProcess, temporaryFolder } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

const EXECUTION = '/v1/sessions/s1/executions/e1/ingest';
const output = (n: number) => `${JSON.stringify({ type: 'output', at: n, data: { stream: 'stdout', text: `line ${n}\n` } })}\n`;
const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);

function open(directory: string, options = {}) {
  const opening = Spool.open({ directory, execution: EXECUTION, bootId: 'b_1', ...options });
  if (opening.kind !== 'opened') throw new Error(opening.kind);
  return opening;
}

/** A spool that a wrapper left, with `count` lines in segments of `perSegment`. */
async function leftSpool(count: number, { perSegment = count, withIndex = true } = {}) {
  const directory = temporaryFolder();
  const { spool } = open(directory);
  spool.state.job.begun = true;
  spool.saveState();
  for (const n of numbers(count)) {
    spool.append(Buffer.from(output(n)));
    await spool.stored();
    if (n % perSegment === 0 && n < count) {
      // As after 8 MiB.
      await spool.close();
      const next = open(directory).spool;
      writeFileSync(join(directory, `${n + 1}.ndjson`), '');
      await next.close();
      return leftSpoolOf(directory, n + 1, count, perSegment, withIndex);
    }
  }
  await spool.close();
  if (!withIndex) removeIndexes(directory);
  return directory;
}

async function leftSpoolOf(
  directory: string,
  from: number,
  count: number,
  perSegment: number,
  withIndex: boolean,
): Promise<string> {
  const { spool } = open(directory);
  for (let n = from; n <= count; n += 1) {
    spool.append(Buffer.from(output(n)));
    await spool.stored();
    if (n % perSegment !== 0 || n === count) continue;
    await spool.close();
    writeFileSync(join(directory, `${n + 1}.ndjson`), '');
    return leftSpoolOf(directory, n + 1, count, perSegment, withIndex);
  }
  await spool.close();
  if (!withIndex) removeIndexes(directory);
  return directory;
}

const removeIndexes = (directory: string) => {
  for (const name of readdirSync(directory)) if (name.endsWith('.index')) rmSync(join(directory, name));
};

/** What a coordinator would be sent, by seq. */
async function contents(directory: string) {
  const { spool, recovered } = open(directory);
  const events = new Map<number, HoldfastEvent>();
  const texts = new Map<number, string>();
  let next = recovered.chunks[0]?.firstSeq ?? recovered.nextSeq;
  for (const chunk of recovered.chunks) {
    expect(chunk.firstSeq).toBe(next);
    next = lastSeqOf(chunk) + 1;
    const lines = spool.read([chunk]).toString().split('\n').slice(0, -1);
    expect(lines.length).toBe(chunk.count);
    for (const [index, text] of lines.entries()) {
      texts.set(chunk.firstSeq + index, `${text}\n`);
      events.set(chunk.firstSeq + index, JSON.parse(text));
    }
  }
  expect(next).toBe(recovered.nextSeq);
  await spool.close();
  return { events, texts, nextSeq: recovered.nextSeq };
}

const change = (path: string, at: number, bytes: Buffer) => {
  const content = readFileSync(path);
  bytes.copy(content, at);
  writeFileSync(path, content);
};

describe('a damaged segment', () => {
  const startOf = (directory: string, n: number) => readFileSync(join(directory, '1.ndjson'), 'utf8').indexOf(output(n));

  it.each([
    ['a wrong byte inside text that is still JSON', (path: string, at: number) => change(path, at + 62, Buffer.from('X'))],
    ['a line that is no JSON', (path: string, at: number) => change(path, at, Buffer.from('['))],
    ['a line that is no event', (path: string, at: number) => change(path, at + 2, Buffer.from('tipe'))],
    ['an event that the coordinator refuses', (path: string, at: number) => change(path, at + 9, Buffer.from('exit"/'))],
    ['bytes that are not UTF-8', (path: string, at: number) => change(path, at + 62, Buffer.from([0xff, 0xfe]))],
    ['a line end in the middle of a line', (path: string, at: number) => change(path, at + 30, Buffer.from('\n'))],
    ['a line end that is gone', (path: string, at: number) => change(path, at + output(50).length - 1, Buffer.from(' '))],
  ])('[LI1] [LO1] %s costs that one event', async (_name, damage) => {
    const directory = await leftSpool(100);
    damage(join(directory, '1.ndjson'), startOf(directory, 50));
    const { texts, events, nextSeq } = await contents(directory);
    expect(nextSeq).toBe(101);
    for (const n of numbers(100)) if (n !== 50) expect(texts.get(n)).toBe(output(n));
    expect(events.get(50)).toMatchObject({ type: 'gap', data: { events: 1, bytes: output(50).length, reason: 'spool_damaged' } });
  });

  it('[LI3] a page of zeros costs the events that lie in it, and the numbers behind it stay', async () => {
    const directory = await leftSpool(500);
    change(join(directory, '1.ndjson'), 8192, Buffer.alloc(4096));
    const { texts, events } = await contents(directory);
    const lost = numbers(500).filter((n) => texts.get(n) !== output(n));
    expect(lost).toEqual(numbers(lost.length, lost[0]));
    expect(lost.length).toBeGreaterThan(40);
    expect(lost.length).toBeLessThan(60);
    const bytes = lost.reduce((sum, n) => sum + output(n).length, 0);
    expect(events.get(lost[0] as number)?.data).toEqual({ events: lost.length, bytes, reason: 'spool_damaged' });
    for (const n of lost.slice(1)) expect(events.get(n)?.data).toEqual({ events: 0, bytes: 0, reason: 'placeholder' });
  });

  it('[LI2] a damaged index costs nothing: the lines are checked without it', async () => {
    const directory = await leftSpool(300);
    change(join(directory, '1.index'), 600, Buffer.alloc(700, 0xaa));
    truncateSync(join(directory, '1.index'), 3000);
    const { texts } = await contents(directory);
    for (const n of numbers(300)) expect(texts.get(n)).toBe(output(n));
  });

  it('[LI2] [LI3] without an index, as in a spool of 0.1.0, the next segment shows how many events are lost', async () => {
    const directory = await leftSpool(300, { perSegment: 200, withIndex: false });
    change(join(directory, '1.ndjson'), 4096, Buffer.alloc(4096));
    const { texts, events, nextSeq } = await contents(directory);
    expect(nextSeq).toBe(301);
    const lost = numbers(300).filter((n) => texts.get(n) !== output(n));
    expect(lost).toEqual(numbers(lost.length, lost[0]));
    expect(lost.length).toBeGreaterThan(40);
    expect(lost.length).toBeLessThan(60);
    expect(events.get(lost[0] as number)?.data).toMatchObject({ events: lost.length, unknown: true, reason: 'spool_damaged' });
  });

  it('[RC4] a missing segment is a gap of as many events', async () => {
    const directory = await leftSpool(90, { perSegment: 30 });
    rmSync(join(directory, '31.ndjson'));
    rmSync(join(directory, '31.index'));
    const { texts, events, nextSeq } = await contents(directory);
    expect(nextSeq).toBe(91);
    for (const n of [...numbers(30), ...numbers(30, 61)]) expect(texts.get(n)).toBe(output(n));
    expect(events.get(31)?.data).toEqual({ events: 30, bytes: 0, unknown: true, reason: 'spool_damaged' });
  });

  it('[RC4] the last segment is missing, and its index shows what it held', async () => {
    const directory = await leftSpool(90, { perSegment: 30 });
    rmSync(join(directory, '61.ndjson'));
    const { events, nextSeq } = await contents(directory);
    expect(nextSeq).toBe(91);
    expect(events.get(61)?.data).toMatchObject({ events: 30, reason: 'spool_damaged' });
  });

  it('[RC4] segments that overlap: the later one counts, unless it holds nothing', async () => {
    const directory = await leftSpool(20);
    writeFileSync(join(directory, '11.ndjson'), '\0\0\0\0');
    expect((await contents(directory)).nextSeq).toBe(21);
    writeFileSync(join(directory, '19.ndjson'), output(190) + output(200));
    const { texts, nextSeq } = await contents(directory);
    expect(nextSeq).toBe(21);
    expect([texts.get(18), texts.get(19), texts.get(20)]).toEqual([output(18), output(190), output(200)]);
  });

  it('files of other names are left alone, and so is a segment that cannot belong to it', async () => {
    const directory = await leftSpool(20);
    for (const name of ['007.ndjson', 'x.ndjson', '1.ndjson.bak', '9007199254740000.ndjson'])
      writeFileSync(join(directory, name), output(1));
    const { damage } = open(directory);
    expect(damage).toEqual([expect.stringContaining('9007199254740000.ndjson does not belong to it')]);
  });

  it('[RC5] a terminal fact in the middle is returned, to be appended again at the end', async () => {
    const directory = await leftSpool(10, { withIndex: false });
    const end = `${JSON.stringify({ type: 'exit', at: 1, data: { exitCode: 3, signal: null } })}\n`;
    appendFileSync(join(directory, '1.ndjson'), end + output(12));
    const { recovered, spool } = open(directory);
    expect(recovered).toMatchObject({ end: null, displacedEnd: { type: 'exit', data: { exitCode: 3 } }, nextSeq: 13 });
    await spool.close();
    expect((await contents(directory)).events.get(11)?.data).toMatchObject({ reason: 'placeholder' });
  });

  it('[LI1] [LI3] [LI4] any damage to one stretch of bytes: what is not touched arrives under its number, what is touched never does', async () => {
    const directory = await leftSpool(120);
    const segment = readFileSync(join(directory, '1.ndjson'));
    const index = readFileSync(join(directory, '1.index'));
    const ends = numbers(120).map((n) => numbers(n).reduce((sum, k) => sum + output(k).length, 0));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(segment.length - 1),
        fc.uint8Array({ minLength: 1, maxLength: 600 }),
        fc.boolean(),
        async (at, garbage, cut) => {
          const damaged = Buffer.from(segment);
          damaged.set(garbage.subarray(0, segment.length - at), at);
          writeFileSync(join(directory, '1.ndjson'), cut ? damaged.subarray(0, at + garbage.length) : damaged);
          writeFileSync(join(directory, '1.index'), index);
          const { texts, nextSeq } = await contents(directory);
          expect(nextSeq).toBe(121);
          for (const n of numbers(120)) {
            const [from, to] = [(ends[n - 1] as number) - output(n).length, ends[n - 1] as number];
            const untouched = to <= at || (!cut && from >= at + garbage.length);
            if (untouched) expect(texts.get(n)).toBe(output(n));
            else expect([output(n), 'gap']).toContain(texts.get(n)?.includes('"gap"') ? 'gap' : texts.get(n));
          }
          for (const name of readdirSync(directory)) if (/^\d/.test(name)) rmSync(join(directory, name));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('a run that finds a damaged spool', () => {
  let coordinator: FakeCoordinator;
  beforeEach(async () => {
    coordinator = await new FakeCoordinator().start();
  });
  afterEach(() => coordinator.stop());

  const takeOver = async (directory: string) => {
    const { exitCode, log } = runInProcess(coordinator, ['sh', '-c', 'echo must not run'], { spoolDirectory: directory });
    const code = await exitCode;
    expect(coordinator.faults).toEqual([]);
    expect(coordinator.text()).not.toContain('must not run');
    return { code, log, gaps: coordinator.events.filter(({ type }) => type === 'gap').map(({ data }) => data) };
  };

  it.each([
    ['missing', null],
    ['empty', ''],
    ['no JSON', '{"version":1,'],
    ['JSON of another kind', '{"version":1,"wrapperId":"w_1","execution":"x","job":{"begun":"no"},"commandsDone":[{}]}'],
  ])('[ST3] its state file is %s: it is delivered under its name, and nothing is run', async (_name, text) => {
    const directory = await leftSpool(200);
    const { wrapperId } = JSON.parse(readFileSync(join(directory, 'identity.json'), 'utf8'));
    rmSync(join(directory, 'state.json'));
    if (text !== null) writeFileSync(join(directory, 'state.json'), text);
    writeFileSync(join(directory, 'wrapper.lock'), '');
    const { code, log, gaps } = await takeOver(directory);
    expect(code).toBe(125);
    expect(coordinator.connections[0]?.hello?.wrapperId).toBe(wrapperId);
    expect(coordinator.text()).toBe(
      numbers(200)
        .map((n) => `line ${n}\n`)
        .join(''),
    );
    expect(gaps).toEqual([{ events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' }]);
    expect(log.problems.join()).toContain('its state file is');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('[SPL2] [LO1] 4,000 lines with one wrong byte and a page of zeros: all others arrive, and what is lost is counted', async () => {
    const directory = await leftSpool(1);
    rmSync(join(directory, '1.ndjson'));
    rmSync(join(directory, '1.index'));
    const { spool } = open(directory);
    for (const n of numbers(4000)) spool.append(Buffer.from(output(n)));
    await spool.stored();
    await spool.close();
    const segment = join(directory, '1.ndjson');
    change(segment, readFileSync(segment, 'utf8').indexOf(output(1000)) + 62, Buffer.from('X'));
    change(segment, 40_960 * 3, Buffer.alloc(4096));
    const { code, gaps } = await takeOver(directory);
    expect(code).toBe(125);
    const lines = coordinator.text().split('\n').slice(0, -1);
    const lost = gaps.reduce((sum, { events }) => sum + (events as number), 0);
    expect(lines.length + lost).toBe(4000);
    expect(lost).toBeLessThan(70);
    expect(new Set(lines).size).toBe(lines.length);
    expect(lines).not.toContain('line 1000');
  });

  it('[LO2] what the coordinator has already is not called lost', async () => {
    const directory = await leftSpool(100);
    for (const n of numbers(60)) coordinator.lines.push(output(n).trimEnd());
    change(join(directory, '1.ndjson'), readFileSync(join(directory, '1.ndjson'), 'utf8').indexOf(output(40)), Buffer.from('['));
    const { gaps } = await takeOver(directory);
    expect(gaps.map(({ reason }) => reason)).toEqual(['wrapper_crashed']);
    expect(coordinator.text()).toBe(
      numbers(100)
        .map((n) => `line ${n}\n`)
        .join(''),
    );
  });

  it('[LO3] its first segment is missing: what the coordinator does not have of it is a gap', async () => {
    const directory = await leftSpool(90, { perSegment: 30 });
    for (const name of ['1.ndjson', '1.index']) rmSync(join(directory, name));
    for (const n of numbers(10)) coordinator.lines.push(output(n).trimEnd());
    const { gaps } = await takeOver(directory);
    expect(gaps.filter(({ reason }) => reason !== 'placeholder')).toEqual([
      { events: 20, bytes: 0, unknown: true, reason: 'spool_damaged' },
      { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' },
    ]);
    expect(coordinator.text()).toBe([...numbers(10), ...numbers(60, 31)].map((n) => `line ${n}\n`).join(''));
  });

  it('[RC5] a terminal fact before other events is appended again at the end, with its exit code', async () => {
    const directory = await leftSpool(3);
    rmSync(join(directory, '1.index'));
    appendFileSync(
      join(directory, '1.ndjson'),
      `${JSON.stringify({ type: 'exit', at: 1, data: { exitCode: 3, signal: null } })}\n${output(5)}`,
    );
    const { code } = await takeOver(directory);
    expect(code).toBe(3);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 3 } });
    expect(coordinator.text()).toBe('line 1\nline 2\nline 3\nline 5\n');
  });

  it('the state is lost, and the terminal fact has the exit code', async () => {
    const directory = await leftSpool(3);
    const { spool } = open(directory);
    spool.append(Buffer.from(`${JSON.stringify({ type: 'exit', at: 1, data: { exitCode: null, signal: 'SIGKILL' } })}\n`), true);
    await spool.close();
    rmSync(join(directory, 'state.json'));
    expect((await takeOver(directory)).code).toBe(137);
  });
});

describe('[ST1] a loss of power', () => {
  it('after "begun" was noted: the note, the identity and the folder are there', async () => {
    const disk = new LosingDisk(join(temporaryFolder(), 'spool'));
    const { spool } = open(disk.folder, { files: disk.files });
    spool.state.job.begun = true;
    spool.saveState({ durable: true });
    spool.append(Buffer.from(output(1)));
    await spool.stored();
    disk.losePower();
    const again = open(disk.folder, { files: disk.files });
    expect(again).toMatchObject({ crashed: true, recovered: { nextSeq: 1 } });
    expect(again.spool.state).toMatchObject({ wrapperId: spool.state.wrapperId, job: { begun: true } });
  });

  it('a run notes that its job begins on the medium before there is a process', async () => {
    const coordinator = await new FakeCoordinator().start();
    const disk = new LosingDisk(join(temporaryFolder(), 'spool'));
    const marker = join(temporaryFolder(), 'ran');
    const command = ['sh', '-c', `echo x >> ${marker}`];
    coordinator.onFrame = () => false;
    coordinator.policy = { ...coordinator.policy, disconnectGraceMs: 1 };
    const first = runInProcess(coordinator, command, {
      spoolDirectory: disk.folder,
      spoolFiles: disk.files,
      times: { drainBudgetMinMs: 1, ackStallMs: 50 },
    });
    await first.exitCode;
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
    disk.losePower();
    coordinator.onFrame = () => true;
    const second = runInProcess(coordinator, command, { spoolDirectory: disk.folder, spoolFiles: disk.files });
    await second.exitCode;
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
    await coordinator.stop();
  });

  it('a state without a sync would be lost: this disk can detect it', () => {
    const disk = new LosingDisk(join(temporaryFolder(), 'spool'));
    nodeFiles.makeFolder(disk.folder);
    const state = newSpoolState(EXECUTION, 'b_1');
    writeSpoolIdentity(disk.folder, state, disk.files);
    writeSpoolState(disk.folder, { ...state, job: { ...state.job, begun: true } }, { files: disk.files, durable: false });
    disk.losePower();
    expect(nodeFiles.exists(join(disk.folder, 'state.json'))).toBe(false);
  });
});
