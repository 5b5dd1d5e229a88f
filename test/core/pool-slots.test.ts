/**
 * Goal: a slot is free when its runner has nothing, and then nothing waits that fits it, whatever
 * was lost, cancelled or silent in between.
 * Method: the real Pool over rows in memory, with frames, answers of sessions and time by hand.
 */

import { describe, expect, it } from 'vitest';
import {
  encodeRunnerFrame,
  LEASE_CONFIRM_MS,
  parsePoolFrame,
  RUNNER_SILENCE_MS,
  type RunnerFrameInput,
} from '../../protocol/pool.ts';
import type { ClaimAnswer, PoolOffer, RecallAnswer, RecallRequest } from '../../src/core/pool-messages.ts';
import { RUNNERS_MAX } from '../../src/core/pool-runner.ts';
import { LOOK_AGAIN_MS } from '../../src/core/pool-silence.ts';
import type { SessionSocket } from '../../src/core/ports.ts';
import { Pool } from '../../src/pool/pool.ts';
import { MemoryPoolStore } from '../support/pool-world.ts';

const START = 1_763_650_000_000;

const offerOf = (execution: string, fields: Partial<PoolOffer> = {}): PoolOffer => ({
  session: 's1',
  execution,
  requires: {},
  needs: [],
  priority: 0,
  concurrency: null,
  waitUntil: START + 86_400_000,
  ...fields,
});

class Peer implements SessionSocket {
  readyState = 1;
  lastPingAt: number | null = null;
  readonly launched: { execution: string; lease: number }[] = [];
  #attachment: unknown = null;

  send(text: string) {
    const parsed = parsePoolFrame(text);
    if (!parsed.ok || parsed.frame?.type !== 'launch') return;
    this.launched.push({ execution: (parsed.frame.request as { id: string }).id, lease: parsed.frame.lease });
  }
  close() {
    this.readyState = 3;
  }
  serializeAttachment(attachment: unknown) {
    this.#attachment = attachment;
  }
  deserializeAttachment() {
    return this.#attachment;
  }
}

class Stage {
  now = START;
  claim: () => ClaimAnswer | null = () => null;
  recall: (request: RecallRequest) => RecallAnswer | null = () => null;
  readonly store = new MemoryPoolStore({ createdAt: START, lease: 1, entries: new Map(), runners: new Map(), alarm: null });
  readonly pool: Pool;
  readonly sockets: Peer[] = [];

  constructor() {
    this.pool = new Pool(
      {
        getWebSockets: () => this.sockets.filter(({ readyState }) => readyState === 1),
        acceptWebSocket: () => {},
        lastPingAt: (ws) => (ws as Peer).lastPingAt,
        getAlarm: async () => this.store.disk.alarm,
        setAlarm: async (at) => {
          this.store.disk.alarm = at;
        },
        waitUntil: () => {},
        now: () => this.now,
      },
      this.store,
      {
        claim: async ({ execution }) => this.claim() ?? { kind: 'launch', request: { id: execution } as never },
        recall: async (_, request) => this.recall(request),
        tellReason: async () => {},
      },
    );
  }

  runner(
    id: string,
    {
      runs = [],
      labels = {},
      slots = 1,
      draining = false,
    }: { runs?: string[]; labels?: Record<string, string>; slots?: number; draining?: boolean } = {},
  ) {
    const peer = new Peer();
    this.sockets.push(peer);
    this.pool.connect(peer, { id: 'rk_1', expiresAt: null }, this.now);
    const hello = { type: 'hello', protocol: 1, runnerId: id, bootId: `${id}-b1`, name: id, version: '0.2.0' } as const;
    this.frame(peer, { ...hello, labels, slots, runs, draining });
    return peer;
  }

  frame(peer: Peer, frame: RunnerFrameInput) {
    this.pool.onMessage(peer, encodeRunnerFrame(frame), this.now);
  }

