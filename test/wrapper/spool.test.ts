/**
 * Goal: what was announced as stored is there after any end of the process, and memory does not
 * grow with the backlog. Method: the real spool on a real folder; a "crash" opens the folder again
 * without having closed it (its lock is removed by hand).
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { nodeFiles, type SpoolFiles } from '../../wrapper/spool/files.ts';
import { LOCK_FILE } from '../../wrapper/spool/lock.ts';
import { type Chunk, lastSeqOf, Sender } from '../../wrapper/spool/sender.ts';
import { Spool, type SpoolOptions, type SpoolPressure } from '../../wrapper/spool/spool.ts';
import { removeTemporaryFolders, sleep, temporaryFolder, until } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

const MIB = 1024 * 1024;
const line = (n: number, size = 0) =>
  Buffer.from(`${JSON.stringify({ type: 'status', at: n, data: { message: 'x'.repeat(size) } })}\n`);
const END = Buffer.from(`${JSON.stringify({ type: 'exit', at: 1, data: { exitCode: 0, signal: null } })}\n`);

function open(directory: string, options: Partial<SpoolOptions> = {}) {
  const opening = Spool.open({ directory, execution: '/e1', bootId: 'b_1', ...options });
  if (opening.kind !== 'opened') throw new Error(opening.kind);
  const chunks: Chunk[] = [...opening.recovered.chunks];
  const pressures: SpoolPressure[] = [];
  const failures: (string | null)[] = [];
  const damages: string[] = [];
  opening.spool.attach({
    onStored: (chunk) => chunks.push(chunk),
    onPressure: (pressure) => pressures.push(pressure),
    onWriteFailure: (message) => failures.push(message),
    onDamage: (message) => damages.push(message),
  });
  return {
    spool: opening.spool,
    recovered: opening.recovered,
    crashed: opening.crashed,
    damage: opening.damage,
    chunks,
    pressures,
    failures,
    damages,
  };
}

/** As after a SIGKILL: nothing was closed, and the process of the lock is gone. */
const crash = (directory: string) => rmSync(join(directory, LOCK_FILE));

const readBack = (spool: Spool, chunks: Chunk[]): number[] =>
  chunks.flatMap((chunk) =>
    spool
      .read([chunk])
      .toString()
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text).at as number),
  );
const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);

describe('what is stored', () => {
  it('[SP1] [G1] is on disk when it is announced, and survives a crash', async () => {
    const directory = temporaryFolder();
    const first = open(directory);
    for (const n of numbers(1000)) first.spool.append(line(n, 300));
    await first.spool.stored();
    expect(first.chunks.reduce((sum, { count }) => sum + count, 0)).toBe(1000);
    crash(directory);
    const second = open(directory);
    expect(second.recovered.nextSeq).toBe(1001);
    expect(second.spool.state.wrapperId).toBe(first.spool.state.wrapperId);
    expect(readBack(second.spool, second.chunks)).toEqual(numbers(1000));
    second.spool.append(line(1001));
    await second.spool.stored();
    expect(second.chunks.at(-1)).toMatchObject({ firstSeq: 1001, count: 1 });
    expect(readBack(second.spool, second.chunks)).toEqual(numbers(1001));
  });

  it('[SP2] is announced in order and without a hole, however it was cut into writes and segments', async () => {
    const directory = temporaryFolder();
    const { spool, chunks } = open(directory);
    for (let n = 1; n <= 3000; n += 1) {
      spool.append(line(n, (n * 37) % 12_000));
      if (n % 50 === 0) await sleep(0);
    }
    await spool.stored();
    let next = 1;
    for (const chunk of chunks) {
      expect(chunk.firstSeq).toBe(next);
      expect(chunk.bytes).toBeLessThanOrEqual(256 * 1024);
      next = lastSeqOf(chunk) + 1;
    }
    expect(next).toBe(3001);
    expect(readdirSync(directory).filter((name) => name.endsWith('.ndjson')).length).toBeGreaterThan(1);
    expect(readBack(spool, chunks)).toEqual(numbers(3000));
  });

  it('[SP5] nothing follows a terminal fact, also after a restart', async () => {
    const directory = temporaryFolder();
    const { spool } = open(directory);
    spool.append(END, true);
    expect(spool.append(line(2))).toBe(false);
    await spool.stored();
    crash(directory);
    const again = open(directory);
    expect(again.recovered.end).toMatchObject({ type: 'exit' });
    expect(again.spool.append(line(2))).toBe(false);
    expect(again.recovered.nextSeq).toBe(2);
  });
});

