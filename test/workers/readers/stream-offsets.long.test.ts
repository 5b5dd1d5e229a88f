/**
 * Goal: guarantee G2 completely: replay begins at the requested offset.
 * Method: as stream.test.ts, with every existing offset.
 */

import { expect, test } from 'vitest';
import { fill } from '../support/fill.ts';
import { exit, newSession, readLog, start, ViewerPeer } from '../support/peers.ts';

test('[G2] from every offset of a log of 1,000 events gives exactly what follows it', { timeout: 400_000 }, async () => {
  const session = newSession();
  const peer = await fill(await start(session), 996);
  await peer.deliver(997, [exit(0)]);
  await peer.closed;
  const log = await readLog(session);
  expect(log.map(({ offset }) => offset)).toEqual(Array.from({ length: 1001 }, (_, index) => index + 1));
  for (let after = 0; after <= log.length; after += 1) {
    const viewer = await ViewerPeer.connect(session, `?after=${after}`);
    expect(await viewer.until('caught_up')).toEqual({ type: 'caught_up', offset: log.length });
    expect(viewer.offsets).toEqual(log.slice(after).map(({ offset }) => offset));
    if (after % 100 === 0) {
      expect(viewer.events).toEqual(log.slice(after));
      // Within the time in which a test run may be silent.
      console.warn(`offsets up to ${after} are done`);
    }
    viewer.close();
  }
});
