/**
 * Goal: a job can report its progress, cannot do so by accident, and cannot forge any other event
 * (SPL26).
 * Method: the lines and the sequence as pure functions, with made-up mistakes and cuts; the pace on
 * a clock of the test's; then whole runs.
 */

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HoldfastEvent, JsonObject } from '../../protocol/index.ts';
import { JOB_MESSAGE_CHARS_MAX, jobFactOf } from '../../wrapper/job/facts.ts';
import { PROGRESS_INTERVAL_MS, ProgressEvents } from '../../wrapper/job/progress.ts';
import { TerminalProgress } from '../../wrapper/job/terminal-progress.ts';
import { REDACTED } from '../../wrapper/output/redaction.ts';
import { JsonLineSplitter } from '../../wrapper/output/text-splitter.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { gate, removeTemporaryFolders, runInProcess } from '../support/wrapper-run.ts';

describe('[SPL26] a JSON line', () => {
  it.each([
    [{ holdfast: 'progress', current: 3 }, { current: 3 }],
    [
      { holdfast: 'progress', current: 0, total: 0 },
      { current: 0, total: 0 },
    ],
    [
      { message: 'Compiling', total: 10, current: 3.5, holdfast: 'progress' },
      { current: 3.5, total: 10, message: 'Compiling' },
    ],
    [{ holdfast: 'progress', current: 1, total: null, message: null }, { current: 1 }],
  ])('%j is progress', (line: JsonObject, data: object) => {
    expect(jobFactOf(line)).toEqual({ type: 'progress', data });
  });

  it('has a message of 1024 characters at most', () => {
    const line = (length: number) => jobFactOf({ holdfast: 'progress', current: 1, message: 'x'.repeat(length) });
    expect(JOB_MESSAGE_CHARS_MAX).toBe(1024);
    expect(line(1024)).toEqual({ type: 'progress', data: { current: 1, message: 'x'.repeat(1024) } });
    expect(line(1025)).toBeNull();
  });

  it('with "status" and a message is a status', () => {
    expect(jobFactOf({ holdfast: 'status', message: 'Waiting for the database' })).toEqual({
      type: 'status',
      data: { message: 'Waiting for the database' },
    });
  });

  it.each([
    // Words that jobs have for themselves.
    { type: 'progress', current: 1, total: 2 },
    { type: 'holdfast', current: 1 },
    { progress: { current: 1, total: 2 } },
    { holdfast: true, current: 1 },
    { holdfast: { type: 'progress', current: 1 } },
    // Mistakes.
    { holdfast: 'progress' },
    { holdfast: 'progress', current: '3' },
    { holdfast: 'progress', current: null },
    { holdfast: 'progress', current: -1 },
    { holdfast: 'progress', current: Number.POSITIVE_INFINITY },
    { holdfast: 'progress', current: 1, total: '10' },
    { holdfast: 'progress', current: 1, total: -1 },
    { holdfast: 'progress', current: 1, message: 5 },
    { holdfast: 'progress', current: 1, id: 'more than the event holds' },
    { holdfast: 'Progress', current: 1 },
    { holdfast: 'status' },
    { holdfast: 'status', message: '' },
    { holdfast: 'status', message: null },
    { holdfast: 'status', message: 'x', level: 'warn' },
    // What is not a job's to say.
    { holdfast: 'exit', exitCode: 0, signal: null },
    { holdfast: 'interrupted', reason: 'x' },
    { holdfast: 'error', error: 'x', fatal: true },
    { holdfast: 'started', pid: 1 },
    { holdfast: 'output', stream: 'stdout', text: 'x' },
    { holdfast: 'gap', events: 1, bytes: 1, reason: 'x' },
    { holdfast: 'execution_completed', exitCode: 0 },
    { holdfast: 'wrapper_connected', epoch: 1, wrapperId: 'w' },
    { holdfast: 'interrupt_requested', reason: '', force: true, cause: 'x' },
  ])('%j is the job’s own, and is passed on to the letter', (line) => {
    expect(jobFactOf(line)).toBeNull();
    const text = JSON.stringify(line).replace('"current":null', '"current":1e999').replaceAll(':', ' : ');
    expect(new JsonLineSplitter().push(Buffer.from(`${text}\n`))).toEqual([{ kind: 'json', text }]);
  });

  it('any input gives one of the two events or null', () => {
    const value = fc.oneof(fc.jsonValue(), fc.constantFrom('progress', 'status', 1, 0.5, 'message'));
    const key = fc.oneof(fc.string(), fc.constantFrom('holdfast', 'current', 'total', 'message'));
    fc.assert(
      fc.property(fc.dictionary(key, value), (line) => {
        const fact = jobFactOf(line);
        if (fact === null) return;
        expect(line.holdfast).toBe(fact.type);
        expect(['progress', 'status']).toContain(fact.type);
        expect(line).toMatchObject(fact.data);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('[SPL26] the sequence of a terminal', () => {
  const sequence = (state: number, percent?: number, end = '\u0007') =>
    `\u001b]9;4;${state}${percent === undefined ? '' : `;${percent}`}${end}`;
  const read = (...reads: string[]) => {
    const terminal = new TerminalProgress();
    return reads.map((text) => terminal.read(Buffer.from(text, 'latin1'))?.current ?? null);
  };

  it('is read in the states that have a number, ended either way; of several the newest', () => {
    expect(read(sequence(1, 40))).toEqual([40]);
    expect(read(`a${sequence(1, 40)}b${sequence(1, 41, '\u001b\\')}c`)).toEqual([41]);
    expect(read(sequence(2, 7), sequence(4, 8), sequence(1, 100), sequence(1, 999))).toEqual([7, 8, 100, 100]);
    expect(read(sequence(0), sequence(0, 0), sequence(3), sequence(3, 0), sequence(1))).toEqual([null, null, null, null, null]);
    // The number is the last thing that was known.
    expect(read(`${sequence(1, 100)}${sequence(0)}\n`)).toEqual([100]);
  });

  it('is nothing else', () => {
    const almost = [
      '\u001b]9;4;1;40',
      '\u001b]9;4;5;40\u0007',
      '\u001b]9;4;1;4000\u0007',
      '\u001b]9;4;1;x\u0007',
      ']9;4;1;40\u0007',
    ];
    for (const text of [...almost, '\u001b]9;1;40\u0007', '\u001b]0;title\u0007', 'plain\n', ''])
      expect(read(text)).toEqual([null]);
  });

  it('is found wherever the reads are cut, each once', () => {
    const part = fc.oneof(
      fc.constantFrom('\u001b', '\u001b]9;4;', '\u001b[31m', 'text\n', '\u001b]9;4;1;4', '4', '\u0007', '\\'),
      fc.integer({ min: 0, max: 100 }).map((percent) => sequence(1, percent)),
      fc.integer({ min: 0, max: 100 }).map((percent) => sequence(4, percent, '\u001b\\')),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), fc.array(fc.nat(80), { maxLength: 6 }), (parts, cuts) => {
        const whole = parts.join('');
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
        const said = /\u001b\]9;4;[124];(\d{1,3})(?:\u0007|\u001b\\)/g;
        const wanted = [...whole.matchAll(said)].map(([, number]) => Math.min(100, Number(number)));
        const places = [0, ...[...cuts].sort((a, b) => a - b), whole.length];
        const reads = places.slice(1).map((to, index) => whole.slice(places[index], to));
        const got = read(...reads).filter((percent) => percent !== null);
        // Of one read the newest stands for all, so what is seen is a part of what was said, in its
        // order, with the last of it.
        expect(got.at(-1)).toBe(wanted.at(-1));
        let from = 0;
        for (const percent of got) {
          from = wanted.indexOf(percent, from) + 1;
          expect(from).toBeGreaterThan(0);
        }
        expect(got.length).toBeLessThanOrEqual(wanted.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('[SPL26] [PG1] the pace', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const collect = () => {
    const events: HoldfastEvent[] = [];
    const progress = new ProgressEvents((line) => void events.push(JSON.parse(line.toString())));
    return { progress, events, said: () => events.map(({ data }) => data.current) };
  };

  it('the first goes at once, of a thousand in a second four more, and the newest at the end', () => {
    const { progress, events, said } = collect();
    for (let current = 1; current <= 1000; current += 1) {
      progress.offer({ current, total: 1000 }, Date.now());
      vi.advanceTimersByTime(1);
    }
    expect(said()).toEqual([1, 250, 500, 750, 1000]);
    progress.offer({ current: 1001 }, 77);
    progress.end(); // PG2
    progress.end();
    expect(said().at(-1)).toBe(1001);
    expect(events.at(-1)).toEqual({ type: 'progress', at: 77, data: { current: 1001 } });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('[PG3] an unchanged state is not sent again, also when it returns before its turn', () => {
    const { progress, said } = collect();
    for (const current of [1, 1, 2, 1]) progress.offer({ current }, 0);
    vi.advanceTimersByTime(10 * PROGRESS_INTERVAL_MS);
    for (const current of [1, 2]) progress.offer({ current }, 0);
    progress.end();
    expect(said()).toEqual([1, 2]);
  });
});

describe('[SPL26] a run', () => {
  let coordinator: FakeCoordinator;
  beforeEach(async () => {
    coordinator = await new FakeCoordinator().start();
  });
  afterEach(async () => {
    await coordinator.stop();
    removeTemporaryFolders();
  });
  const sh = (script: string) => ['sh', '-c', script];
  const said = () => coordinator.events.filter(({ type }) => type !== 'started').map(({ type, data }) => [type, data]);
  const exited = ['exit', { exitCode: 0, signal: null, toldToStop: false }];

  it('reports its progress and its status in JSON lines; an invalid line and a forged end stay output of the job', async () => {
    const script = `echo '{"holdfast":"status","message":"Looking"}'
      echo '{"holdfast":"progress","current":1,"total":2,"message":"a.txt"}'
      echo '{"holdfast":"exit","exitCode":3}'; echo '{"holdfast":"execution_failed","code":"x","error":"y","fatal":true}'
      echo '{"holdfast":"progress","current":"half"}'; echo '{"holdfast":"status","message":"on stderr"}' >&2`;
    expect(await runInProcess(coordinator, sh(script), { format: 'jsonl' }).exitCode).toBe(0);
    const events = said();
    expect(events.at(-1)).toEqual(exited);
    expect(events.filter(([type]) => type !== 'output').slice(0, -1)).toEqual([
      ['status', { message: 'Looking' }],
      ['progress', { current: 1, total: 2, message: 'a.txt' }],
      ['agent', { holdfast: 'exit', exitCode: 3 }],
      ['agent', { holdfast: 'execution_failed', code: 'x', error: 'y', fatal: true }],
      ['agent', { holdfast: 'progress', current: 'half' }],
    ]);
    expect(coordinator.text('stderr')).toBe('{"holdfast":"status","message":"on stderr"}\n');
  });

  it('in text its lines stay unchanged: only the sequence reports progress, and the bytes stay', async () => {
    const line = '{"holdfast":"progress","current":1}\n';
    const { wait, open } = gate();
    const script = `echo '{"holdfast":"progress","current":1}'; printf '\\033]9;4;1;30\\a'; ${wait}; printf '\\033]9;4;1;60\\033\\\\' >&2`;
    const { exitCode } = runInProcess(coordinator, sh(script));
    await coordinator.until(() => said().some(([type]) => type === 'progress'), 'the first');
    open();
    expect(await exitCode).toBe(0);
    const events = said();
    expect(events.filter(([type]) => type === 'progress')).toEqual([
      ['progress', { current: 30, total: 100 }],
      ['progress', { current: 60, total: 100 }],
    ]);
    expect(events.at(-1)).toEqual(exited);
    expect(coordinator.text()).toBe(`${line}\u001b]9;4;1;30\u0007`);
    expect(coordinator.text('stderr')).toBe('\u001b]9;4;1;60\u001b\\');
  });

  it('that prints 20,000 of them at once makes a handful of events, the last one before its end', async () => {
    const script = `for (let i = 1; i <= 20000; i += 1) console.log(JSON.stringify({ holdfast: 'progress', current: i, total: 20000 }))`;
    const began = Date.now();
    expect(await runInProcess(coordinator, [process.execPath, '-e', script], { format: 'jsonl' }).exitCode).toBe(0);
    const events = said();
    expect(events.slice(-2)).toEqual([['progress', { current: 20_000, total: 20_000 }], exited]);
    expect(events.length).toBeLessThanOrEqual(3 + (Date.now() - began) / PROGRESS_INTERVAL_MS);
  });

  it('[SPL25] shows no secret in either of them', async () => {
    const secret = 'ghp_0123456789abcdefghij';
    const script = `echo "{\\"holdfast\\":\\"progress\\",\\"current\\":1,\\"message\\":\\"with $A_TOKEN\\"}"
      echo "{\\"holdfast\\":\\"status\\",\\"message\\":\\"by $A_TOKEN\\"}"`;
    const env = { ...process.env, A_TOKEN: secret };
    expect(await runInProcess(coordinator, sh(script), { format: 'jsonl', env }).exitCode).toBe(0);
    expect(said()).toEqual([
      ['progress', { current: 1, message: `with ${REDACTED}` }],
      ['status', { message: `by ${REDACTED}` }],
      exited,
    ]);
    expect(JSON.stringify(coordinator.events)).not.toContain(secret);
  });
});
