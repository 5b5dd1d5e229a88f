/**
 * The simulator's store keeps the contract of the real one, and its disk keeps the platform's
 * promise about crashes.
 */

import { describe, expect, test } from 'vitest';
import { Disk } from '../../tools/simulator/disk.ts';
import { MemoryStore } from '../../tools/simulator/memory-store.ts';
import { describeStore, newRow } from '../support/store-contract.ts';

describeStore('memory, for the simulator', (body) => {
  const disk = new Disk();
  body(() => new MemoryStore(disk));
});

describe('the simulated disk', () => {
  test('a crash takes the turns that were not flushed, as wholes and from the newest on', () => {
    const disk = new Disk();
    const store = new MemoryStore(disk);
    store.create(1);
    store.executions.insert(newRow('e1'));
    disk.flushed(disk.endTurn() ?? 0);
    store.executions.update('e1', { status: 'running' });
    disk.setAlarm(7);
    disk.endTurn();
    store.executions.update('e1', { status: 'failed' });
    store.log.append({ execution: 'e1', firstSeq: null, count: 1, body: '{}', bytes: 2 }, 1);
    disk.endTurn();
    expect(disk.durable).toBe(false);
    expect(disk.lose()).toBe(2);
    const woken = new MemoryStore(disk);
    expect([woken.executions.get('e1')?.status, woken.log.head, disk.alarm]).toEqual(['pending', 0, null]);
  });

  test('a flush makes durable what came up to it, and a later crash does not touch that', () => {
    const disk = new Disk();
    const store = new MemoryStore(disk);
    store.create(1);
    const first = disk.endTurn() ?? 0;
    store.executions.insert(newRow('e1'));
    disk.endTurn();
    disk.flushed(first);
    expect(disk.durableVersion).toBe(first);
    expect(disk.lose()).toBe(1);
    expect(new MemoryStore(disk).executions.get('e1')).toBeNull();
    expect(new MemoryStore(disk).exists).toBe(true);
  });
});
