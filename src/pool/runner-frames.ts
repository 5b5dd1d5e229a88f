/**
 * What the frames of runners do. The rules are POOL3, POOL12, POOL13 and POOL15 to POOL18.
 *
 * R1 and R2 are in core/pool-runner.ts.
 */

import { CLOSE } from '../../protocol/index.ts';
import {
  CLONED_REASON,
  type EndedFrame,
  encodePoolFrame,
  type RefusedFrame,
  RUNNER_PROTOCOL_VERSION,
  type RunnerFrame,
  type RunnerHello,
} from '../../protocol/pool.ts';
import { afterHello, causeOfAbsence, confirm, type PoolEntry } from '../core/pool-entry.ts';
import { entryKey } from '../core/pool-index.ts';
import { decideHello, noteFull, tooOldNotice } from '../core/pool-runner.ts';
import type { SessionSocket } from '../core/ports.ts';
import type { PoolLog } from '../platform/log.ts';
import type { Assignments } from './assignments.ts';
import type { PoolLedger } from './ledger.ts';
import type { Seat } from './seat.ts';
import { attach, attachmentOf, closeRunner, isOpen } from './sockets.ts';

export class RunnerFrames {
  readonly #ledger: PoolLedger;
  readonly #assignments: Assignments;
  readonly #log: PoolLog;

  constructor(ledger: PoolLedger, assignments: Assignments, log: PoolLog) {
    this.#ledger = ledger;
    this.#assignments = assignments;
    this.#log = log;
  }

  /** R1, R2 */
  onHello(ws: SessionSocket, keyId: string, hello: RunnerHello, now: number): void {
    const before = this.#ledger.seats.get(hello.runnerId) ?? null;
    if (!before) this.#ledger.forgetOldRunners(now);
    const heardAt = before?.open ? before.heardAt : null;
    const decision = decideHello(before?.record ?? null, hello, { keyId, heardAt, runners: this.#ledger.seats.size, now });
    if (decision.kind !== 'accept') {
      const [code, reason] =
        decision.kind === 'refuse_clone' ? [CLOSE.claimed, CLONED_REASON] : [CLOSE.tooManyConnections, 'too many runners'];
      this.#log('warn', 'runner_refused', { runner: hello.runnerId, wsCloseCode: code, reason });
      return closeRunner(ws, code, reason);
    }
    const older = before?.ws ?? null;
    const known = this.#ledger.index.heldBy(hello.runnerId);
    const runs = new Set(hello.runs);
    const extraRuns = [...runs].filter((run) => !known.some((entry) => entryKey(entry) === run));
    const seat = this.#ledger.seat({ ...decision.record, extraRuns });
    this.#ledger.store.putRunner(seat.record);
    seat.ws = ws;
    const attachment = attachmentOf(ws);
    if (attachment) attach(ws, { ...attachment, runnerId: hello.runnerId, bootId: hello.bootId });
    if (older && older !== ws && isOpen(older)) {
      const cloned = decision.closes === 'cloned';
      if (cloned) this.#log('warn', 'runner_cloned', { runner: hello.runnerId });
      closeRunner(older, cloned ? CLOSE.claimed : CLOSE.superseded, cloned ? CLONED_REASON : 'superseded');
    }
    for (const entry of known) {
      const next = afterHello(entry, { has: runs.has(entryKey(entry)), bootId: hello.bootId, now });
      if (next === entry) continue;
      if (next?.state === 'recalled') this.#assignments.recall(entry, causeOfAbsence(entry, decision.rebooted), now);
      else this.#ledger.replace(entry, next);
    }
    this.#log('info', 'runner_connected', { runner: hello.runnerId, slots: hello.slots });
    const notice = seat.record.tooOld ? { notice: tooOldNotice(hello.version) } : {};
    seat.send(encodePoolFrame({ type: 'welcome', protocol: Math.min(hello.protocol, RUNNER_PROTOCOL_VERSION), ...notice }));
    if (seat.record.draining) {
      seat.send(encodePoolFrame({ type: 'drained' }));
      // It was told to while it was away.
      if (!hello.draining) seat.send(encodePoolFrame({ type: 'drain' }));
    }
    this.#assignments.giveBack(seat, now);
    this.#assignments.fill(seat, now);
    // What was given up may have freed places under a limit.
    for (const entry of known) this.#assignments.matchKey(entry, now);
    this.#assignments.factsChanged(now);
  }

  onFrame(seat: Seat, frame: Exclude<RunnerFrame, RunnerHello>, now: number): void {
    switch (frame.type) {
      case 'launched':
        return this.#onLaunched(seat, frame.lease, now);
      case 'refused':
        return this.#onRefused(seat, frame, now);
      case 'ended':
        return this.#onEnded(seat, frame, now);
      case 'draining':
        this.#assignments.drain(seat, now);
        return void seat.send(encodePoolFrame({ type: 'drained' }));
      default:
        return frame satisfies never;
    }
  }

  #entryOf(seat: Seat, lease: number): PoolEntry | null {
    const entry = this.#ledger.index.byLease(lease);
    return entry?.runnerId === seat.record.id ? entry : null;
  }

  #onLaunched(seat: Seat, lease: number, now: number): void {
    const entry = this.#entryOf(seat, lease);
    if (entry?.state === 'over') return entry.dueAt === null ? undefined : this.#ledger.put({ ...entry, dueAt: null });
    const confirmed = entry && confirm(entry, now);
    if (!confirmed) return;
    this.#ledger.put(confirmed);
    if (seat.record.fulls) this.#ledger.putRunner(seat, { fulls: 0 });
  }

  #onRefused(seat: Seat, { lease, code, message, retry }: RefusedFrame, now: number): void {
    const entry = this.#entryOf(seat, lease);
    if (entry?.state === 'over') {
      this.#ledger.remove(entry);
      return this.#assignments.fill(seat, now);
    }
    if (entry?.state !== 'leased') return;
    this.#log('info', 'launch_refused', { runner: seat.record.id, execution: entry.execution, session: entry.session, code });
    if (code === 'draining') this.#ledger.putRunner(seat, { draining: true });
    else if (code === 'full') this.#ledger.putRunner(seat, noteFull(seat.record, now));
    else if (code === 'start_failed') this.#assignments.fail(seat, code, now);
    this.#assignments.recall(entry, { kind: 'refused', code, message, retry }, now);
    this.#assignments.fill(seat, now);
  }

  #onEnded(seat: Seat, { session, execution }: EndedFrame, now: number): void {
    const key = entryKey({ session, execution });
    const entry = this.#ledger.index.active.get(key);
    const own = entry?.runnerId === seat.record.id && entry.state !== 'recalled' ? entry : null;
    const extra = seat.record.extraRuns.includes(key);
    if (!own && !extra) {
      return this.#log('info', 'runner_frame_ignored', { runner: seat.record.id, session, execution, reason: 'not its run' });
    }
    const full = seat.record.failures === 0 && seat.record.restUntil > now;
    if (extra || full) {
      const extraRuns = seat.record.extraRuns.filter((run) => run !== key);
      this.#ledger.putRunner(seat, { extraRuns, ...(full ? { restUntil: 0 } : {}) });
    }
    if (own) this.#assignments.release(own, now);
    // Nothing is to be asked: it has had a wrapper, or was ended before.
    if (own && !this.#ledger.index.active.has(key)) this.#assignments.succeed(seat, now);
    this.#assignments.fill(seat, now);
    if (own) this.#assignments.matchKey(own, now);
  }
}