  /** The answers of sessions arrive. */
  async answers() {
    for (let round = 0; round < 10; round += 1) await Promise.resolve();
  }

  /** Runs the alarm while it is due within this time. */
  async pass(ms: number) {
    const until = this.now + ms;
    for (let at = this.store.disk.alarm; at !== null && at <= until; at = this.store.disk.alarm) {
      this.now = Math.max(this.now, at);
      this.store.disk.alarm = null;
      this.pool.onAlarm(this.now);
      await this.answers();
    }
    this.now = until;
  }

  /** The execution is launched there, and its wrapper was seen. */
  async running(execution: string, peer: Peer, fields: Partial<PoolOffer> = {}) {
    this.pool.offer(offerOf(execution, fields), this.now);
    await this.answers();
    this.frame(peer, { type: 'launched', lease: peer.launched.at(-1)?.lease ?? 0 });
    const before = this.recall;
    this.recall = () => ({ kind: 'active' });
    await this.pass(15_000);
    peer.lastPingAt = this.now;
    this.recall = before;
    expect(this.store.get('s1', execution)?.state).toBe('running');
  }

  state(execution: string) {
    return this.store.get('s1', execution)?.state ?? null;
  }
}

const names = ({ launched }: Peer) => launched.map(({ execution }) => execution);

describe('a slot', () => {
  it('[POOL6] [POOL21] of an execution that was ended and is then refused is given to the next', async () => {
    const stage = new Stage();
    const peer = stage.runner('r1');
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    stage.pool.offer(offerOf('e2'), stage.now);
    stage.pool.settled('s1', 'e1', stage.now);
    expect(stage.state('e1')).toBe('over');
    stage.frame(peer, { type: 'refused', lease: peer.launched[0]?.lease ?? 0, code: 'cwd_missing', retry: true });
    await stage.answers();
    expect(names(peer)).toEqual(['e1', 'e2']);
  });

  const key = { concurrency: { key: 'k', limit: 1 } };

  it('[POOL15] is not taken by a run that its runner has reported as ended, when the question to the session was lost', async () => {
    const stage = new Stage();
    const peer = stage.runner('r1');
    await stage.running('e1', peer, key);
    stage.recall = () => null;
    stage.frame(peer, { type: 'ended', session: 's1', execution: 'e1' });
    await stage.answers();
    // Its wrapper was killed, and the session still waits for another one.
    stage.recall = () => ({ kind: 'active' });
    await stage.pass(15_000);
    expect(stage.state('e1')).toBe('running');
    stage.pool.offer(offerOf('e2'), stage.now);
    await stage.answers();
    expect(names(peer)).toEqual(['e1', 'e2']);
    // It counts for its limit until the session has ended it.
    stage.pool.offer(offerOf('e3', key), stage.now);
    stage.pool.settled('s1', 'e1', stage.now);
    expect(stage.state('e1')).toBeNull();
    stage.frame(peer, { type: 'ended', session: 's1', execution: 'e2' });
    stage.recall = () => ({ kind: 'over' });
    await stage.pass(1000);
    expect(names(peer)).toEqual(['e1', 'e2', 'e3']);
  });

  it('[POOL14] is not taken by an execution that this runner refused and that a wrapper elsewhere has begun', async () => {
    const stage = new Stage();
    const peer = stage.runner('r1');
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    stage.recall = () => ({ kind: 'active' });
    stage.frame(peer, { type: 'refused', lease: peer.launched[0]?.lease ?? 0, code: 'cwd_missing', retry: true });
    await stage.answers();
    stage.pool.offer(offerOf('e2'), stage.now);
    await stage.answers();
    expect(names(peer)).toEqual(['e1', 'e2']);
  });

  it('[POOL15] of a run that was believed lost counts once', async () => {
    const stage = new Stage();
    const first = stage.runner('r1', { slots: 2 });
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    stage.frame(first, { type: 'launched', lease: first.launched[0]?.lease ?? 0 });
    await stage.pass(RUNNER_SILENCE_MS + LOOK_AGAIN_MS);
    expect(stage.state('e1')).toBe('recalled');
    const again = stage.runner('r1', { slots: 2, runs: ['s1/e1'] });
    stage.recall = () => ({ kind: 'active' });
    await stage.pass(5_000);
    expect(stage.pool.view('p')?.runners).toMatchObject([{ busy: 1, runs: [{ execution: 'e1', state: 'running' }] }]);
    stage.frame(again, { type: 'ended', session: 's1', execution: 'e1' });
    expect(stage.pool.view('p')?.runners).toMatchObject([{ busy: 0, runs: [] }]);
  });

  it('[POOL15] of a run that is given back stays taken when the session does not answer', async () => {
    const stage = new Stage();
    stage.pool.offer(offerOf('e1'), stage.now);
    stage.claim = () => ({ kind: 'gone' });
    const peer = stage.runner('r1', { runs: ['s1/e1'] });
    await stage.answers();
    expect(stage.pool.view('p')?.runners).toMatchObject([{ busy: 1 }]);
    stage.frame(peer, { type: 'ended', session: 's1', execution: 'e1' });
    expect(stage.pool.view('p')?.runners).toMatchObject([{ busy: 0 }]);
  });
});

