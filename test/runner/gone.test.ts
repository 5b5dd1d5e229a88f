/** Goal: a killed wrapper is restarted, a limited number of times; one that exited is not. */

import { describe, expect, it } from 'vitest';
import { decideAfterExit, type ExitFacts, RESTARTS_HELD_MAX, RESTARTS_MAX } from '../../runner/wrapper-exit.ts';

const ingest = { url: 'https://holdfast.example/ingest', token: 'token' };
const KILLED: ExitFacts = {
  code: null,
  signal: 'SIGKILL',
  hasState: true,
  jobHeld: false,
  welcomedBoot: null,
  countedBoot: null,
  restarts: 0,
  ingest,
  stopping: false,
};
const CURVE = { baseMs: 250, capMs: 10_000 };

describe('a wrapper that is gone', () => {
  it.each([
    ['left with all delivered', { code: 3, signal: null, hasState: false }, 'finished'],
    ['left with something undelivered', { code: 125, signal: null, hasState: true }, 'abandoned'],
    ['was not our child, and left nothing', { signal: null, hasState: false }, 'finished'],
  ] as const)('%s: no restart', (_name, facts, end) => {
    expect(decideAfterExit({ ...KILLED, ...facts }, CURVE)).toEqual({ kind: 'end', end, why: null });
  });

  it.each([
    ['killed', {}, 'SIGKILL'],
    ['killed before it had any state, or after its last', { hasState: false }, 'SIGKILL'],
    ['not our child, with state left', { signal: null }, 'unknown cause'],
  ] as const)('%s: restarted with what there is to report with', (_name, facts, cause) => {
    expect(decideAfterExit({ ...KILLED, ...facts }, CURVE)).toEqual({
      kind: 'restart',
      restarts: 1,
      delayMs: 250,
      ingest,
      why: `wrapper gone (${cause}) with its spool unfinished, restart in 250 ms`,
    });
  });

  it('[G10] is restarted although it exited, when its job is held', () => {
    const facts = { ...KILLED, code: 1, signal: null, jobHeld: true };
    expect(decideAfterExit(facts, CURVE)).toMatchObject({ kind: 'restart', why: expect.stringContaining('(exit code 1)') });
  });

  it('[G10] counts its restarts again after each welcome, once', () => {
    const facts = { ...KILLED, jobHeld: true, restarts: RESTARTS_HELD_MAX };
    const decided = (welcomedBoot: string | null, countedBoot: string | null) =>
      decideAfterExit({ ...facts, welcomedBoot, countedBoot }, CURVE);
    expect(decided('b_1', null)).toMatchObject({ kind: 'restart', restarts: 1, delayMs: 250 });
    expect(decided('b_2', 'b_1')).toMatchObject({ kind: 'restart', restarts: 1 });
    // It died before it wrote its own id.
    expect(decided('b_2', 'b_2')).toMatchObject({ kind: 'end', end: 'abandoned' });
    expect(decided(null, null)).toMatchObject({ kind: 'end', end: 'abandoned' });
  });

  it('[G10] is restarted at the longest delay for hours while its job is held', () => {
    for (const restarts of [RESTARTS_MAX, RESTARTS_HELD_MAX - 1])
      expect(decideAfterExit({ ...KILLED, jobHeld: true, restarts }, CURVE)).toMatchObject({ kind: 'restart', delayMs: 10_000 });
  });

  it('is restarted with growing delays, and no more after the last one', () => {
    const gone = (restarts: number) => decideAfterExit({ ...KILLED, restarts }, CURVE);
    expect(gone(1)).toMatchObject({ kind: 'restart', delayMs: 2000 });
    expect(gone(RESTARTS_MAX - 1)).toMatchObject({ kind: 'restart', delayMs: 10_000 });
    expect(gone(RESTARTS_MAX)).toEqual({
      kind: 'end',
      end: 'abandoned',
      why: `wrapper gone again (SIGKILL), given up after ${RESTARTS_MAX} restarts`,
    });
  });

  it.each([
    ['killed', {}],
    ['killed as often as it may be restarted', { restarts: RESTARTS_MAX }],
    ['ended with something undelivered', { code: 125, signal: null }],
    ['not our child, with state left', { signal: null }],
  ] as const)('while the runner stops all runs: %s, and left to the next runner', (_name, facts) => {
    expect(decideAfterExit({ ...KILLED, ...facts, stopping: true }, CURVE)).toMatchObject({ kind: 'leave' });
  });

  it.each([
    ['all was delivered', { code: 0, signal: null, hasState: false }, 'finished'],
    ['there is no credential', { code: 125, signal: null, ingest: null }, 'abandoned'],
    ['it was killed, and there is no credential', { ingest: null }, 'abandoned'],
  ] as const)('while the runner stops all runs, a run ends when %s', (_name, facts, end) => {
    expect(decideAfterExit({ ...KILLED, ...facts, stopping: true }, CURVE)).toMatchObject({ kind: 'end', end });
  });

  it('is given up without a credential to report with', () => {
    expect(decideAfterExit({ ...KILLED, ingest: null }, CURVE)).toEqual({
      kind: 'end',
      end: 'abandoned',
      why: 'wrapper gone (SIGKILL) and its credential too; it cannot report',
    });
  });
});
