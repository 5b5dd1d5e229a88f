/**
 * Goal: a wrapper of today takes over a spool of an earlier version, under the name that the
 * execution is bound to, and delivers all of it.
 * Method: recorded spools, partly delivered, laid out in a folder; a coordinator that has the
 * delivered part.
 */

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { HoldfastEvent } from '../../protocol/index.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { removeTemporaryFolders, runInProcess, temporaryFolder } from '../support/wrapper-run.ts';
import type { SpoolSnapshot } from './support/fixtures.ts';
import { VERSIONS } from './support/recorded.ts';

const coordinators: FakeCoordinator[] = [];
afterEach(async () => {
  for (const coordinator of coordinators.splice(0)) await coordinator.stop();
  removeTemporaryFolders();
});

interface State {
  wrapperId: string;
  execution: string;
  job: { exitCode: number | null };
}

const stateOf = ({ files }: SpoolSnapshot): State => JSON.parse(files['state.json'] ?? '') as State;

/** All of its events, in order. The delivered part is included until its segment is removed. */
const linesOf = ({ files }: SpoolSnapshot): string[] =>
  Object.keys(files)
    .filter((name) => name.endsWith('.ndjson'))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .flatMap((name) => (files[name] ?? '').split('\n').slice(0, -1));

function layOut({ files }: SpoolSnapshot): string {
  const directory = temporaryFolder();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

async function takeOver(snapshot: SpoolSnapshot, recoverOnly = false) {
  const coordinator = await new FakeCoordinator().start();
  coordinators.push(coordinator);
  coordinator.lines.push(...linesOf(snapshot).slice(0, snapshot.acked));
  const { exitCode, spool, log } = runInProcess(coordinator, ['sh', '-c', 'echo must not run'], {
    spoolDirectory: layOut(snapshot),
    url: new URL(stateOf(snapshot).execution, coordinator.url).href,
    recoverOnly,
  });
  return { coordinator, code: await exitCode, spool, log };
}

const eventsOf = (lines: readonly string[]): HoldfastEvent[] => lines.map((line) => JSON.parse(line) as HoldfastEvent);

describe.each(VERSIONS)('a spool of $name', ({ spools }) => {
  test('[VER6] [SPL12] whose job had ended: the rest is delivered, to the letter, with the exit code of the job', async () => {
    const snapshot = spools().ended as SpoolSnapshot;
    const all = linesOf(snapshot);
    expect(snapshot.acked).toBeGreaterThan(0);
    expect(snapshot.acked).toBeLessThan(all.length);
    const { coordinator, code, spool } = await takeOver(snapshot);
    expect(code).toBe(snapshot.exitCode);
    expect(code).toBe(6);
    expect(coordinator.lines).toEqual(all);
    expect(coordinator.faults).toEqual([]);
    expect(coordinator.connections[0]?.hello).toMatchObject({ wrapperId: stateOf(snapshot).wrapperId, nextSeq: all.length + 1 });
    expect(existsSync(spool) ? readdirSync(spool) : []).toEqual([]);
  });

  test.each([false, true])(
    '[VER6] [SPL23] whose job ran when its wrapper was killed: the rest, and what became of it (--recover: %s)',
    async (recoverOnly) => {
      const snapshot = spools().left as SpoolSnapshot;
      const all = linesOf(snapshot);
      expect(snapshot.acked).toBeLessThan(all.length);
      const { coordinator, code, spool } = await takeOver(snapshot, recoverOnly);
      expect(code).toBe(125);
      expect(coordinator.lines.slice(0, all.length)).toEqual(all);
      expect(eventsOf(coordinator.lines.slice(all.length))).toMatchObject([
        { type: 'gap', data: { reason: 'wrapper_crashed' } },
        { type: 'error', data: { code: 'wrapper_crashed', fatal: true } },
      ]);
      expect(coordinator.text()).not.toContain('must not run');
      expect(coordinator.connections[0]?.hello?.wrapperId).toBe(stateOf(snapshot).wrapperId);
      expect(coordinator.faults).toEqual([]);
      expect(existsSync(spool) ? readdirSync(spool) : []).toEqual([]);
    },
  );

  test('[VER6] is recovered although its state has fields of a later version', async () => {
    const snapshot = spools().ended as SpoolSnapshot;
    const state = { ...stateOf(snapshot), futureField: { a: 1 } };
    const later = { ...snapshot, files: { ...snapshot.files, 'state.json': JSON.stringify(state) } };
    const { coordinator, code } = await takeOver(later);
    expect(code).toBe(6);
    expect(coordinator.lines).toEqual(linesOf(snapshot));
  });
});