describe('a runner that was silent for a while, on a connection that stayed open', () => {
  const key = { concurrency: { key: 'k', limit: 1 } };

  /** The place of e1 under their limit is free while r2, the only one that fits e2, is silent. */
  const freedMeanwhile = async () => {
    const stage = new Stage();
    const other = stage.runner('r1', { labels: { one: 'yes' } });
    await stage.running('e1', other, { ...key, requires: { one: 'yes' } });
    const peer = stage.runner('r2', { labels: { two: 'yes' } });
    stage.pool.offer(offerOf('e2', { ...key, requires: { two: 'yes' } }), stage.now);
    expect(stage.state('e2')).toBe('waiting');
    await stage.pass(RUNNER_SILENCE_MS);
    other.lastPingAt = stage.now;
    stage.pool.settled('s1', 'e1', stage.now);
    expect([peer.readyState, other.readyState, stage.state('e2')]).toEqual([1, 1, 'waiting']);
    return { stage, peer, other };
  };

  it('[POOL6] gets what was freed meanwhile when its next ping has come', async () => {
    const { stage, peer } = await freedMeanwhile();
    await stage.pass(500);
    peer.lastPingAt = stage.now;
    await stage.pass(LOOK_AGAIN_MS);
    expect(names(peer)).toEqual(['e2']);
  });

  it('[POOL6] also when the pool was reset before it came', async () => {
    const { stage, peer } = await freedMeanwhile();
    const next = new Stage();
    next.store.disk = stage.store.disk;
    next.sockets.push(...stage.sockets);
    next.now = stage.now + 500;
    peer.lastPingAt = next.now;
    await next.pool.wake(next.now);
    await next.answers();
    expect(names(peer)).toEqual(['e2']);
  });

  it('[POOL11] is told to dial again when none comes, and the others are not', async () => {
    const { stage, peer, other } = await freedMeanwhile();
    await stage.pass(LOOK_AGAIN_MS);
    expect([peer.readyState, other.readyState]).toEqual([3, 1]);
    const again = stage.runner('r2', { labels: { two: 'yes' } });
    await stage.answers();
    expect(names(again)).toEqual(['e2']);
  });

  it('[POOL21] keeps the slot of an execution that was ended meanwhile until it speaks', async () => {
    const stage = new Stage();
    const peer = stage.runner('r1');
    await stage.running('e1', peer, key);
    await stage.pass(RUNNER_SILENCE_MS);
    stage.pool.settled('s1', 'e1', stage.now);
    stage.now += 1000;
    peer.lastPingAt = stage.now;
    stage.pool.offer(offerOf('e2'), stage.now);
    await stage.answers();
    expect(names(peer)).toEqual(['e1']);
    stage.frame(peer, { type: 'ended', session: 's1', execution: 'e1' });
    await stage.answers();
    expect(names(peer)).toEqual(['e1', 'e2']);
  });

  it('[POOL11] no longer keeps an execution from the runner that had it before', async () => {
    const stage = new Stage();
    const bad = stage.runner('r1');
    const busy = stage.runner('r2');
    busy.lastPingAt = stage.now;
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    const [refuses, runs] = names(bad).length > 0 ? [bad, busy] : [busy, bad];
    stage.pool.offer(offerOf('e2'), stage.now);
    await stage.answers();
    stage.frame(runs, { type: 'launched', lease: runs.launched[0]?.lease ?? 0 });
    stage.recall = ({ cause }) => (cause.kind === 'check' ? { kind: 'active' } : { kind: 'waiting', offer: offerOf('e1') });
    stage.frame(refuses, { type: 'refused', lease: refuses.launched[0]?.lease ?? 0, code: 'start_failed', retry: true });
    for (let second = 0; second < 70; second += 5) {
      refuses.lastPingAt = stage.now;
      // The other one loses power when its run was seen: no close ever arrives.
      if (second <= 20) runs.lastPingAt = stage.now;
      await stage.pass(5_000);
    }
    expect(names(refuses)).toEqual(['e1', 'e1']);
  });
});

