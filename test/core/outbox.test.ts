/**
 * What is sent to others, when, and what is accepted: the decisions of core/outbox.ts and
 * core/directory.ts, without anything around them.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RETENTION_MS } from '../../src/core/deadlines.ts';
import { type Announcement, decideUpsert, type StoredVersion } from '../../src/core/directory.ts';
import { ATTEMPT_TIMEOUT_MS, LEASE_MS, lease, RETRY_CAP_MS } from '../../src/core/leased-row.ts';
import {
  isWaiting,
  markDelivered,
  noteChange,
  type OutboxRecord,
  REFRESH_MIN_MS,
  rebaseVersion,
  scheduleRetry,
} from '../../src/core/outbox.ts';

const NOW = 1_763_650_000_000;
const HOUR = 3_600_000;
const first = noteChange(null, 'directory', NOW);

describe('changes', () => {
  test('[DIR2] each raises the version, to the time where it can be', () => {
    expect(first).toEqual({ topic: 'directory', version: NOW, delivered: 0, attempts: 0, dueAt: NOW + LEASE_MS });
    expect(noteChange(first, 'directory', NOW).version).toBe(NOW + 1);
    expect(noteChange(first, 'directory', NOW - HOUR).version).toBe(NOW + 1);
    expect(noteChange(first, 'directory', NOW + HOUR).version).toBe(NOW + HOUR);
  });

  test('[DIR4] a change has a lease that outlasts an attempt, and resets the backoff', () => {
    expect(LEASE_MS).toBeGreaterThan(ATTEMPT_TIMEOUT_MS);
    const tired = { ...first, attempts: 9, dueAt: NOW + HOUR };
    expect(noteChange(tired, 'directory', NOW + 5)).toMatchObject({ attempts: 0, dueAt: NOW + 5 + LEASE_MS });
    expect(lease(tired, NOW + 5)).toEqual({ ...tired, dueAt: NOW + 5 + LEASE_MS });
  });
});

describe('answers', () => {
  test('delivered: not sent again until the session has been idle for as long again, and never within a day', () => {
    const told = markDelivered(first, first.version, 0, NOW);
    expect(isWaiting(told)).toBe(false);
    expect(told.dueAt).toBe(NOW + REFRESH_MIN_MS);
    expect(markDelivered(first, first.version, 7 * REFRESH_MIN_MS, NOW).dueAt).toBe(NOW + 7 * REFRESH_MIN_MS);
  });

  test('taken, but there is news since: it waits', () => {
    const news = noteChange(first, 'directory', NOW + 1);
    const told = markDelivered(news, first.version, 0, NOW + 2);
    expect(isWaiting(told)).toBe(true);
    expect(told.dueAt).toBe(NOW + 2 + LEASE_MS);
  });

  test('an answer to an older message takes nothing back', () => {
    const told = markDelivered(noteChange(first, 'directory', NOW + 1), NOW + 1, 0, NOW);
    expect(markDelivered(told, first.version, 0, NOW).delivered).toBe(NOW + 1);
  });

  test('[DIR2] the receiver is ahead: the version rises above the receiver’s, whatever it was', () => {
    expect(rebaseVersion(first, NOW + HOUR, NOW).version).toBe(NOW + HOUR + 1);
    expect(rebaseVersion(first, first.version, NOW).version).toBe(NOW + 1);
    expect(isWaiting(rebaseVersion(markDelivered(first, first.version, 0, NOW), NOW, NOW))).toBe(true);
  });

  test('[DIR4] no answer: the delays grow to their cap, differ between sessions, and cost an hour at most 90 alarms', () => {
    let record: OutboxRecord = first;
    let now = NOW;
    const delays: number[] = [];
    while (now < NOW + HOUR) {
      record = scheduleRetry(record, now);
      delays.push(record.dueAt - now);
      now = record.dueAt;
    }
    for (const [index, delay] of delays.entries()) {
      const whole = Math.min(RETRY_CAP_MS, 1000 * 2 ** index);
      expect(delay).toBeGreaterThanOrEqual(whole / 2);
      expect(delay).toBeLessThanOrEqual(whole);
    }
    expect(delays.length).toBeLessThan(40);
    const other = noteChange(null, 'directory', NOW + 700);
    expect(scheduleRetry(other, NOW).dueAt).not.toBe(scheduleRetry(first, NOW).dueAt);
    expect(scheduleRetry({ ...first, attempts: 5000 }, NOW).dueAt).toBeLessThanOrEqual(NOW + RETRY_CAP_MS);
  });

  test('[DIR5] an untouched session announces itself a few times before it expires, and not within an idle hour', () => {
    let record = markDelivered(first, first.version, 0, NOW);
    let wakes = 0;
    expect(record.dueAt).toBeGreaterThan(NOW + HOUR);
    while (record.dueAt < NOW + RETENTION_MS) {
      wakes += 1;
      const now = record.dueAt;
      record = markDelivered(lease(record, now), record.version, now - NOW, now);
    }
    expect(wakes).toBe(7);
  });
});

describe('[DIR2] what a directory takes', () => {
  const say = (version: number, present = true): Announcement => ({
    session: 's',
    version,
    entry: present ? { id: 's', lastActivityAt: version, execution: null } : null,
  });

  test.each<[what: string, held: StoredVersion | null, said: Announcement, judgement: string]>([
    ['of a session it does not know', null, say(5), 'apply'],
    ['a removal of one it does not know', null, say(5, false), 'apply'],
    ['a newer one', { version: 4, removed: false }, say(5), 'apply'],
    ['a newer one of a session that was removed', { version: 4, removed: true }, say(5), 'apply'],
    ['a newer removal', { version: 4, removed: false }, say(5, false), 'apply'],
    ['the same again', { version: 5, removed: false }, say(5), 'duplicate'],
    ['the same removal again', { version: 5, removed: true }, say(5, false), 'duplicate'],
    ['an older one', { version: 6, removed: false }, say(5), 'stale'],
    ['an older one of a session that was removed', { version: 6, removed: true }, say(5), 'stale'],
    ['a removal of the version it has', { version: 5, removed: false }, say(5, false), 'stale'],
    ['one of the version of its removal', { version: 5, removed: true }, say(5), 'stale'],
  ])('%s', (_, held, said, judgement) => {
    expect(decideUpsert(held, said)).toBe(judgement);
  });

  test('however ordered and repeated messages arrive, the newest stays', () => {
    const messages = fc.array(fc.record({ version: fc.integer({ min: 1, max: 6 }), again: fc.nat(2) }), { minLength: 1 });
    fc.assert(
      fc.property(messages, (sent) => {
        let held: StoredVersion | null = null;
        for (const { version, again } of sent) {
          for (let count = 0; count <= again; count += 1) {
            const said = say(version, version % 2 === 0);
            if (decideUpsert(held, said) === 'apply') held = { version, removed: said.entry === null };
          }
        }
        const newest = Math.max(...sent.map(({ version }) => version));
        expect(held).toEqual({ version: newest, removed: newest % 2 === 1 });
      }),
    );
  });
});
