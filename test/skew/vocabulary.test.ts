/**
 * Goal: no name that a peer may rely on is removed or changes its meaning within a protocol number.
 * Method: the recorded lists of each version are compared with today's.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  EVENT_TYPE_PATTERN,
  ID_PATTERN,
  KNOWN_TYPES,
  nextStepAfterClose,
  ON_BUSY,
  OUTPUT_FORMATS,
  PROBLEMS,
  PROTOCOL_VERSION,
  parseCoordinatorFrame,
  parseStreamFrame,
  RECORDED_LAUNCHERS,
  resolvePolicy,
  STATUSES,
} from '../../protocol/index.ts';
import { type Entry, framesOf } from './support/fixtures.ts';
import { VERSIONS } from './support/recorded.ts';

test('at least one version of this protocol number is recorded', () => {
  expect(VERSIONS.filter(({ name }) => name.startsWith(`protocol-${PROTOCOL_VERSION}/`))).not.toEqual([]);
});

describe.each(VERSIONS)('the names of $name', ({ name, files, fixture, vocabulary }) => {
  const then = vocabulary();

  test('[VER5] the statuses of an execution are the same', () => {
    expect([...STATUSES]).toEqual(then.statuses);
  });

  test('[VER1] event types, launchers, formats and the values of onBusy are all there', () => {
    expect(KNOWN_TYPES).toEqual(expect.arrayContaining(then.eventTypes));
    expect(RECORDED_LAUNCHERS).toEqual(expect.arrayContaining(then.launchers));
    expect(OUTPUT_FORMATS).toEqual(expect.arrayContaining(then.formats));
    expect(ON_BUSY).toEqual(expect.arrayContaining(then.onBusy));
    for (const type of then.eventTypes) expect(type).toMatch(EVENT_TYPE_PATTERN);
  });

  test('[VER1] problem codes have the recorded status and retryable flag', () => {
    for (const [code, { status, retryable }] of Object.entries(then.problems)) {
      expect(PROBLEMS[code as keyof typeof PROBLEMS], code).toMatchObject({ status, retryable });
    }
  });

  test('[VER1] close codes have the recorded reaction', () => {
    // With these two it always sent a reason, and they count only with that reason (CLS16).
    const reasons: Record<number, string> = { 4000: '{"status":"completed"}', 4409: 'another wrapper has this execution' };
    for (const [what, { code, next }] of Object.entries(then.closeCodes))
      expect(nextStepAfterClose(code, reasons[code]), what).toBe(next);
  });

  test('[VER1] a policy that was within the bounds is', () => {
    for (const [key, bounds] of Object.entries(then.policy)) {
      const [low, high] = 'min' in bounds ? [bounds.min, bounds.max] : [bounds.minMs, bounds.maxMs];
      // A heartbeat is bound to the silence that it must prevent (LIF17).
      const rest = (value: number) => (key === 'heartbeatMs' ? { silenceTimeoutMs: Math.max(1000, value * 2) } : {});
      for (const value of [low, high]) expect(resolvePolicy({ [key]: value, ...rest(value) }).ok, `${key} ${value}`).toBe(true);
    }
  });

  test('[VER1] every id and every frame that it sent is valid today', () => {
    let frames = 0;
    for (const file of files.filter((one) => /^(ingest|viewer)-/.test(one))) {
      const { entries } = fixture(file.replace('.ndjson', ''));
      for (const frame of framesOf(entries as Entry[], 'callee')) {
        frames += 1;
        if (frame === 'pong') continue;
        const understood = file.startsWith('ingest-') ? parseCoordinatorFrame(frame).ok : parseStreamFrame(frame) !== null;
        expect(understood, frame).toBe(true);
      }
      for (const frame of framesOf(entries as Entry[], 'caller').filter((one) => one.startsWith('{"type":"hello"'))) {
        const { wrapperId, bootId } = JSON.parse(frame) as Record<string, string>;
        for (const id of [wrapperId, bootId]) expect(id).toMatch(ID_PATTERN);
      }
    }
    expect(frames).toBeGreaterThan(50);
  });

  test('the filter left holes, so that frames with `offsets` are among them', () => {
    expect(framesOf(fixture('viewer-types').entries, 'callee').filter((frame) => frame.includes('"offsets":['))).not.toEqual([]);
  });

  test('its folder has the versions of its files', () => {
    for (const file of files.filter((one) => one.endsWith('.ndjson'))) {
      const { head } = fixture(file.replace('.ndjson', ''));
      expect(`protocol-${head.protocol}/${head.version}`).toBe(name);
      expect(`${head.fixture}.ndjson`).toBe(file);
    }
  });

  test('no fixture contains a secret, or a value of the machine that recorded it', () => {
    const folder = new URL(`./fixtures/${name}/`, import.meta.url);
    for (const file of files) {
      const text = readFileSync(new URL(file, folder), 'utf8');
      expect(text, file).not.toMatch(
        /eyJ[\w-]+\.[\w-]+\.|Bearer (?!<)|127\.0\.0\.1|localhost|whsec_|hf_[0-9a-f]{8}|\/tmp\/|\/home\/|\/root\//,
      );
    }
  });
});