describe('a pool whose process stood still for longer than a runner may be silent', () => {
  const STILL_MS = 20_000;
  const crowd = (stage: Stage) => Array.from({ length: 4 }, (_, index) => stage.runner(`r${index}`));
  const states = (peers: Peer[]) => peers.map(({ readyState }) => readyState);

  it('[POOL22] keeps its runners, and gives them what waits as soon as their pings are read', async () => {
    const stage = new Stage();
    const peers = crowd(stage);
    stage.now += STILL_MS;
    // The offer is read before the pings that arrived meanwhile.
    expect(stage.pool.offer(offerOf('e1'), stage.now)).toMatchObject({ kind: 'waiting' });
    expect(states(peers)).toEqual([1, 1, 1, 1]);
    for (const peer of peers) peer.lastPingAt = stage.now;
    await stage.pass(LOOK_AGAIN_MS);
    expect(states(peers)).toEqual([1, 1, 1, 1]);
    expect(peers.flatMap(names)).toEqual(['e1']);
  });

  it('[POOL22] drops those that stay silent when their time to be read is over', async () => {
    const stage = new Stage();
    const peers = crowd(stage);
    stage.now += STILL_MS;
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.pass(LOOK_AGAIN_MS - 1);
    expect(states(peers)).toEqual([1, 1, 1, 1]);
    await stage.pass(1);
    expect(states(peers)).toEqual([3, 3, 3, 3]);
    // It happens again a while later: a new delay, and not the old one.
    const again = crowd(stage);
    stage.now += STILL_MS;
    stage.pool.offer(offerOf('e2'), stage.now);
    expect(states(again)).toEqual([1, 1, 1, 1]);
  });

  it.each([[STILL_MS], [LEASE_CONFIRM_MS]])(
    '[POOL11] [POOL22] does not take back a launch that was confirmed in these %i ms',
    async (stillMs) => {
      const stage = new Stage();
      const peer = stage.runner('r1');
      stage.pool.offer(offerOf('e1'), stage.now);
      await stage.answers();
      stage.now += stillMs;
      await stage.pass(0);
      expect([stage.state('e1'), peer.readyState]).toEqual(['leased', 1]);
      stage.frame(peer, { type: 'launched', lease: peer.launched[0]?.lease ?? 0 });
      peer.lastPingAt = stage.now;
      await stage.pass(LOOK_AGAIN_MS);
      expect([stage.state('e1'), peer.readyState]).toEqual(['launched', 1]);
    },
  );

  it('[POOL11] [POOL22] takes back a launch that stays unanswered', async () => {
    const stage = new Stage();
    const peer = stage.runner('r1');
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    stage.now += STILL_MS;
    await stage.pass(LOOK_AGAIN_MS);
    expect([stage.state('e1'), peer.readyState]).toEqual(['recalled', 3]);
  });

  it('[POOL22] does not believe a runner lost that could not connect again meanwhile', async () => {
    const stage = new Stage();
    const peer = stage.runner('r1');
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    stage.frame(peer, { type: 'launched', lease: peer.launched[0]?.lease ?? 0 });
    peer.readyState = 3;
    stage.pool.onClose(peer, 1006, '', stage.now);
    stage.recall = ({ cause }) => ({ kind: cause.kind === 'check' ? 'pending' : 'waiting' });
    stage.now += STILL_MS;
    await stage.pass(0);
    stage.runner('r1', { runs: ['s1/e1'] });
    await stage.pass(LOOK_AGAIN_MS);
    expect(stage.state('e1')).toBe('launched');
  });
});

