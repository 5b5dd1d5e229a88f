/**
 * Goal: a job that is to stop gets each signal once and in time, whatever else asks for its end,
 * and nothing gets one afterwards. Method: a group of processes that only writes down what it gets,
 * on a clock of the test's.
 */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { JobStop, type StopTarget } from '../../wrapper/job/stop.ts';

class Group implements StopTarget {
  readonly got: [ms: number, signal: NodeJS.Signals][] = [];
  alive = true;
  readonly #begun = Date.now();
  signal(signal: NodeJS.Signals): boolean {
    if (this.alive) this.got.push([Date.now() - this.#begun, signal]);
    return this.alive;
  }
  living(): readonly unknown[] {
    return this.alive ? [this] : [];
  }
  /** Of the job's process; others may outlive it. */
  leaderEnded = false;
  get ended(): boolean {
    return this.leaderEnded || !this.alive;
  }
  givenUpAt: number | null = null;
  giveUp(): void {
    this.givenUpAt = Date.now() - this.#begun;
  }
}

let group: Group;
let stop: JobStop;

beforeEach(() => {
  vi.useFakeTimers();
  group = new Group();
  stop = new JobStop(group, { killAfterMs: 5000, leftoverKillMs: 2000, killedWaitMs: 5000 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an interrupt', () => {
  it('climbs its ladder to the end, and then has no pending signals', () => {
    stop.interrupt('SIGINT', 800);
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([
      [0, 'SIGINT'],
      [400, 'SIGTERM'],
      [800, 'SIGKILL'],
    ]);
    expect(stop.hasPendingSignals).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('asked for again has one timer, and brings the end nearer', () => {
    stop.interrupt('SIGINT', 10_000);
    stop.interrupt('SIGTERM', 300);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(20_000);
    expect(group.got).toEqual([
      [0, 'SIGINT'],
      [0, 'SIGTERM'],
      [300, 'SIGKILL'],
    ]);
  });

  it('[JS4] of a job that may not be signalled climbs to its end, and then does not wait for it', () => {
    group.signal = () => false;
    stop.interrupt('SIGINT', 800);
    vi.advanceTimersByTime(5799);
    expect(group.givenUpAt).toBe(null);
    vi.advanceTimersByTime(1);
    expect(group.givenUpAt).toBe(5800);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('[JS4] of a job that ended in time gives nothing up', () => {
    stop.interrupt('SIGKILL', 0);
    vi.advanceTimersByTime(4000);
    group.leaderEnded = true;
    vi.advanceTimersByTime(10_000);
    expect(group.givenUpAt).toBe(null);
  });

  it('ends when the group has no member', () => {
    stop.interrupt('SIGINT', 800);
    expect(stop.hasPendingSignals).toBe(true);
    group.alive = false;
    expect(stop.hasPendingSignals).toBe(false);
    vi.advanceTimersByTime(400);
    group.alive = true; // Another process may have the number by now.
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([[0, 'SIGINT']]);
    expect(stop.hasPendingSignals).toBe(false);
  });

  it('sends nothing after it was forgotten', () => {
    stop.interrupt('SIGINT', 800);
    stop.forget();
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([[0, 'SIGINT']]);
  });
});

describe('a job that is no longer wanted', () => {
  it('has its time from SIGTERM to SIGKILL', () => {
    stop.unwanted();
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([
      [0, 'SIGTERM'],
      [5000, 'SIGKILL'],
    ]);
  });
});

describe('a signal of this process', () => {
  it('is passed on as it is; the second one kills', () => {
    stop.pass('SIGHUP');
    stop.pass('SIGINT');
    stop.pass('SIGTERM');
    expect(group.got.map(([, signal]) => signal)).toEqual(['SIGHUP', 'SIGKILL', 'SIGKILL']);
    expect(stop.passedSignal).toBe('SIGHUP');
  });
});

describe('what is left when the job itself has ended', () => {
  const leftover = [
    [0, 'SIGTERM'],
    [2000, 'SIGKILL'],
  ];

  it('is left alone without a request to stop', () => {
    stop.leaderGone();
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([]);
  });

  it('is not left behind after a signal was passed on', () => {
    stop.pass('SIGINT');
    stop.leaderGone();
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([[0, 'SIGINT'], ...leftover]);
  });

  it('is not left behind while the ladder of an interrupt is climbed', () => {
    stop.interrupt('SIGINT', 60_000);
    stop.leaderGone();
    vi.advanceTimersByTime(60_000);
    expect(group.got).toEqual([[0, 'SIGINT'], ...leftover]);
  });

  it('is not left behind by a job that is no longer wanted, after the last rung too', () => {
    stop.unwanted();
    vi.advanceTimersByTime(5000);
    group.got.length = 0;
    stop.leaderGone();
    vi.advanceTimersByTime(10_000);
    expect(group.got).toEqual([
      [5000, 'SIGTERM'],
      [7000, 'SIGKILL'],
    ]);
  });
});