describe('recovery', () => {
  async function crashed(count: number) {
    const directory = temporaryFolder();
    const { spool } = open(directory);
    for (const n of numbers(count)) spool.append(line(n));
    await spool.stored();
    crash(directory);
    return { directory, segment: join(directory, '1.ndjson') };
  }

  it.each([
    ['half a record', '{"type":"status","at":6'],
    ['a whole record without its line end', '{"type":"status","at":6,"data":{}}'],
    ['a line that is no JSON', '{"type":"sta\u0000\u0000\n'],
    ['a line that is no event', '42\n'],
    ['zeros, as after a crash of the host', '\0\0\0\0\0\0\0\0'],
  ])('[RC1] cuts off a torn end: %s', async (_name, torn) => {
    const { directory, segment } = await crashed(5);
    const sound = statSync(segment).size;
    appendFileSync(segment, torn);
    const { spool, recovered, chunks } = open(directory);
    expect(recovered).toMatchObject({ nextSeq: 6, cutBytes: torn.length });
    expect(statSync(segment).size).toBe(sound);
    spool.append(line(6));
    await spool.stored();
    expect(readBack(spool, chunks)).toEqual(numbers(6));
    expect(readFileSync(segment, 'utf8').split('\n').length).toBe(7);
  });

  it('[RC1] cut inside the last line at every byte: the lines before it are kept, and its number stays taken', async () => {
    const { directory, segment } = await crashed(3);
    const whole = readFileSync(segment);
    const lastStart = whole.lastIndexOf(10, whole.length - 2) + 1;
    for (let length = lastStart; length < whole.length; length += 1) {
      truncateSync(segment, 0);
      writeFileSync(segment, whole.subarray(0, length));
      const { spool, recovered, chunks } = open(directory);
      expect(recovered).toMatchObject({ nextSeq: 4, lost: [{ firstSeq: 3, lastSeq: 3 }] });
      expect(readBack(spool, chunks).slice(0, 2)).toEqual([1, 2]);
      await spool.close();
    }
  });

  it('[RC4] [LO1] a segment in the middle that lost its end: one gap counts what is missing, and the numbers behind it stay', async () => {
    const { directory, segment } = await crashed(5);
    writeFileSync(join(directory, '6.ndjson'), line(6));
    const whole = readFileSync(segment, 'utf8').split('\n');
    writeFileSync(segment, `${whole.slice(0, 3).join('\n')}\n`);
    const { spool, recovered, chunks } = open(directory);
    expect(recovered).toMatchObject({ nextSeq: 7, lost: [{ firstSeq: 4, lastSeq: 5 }] });
    const events = chunks.flatMap((chunk) =>
      spool
        .read([chunk])
        .toString()
        .trimEnd()
        .split('\n')
        .map((text) => JSON.parse(text)),
    );
    expect(events.map(({ type }) => type)).toEqual(['status', 'status', 'status', 'gap', 'gap', 'status']);
    expect(events[3].data).toEqual({ events: 2, bytes: 2 * line(4).length, reason: 'spool_damaged' });
    expect(events[4].data).toEqual({ events: 0, bytes: 0, reason: 'placeholder' });
  });

  it('[SP6] continues after an acked head was deleted', async () => {
    const directory = temporaryFolder();
    const { spool, chunks } = open(directory);
    const sender = new Sender();
    for (const n of numbers(2000)) spool.append(line(n, 10_000));
    await spool.stored();
    for (const chunk of chunks) sender.appended(chunk);
    sender.welcome(1500, { frameBytes: 1e6, windowBytes: 1e6, silenceMs: 60_000 }, 0);
    spool.release(1500, 0);
    const segments = readdirSync(directory).filter((name) => name.endsWith('.ndjson'));
    expect(segments).not.toContain('1.ndjson');
    crash(directory);
    const again = open(directory);
    expect(again.recovered.nextSeq).toBe(2001);
    const first = again.chunks[0]?.firstSeq as number;
    expect(first).toBeLessThanOrEqual(1501);
    expect(readBack(again.spool, again.chunks)).toEqual(numbers(2001 - first, first));
  });

  it('continues numbering at a higher seq when the coordinator has more', async () => {
    const { directory } = await crashed(5);
    const { spool, chunks } = open(directory);
    spool.skipTo(10);
    spool.append(line(10));
    await spool.stored();
    expect(chunks.at(-1)).toMatchObject({ firstSeq: 10, segment: 10 });
    spool.release(9, 0);
    expect(existsSync(join(directory, '1.ndjson'))).toBe(false);
    expect(readBack(spool, chunks.slice(-1))).toEqual([10]);
  });

  it('leaves an empty folder when the run is over', async () => {
    const { directory } = await crashed(5);
    const { spool } = open(directory);
    await spool.destroy();
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('bounds', () => {
  it('[SP4] memory stays bounded however long the backlog is, and all of it can be read back', async () => {
    const { spool, chunks, pressures } = open(temporaryFolder());
    let peak = 0;
    let n = 0;
    while (n < 12_000) {
      for (let k = 0; k < 100; k += 1) spool.append(line(++n, 10_000));
      while (pressures.at(-1) === 'queue') await sleep(1);
      peak = Math.max(peak, spool.memoryBytes);
    }
    await spool.stored();
    expect(spool.unackedBytes).toBeGreaterThan(115 * MIB);
    expect(peak).toBeLessThan(11 * MIB);
    let next = 1;
    for (const chunk of chunks) {
      expect(readBack(spool, [chunk])).toEqual(numbers(chunk.count, next));
      next += chunk.count;
    }
    expect(next).toBe(12_001);
    expect(spool.memoryBytes).toBeLessThan(5 * MIB);
  });

  it('[G8] reports that it is full at the limit, and usable again when an eighth is free', async () => {
    const { spool, pressures } = open(temporaryFolder(), { limitBytes: 80_000 });
    const size = line(1, 900).length;
    let n = 0;
    while (spool.unackedBytes + size < 80_000) spool.append(line(++n, 900));
    await spool.stored();
    expect(pressures).toEqual([]);
    spool.append(line(++n, 900));
    await spool.stored();
    expect(pressures).toEqual(['disk_full']);
    // Nothing is dropped: what comes all the same is kept.
    expect(spool.append(line(++n, 900))).toBe(true);
    await spool.stored();
    spool.release(5, 5 * size);
    expect(pressures).toEqual(['disk_full']);
    spool.release(13, 8 * size);
    expect(pressures).toEqual(['disk_full', 'none']);
  });

  it('[SP3] [G8] a full disk holds everything up and loses nothing', async () => {
    const { writev } = await import('node:fs');
    let full = true;
    let calls = 0;
    // Also writes less than asked: the rest must follow at the right place.
    const writevFlaky: SpoolFiles['writev'] = (file, buffers, position) =>
      new Promise((resolve, reject) => {
        calls += 1;
        if (full) return reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }));
        const first = buffers[0] as Buffer;
        const part = calls % 2 === 0 ? [first.subarray(0, Math.ceil(first.length / 2))] : buffers;
        writev(file, part, position, (error, written) => (error ? reject(error) : resolve(written)));
      });
    const { spool, chunks, pressures, failures } = open(temporaryFolder(), { files: { ...nodeFiles, writev: writevFlaky } });
    for (const n of numbers(300)) spool.append(line(n, 5000));
    await until(() => calls >= 2, 'a second attempt');
    expect(pressures.at(-1)).toBe('write_failure');
    expect(chunks).toEqual([]);
    full = false;
    await spool.stored();
    expect(pressures.at(-1)).toBe('none');
    expect(failures).toEqual(['ENOSPC: no space left on device', null]);
    expect(readBack(spool, chunks)).toEqual(numbers(300));
    const again = chunks.map((chunk) => ({ ...chunk }));
    await spool.close();
    const reopened = open(spool.directory);
    expect(readBack(reopened.spool, again)).toEqual(numbers(300));
  });
});

describe('the lock', () => {
  it('[LK2] keeps a second wrapper out while the first lives', async () => {
    const directory = temporaryFolder();
    const { spool } = open(directory);
    expect(Spool.open({ directory, execution: '/e1', bootId: 'b_2' })).toEqual({ kind: 'locked', pid: process.pid });
    await spool.close();
    expect(Spool.open({ directory, execution: '/e1', bootId: 'b_2' }).kind).toBe('opened');
  });

  it.each([
    ['whose process is gone', { pid: 2 ** 22 + 7, start: 'x', nonce: 'n' }],
    ['whose pid belongs to another process now', { pid: process.pid, start: 'another start', nonce: 'n' }],
  ])('[LK2] takes over a lock %s', (_name, lock) => {
    const directory = temporaryFolder();
    writeFileSync(join(directory, LOCK_FILE), JSON.stringify(lock));
    expect(Spool.open({ directory, execution: '/e1', bootId: 'b_1' }).kind).toBe('opened');
  });

  it.each(['', 'what is this', '{"pid":1'])(
    '[LK2] takes over a lock that it cannot read (%j) when no process uses the folder',
    (text) => {
      const directory = temporaryFolder();
      writeFileSync(join(directory, LOCK_FILE), text);
      expect(Spool.open({ directory, execution: '/e1', bootId: 'b_1' }).kind).toBe('opened');
      expect(readdirSync(directory).filter((name) => name.startsWith(LOCK_FILE))).toEqual([LOCK_FILE]);
    },
  );

  it('[LK2] leaves a lock alone that it cannot read while a process has a file of the folder open', async () => {
    const directory = temporaryFolder();
    writeFileSync(join(directory, '1.ndjson'), line(1));
    const holder = spawn('tail', ['-f', join(directory, '1.ndjson')], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(holder.stdout, 'data');
    writeFileSync(join(directory, LOCK_FILE), '');
    // Where there is no /proc, a wrapper is known by its arguments only.
    const expected = existsSync('/proc/self/fd') ? { kind: 'locked', pid: holder.pid } : { kind: 'opened' };
    expect(Spool.open({ directory, execution: '/e1', bootId: 'b_1' })).toMatchObject(expected);
    holder.kill();
  });

  it('[LK2] refuses a lock that is a folder, with the next step, and leaves it as it was', () => {
    const directory = temporaryFolder();
    const path = join(directory, LOCK_FILE);
    mkdirSync(path);
    writeFileSync(join(path, 'kept'), '');
    expect(() => Spool.open({ directory, execution: '/e1', bootId: 'b_1' })).toThrow(
      `the lock ${path} is a folder; remove it if no wrapper uses this folder, or choose another with --spool`,
    );
    expect(readdirSync(directory)).toEqual([LOCK_FILE]);
    expect(readdirSync(path)).toEqual(['kept']);
  });

  it('refuses the spool of another execution, and releases it', async () => {
    const directory = temporaryFolder();
    await open(directory).spool.close();
    expect(Spool.open({ directory, execution: '/e2', bootId: 'b_1' })).toEqual({ kind: 'other_execution', execution: '/e1' });
    expect(Spool.open({ directory, execution: '/e1', bootId: 'b_1' }).kind).toBe('opened');
  });
});