describe('a runner that had an execution and lost it', () => {
  /** The runner that got e1 is cut off and connects again; the other one fits too, and is busy. */
  const cutOff = async () => {
    const stage = new Stage();
    const peers = { r1: stage.runner('r1'), r2: stage.runner('r2') };
    await stage.running('other', peers.r1);
    stage.pool.offer(offerOf('e1'), stage.now);
    await stage.answers();
    expect(names(peers.r2)).toEqual(['e1']);
    stage.recall = () => ({ kind: 'waiting' });
    peers.r2.readyState = 3;
    stage.pool.onClose(peers.r2, 1006, '', stage.now);
    await stage.answers();
    expect(stage.state('e1')).toBe('waiting');
    return { stage, busy: peers.r1, back: stage.runner('r2') };
  };

  it('[POOL11] does not get it for 30 s while another one fits, and then does', async () => {
    const { stage, busy, back } = await cutOff();
    for (let second = 0; second < 30; second += 5) {
      expect(names(back)).toEqual([]);
      busy.lastPingAt = stage.now;
      back.lastPingAt = stage.now;
      await stage.pass(5_000);
    }
    expect([names(busy), names(back)]).toEqual([['other'], ['e1']]);
  });

  it('[POOL11] leaves it to the other one when that has a free slot in time', async () => {
    const { stage, busy, back } = await cutOff();
    await stage.pass(3_000);
    stage.frame(busy, { type: 'ended', session: 's1', execution: 'other' });
    await stage.answers();
    expect([names(busy), names(back)]).toEqual([['other', 'e1'], []]);
  });

  it.each<[string, (stage: Stage, busy: Peer) => void]>([
    ['leaves', (stage, busy) => stage.pool.onClose(busy, 1006, '', stage.now)],
    ['drains', (stage, busy) => stage.frame(busy, { type: 'draining' })],
  ])('[POOL11] gets it at once when the only other one %s', async (_, go) => {
    const { stage, busy, back } = await cutOff();
    await stage.pass(1_000);
    expect(names(back)).toEqual([]);
    go(stage, busy);
    await stage.answers();
    expect(names(back)).toEqual(['e1']);
  });

  it('[POOL15] [POOL17] has it again when it still runs it, also while it drains, and is sent nothing', async () => {
    const { stage } = await cutOff();
    const draining = stage.runner('r3', { runs: ['s1/e1'], draining: true });
    await stage.answers();
    expect(names(draining)).toEqual([]);
    expect(stage.store.get('s1', 'e1')).toMatchObject({ state: 'launched', runnerId: 'r3' });
    stage.pool.settled('s1', 'e1', stage.now);
    stage.frame(draining, { type: 'ended', session: 's1', execution: 'e1' });
    expect(stage.state('e1')).toBeNull();
  });
});

it('[POOL12] a runner that always answers `full` is asked ever more rarely, and takes a launch in the end', async () => {
  const stage = new Stage();
  const peer = stage.runner('r1');
  stage.recall = () => ({ kind: 'waiting' });
  stage.pool.offer(offerOf('e1'), stage.now);
  await stage.answers();
  const asked: number[] = [];
  for (let second = 0; second < 600; second += 5) {
    const { length } = peer.launched;
    if (length > asked.length) {
      asked.push(second);
      stage.frame(peer, { type: 'refused', lease: peer.launched.at(-1)?.lease ?? 0, code: 'full', retry: true });
      await stage.answers();
    }
    peer.lastPingAt = stage.now;
    await stage.pass(5_000);
  }
  expect(asked).toEqual([0, 5, 15, 35, 75, 155, 315]);
  // A run of its own has ended: no rest any more, and the next `full` is the eighth.
  stage.frame(peer, { type: 'ended', session: 's1', execution: 'unknown' });
  stage.frame(stage.runner('r1', { runs: ['s1/own'], slots: 2 }), { type: 'ended', session: 's1', execution: 'own' });
  await stage.answers();
  expect(stage.store.get('s1', 'e1')?.state).toBe('leased');
});

it('the time since which a runner is gone outlives a reset of the object', async () => {
  const stage = new Stage();
  stage.runner('r1');
  for (const laterMs of [0, 3_600_000]) {
    // A new instance, whose sockets were lost with the one before.
    const next = new Stage();
    next.store.disk = stage.store.disk;
    await next.pool.wake(START + laterMs);
    expect(next.store.disk.runners.get('r1')?.goneAt).toBe(START);
  }
});

describe('a pool that is full of runners', () => {
  const fill = async (stage: Stage, goneAt: number) => {
    stage.runner('r0');
    const record = stage.store.disk.runners.get('r0');
    if (!record) throw new Error('there is no record');
    for (let index = 1; index < RUNNERS_MAX; index += 1)
      stage.store.putRunner({ ...record, id: `old${index}`, goneAt: goneAt + index });
    await stage.pool.wake(stage.now);
  };

  it('forgets the one that is gone for the longest time, for a new one', async () => {
    const stage = new Stage();
    await fill(stage, START - 3_600_000);
    expect(stage.runner('new').readyState).toBe(1);
    expect([stage.store.disk.runners.size, stage.store.disk.runners.has('old1'), stage.store.disk.runners.has('old2')]).toEqual([
      RUNNERS_MAX,
      false,
      true,
    ]);
  });
});

describe('an execution whose session gave up and could not say so', () => {
  it('[POOL22] wakes nothing, is not counted as waiting, and delays no other', async () => {
    const stage = new Stage();
    stage.pool.offer(offerOf('gone', { waitUntil: START + 1_000 }), stage.now);
    expect(stage.store.disk.alarm).toBeNull();
    expect(stage.pool.summary('p')).toMatchObject({ waiting: 1 });
    stage.now = START + 61_000;
    expect(stage.pool.summary('p')).toMatchObject({ waiting: 0 });
    expect(stage.state('gone')).toBeNull();

    stage.pool.offer(offerOf('gone too', { waitUntil: stage.now }), stage.now);
    stage.pool.offer(offerOf('next'), stage.now);
    stage.claim = () => {
      stage.claim = () => null;
      return { kind: 'gone' };
    };
    const peer = stage.runner('r1');
    await stage.answers();
    expect(names(peer)).toEqual(['next']);
  });
});

describe('an offer', () => {
  it('[POOL2] of a session that was deleted and made again counts, and not the one before', async () => {
    const stage = new Stage();
    stage.pool.offer(offerOf('e1'), stage.now);
    // The message about the deletion was lost.
    stage.pool.offer(offerOf('e1', { requires: { gpu: 'yes' }, waitUntil: START + 90_000_000 }), stage.now);
    const plain = stage.runner('r1');
    const gpu = stage.runner('r2', { labels: { gpu: 'yes' } });
    await stage.answers();
    expect([names(plain), names(gpu)]).toEqual([[], ['e1']]);
  });
});
