/**
 * The connections of runners: how they begin, and every way in which they end.
 *
 * Owns: the sockets, and whether a runner is lost.
 *
 * P6  A runner that looks silent gets nothing, and is given up at a second look (core/pool-silence.ts).
 */

import { CLOSE, HELLO_TIMEOUT_MS } from '../../protocol/index.ts';
import { KEY_EXPIRED_REASON, KEY_REVOKED_REASON, parseRunnerFrame } from '../../protocol/pool.ts';
import type { RunnerKeyRecord } from '../core/pool-messages.ts';
import type { PoolRuntime } from '../core/pool-ports.ts';
import type { SessionSocket } from '../core/ports.ts';
import type { PoolLog } from '../platform/log.ts';
import type { PoolAlarm } from './alarm.ts';
import type { Assignments, PoolParts } from './assignments.ts';
import type { PoolLedger } from './ledger.ts';
import { RunnerFrames } from './runner-frames.ts';
import type { Seat } from './seat.ts';
import {
  answerRunnerClose,
  attach,
  attachmentOf,
  closeRunner,
  isOpen,
  isTimed,
  RUNNER_TAG,
  type RunnerAttachment,
} from './sockets.ts';

export class Connections {
  readonly #runtime: Pick<PoolRuntime, 'acceptWebSocket' | 'getWebSockets'>;
  readonly #ledger: PoolLedger;
  readonly #alarm: PoolAlarm;
  readonly #assignments: Assignments;
  readonly #frames: RunnerFrames;
  readonly #log: PoolLog;

  constructor(
    runtime: Pick<PoolRuntime, 'acceptWebSocket' | 'getWebSockets'>,
    assignments: Assignments,
    { ledger, alarm, log }: Pick<PoolParts, 'ledger' | 'alarm' | 'log'>,
  ) {
    this.#runtime = runtime;
    this.#ledger = ledger;
    this.#alarm = alarm;
    this.#assignments = assignments;
    this.#frames = new RunnerFrames(ledger, assignments, log);
    this.#log = log;
  }

  /** Finds the sockets again after a wake. Those that a reset has lost left no other trace. */
  load(now: number): void {
    for (const ws of this.#runtime.getWebSockets(RUNNER_TAG)) {
      const attachment = attachmentOf(ws);
      if (attachment && isTimed(attachment)) this.#alarm.watch(ws);
      const seat = attachment?.runnerId ? this.#ledger.seats.get(attachment.runnerId) : undefined;
      if (seat && attachment?.bootId === seat.record.bootId && !attachment.detached && isOpen(ws)) seat.ws = ws;
    }
    for (const seat of this.#ledger.seats.values()) {
      // Downtime of the object is not silence of the runner, so its time begins now.
      if (seat.ws === null && seat.record.goneAt === null) this.#ledger.putRunner(seat, { goneAt: now });
    }
  }

  connect(ws: SessionSocket, key: Pick<RunnerKeyRecord, 'id' | 'expiresAt'>, now: number): void {
    this.#runtime.acceptWebSocket(ws, [RUNNER_TAG]);
    attach(ws, { role: 'runner', keyId: key.id, expiresAt: key.expiresAt, acceptedAt: now, runnerId: null, bootId: null });
    this.#alarm.watch(ws);
  }

  onMessage(ws: SessionSocket, message: string | ArrayBuffer, now: number): void {
    const attachment = attachmentOf(ws);
    if (!attachment || attachment.detached) return;
    if (typeof message !== 'string') return this.#refuseFrame(ws, 'a frame must be text, not binary', now);
    const parsed = parseRunnerFrame(message);
    if (!parsed.ok) return this.#refuseFrame(ws, parsed.detail, now);
    if (parsed.frame === null) return;
    const { frame } = parsed;
    if (frame.type === 'hello') {
      if (attachment.runnerId !== null) return this.#refuseFrame(ws, 'hello was sent before', now);
      this.#frames.onHello(ws, attachment.keyId, frame, now);
    } else {
      const seat = attachment.runnerId === null ? undefined : this.#ledger.seats.get(attachment.runnerId);
      if (attachment.runnerId === null) return this.#refuseFrame(ws, 'hello must come first', now);
      if (seat?.ws !== ws) return;
      seat.frameAt = now;
      this.#frames.onFrame(seat, frame, now);
    }
  }

  onClose(ws: SessionSocket, code: number, reason: string, now: number): void {
    answerRunnerClose(ws, code, reason);
    this.#lose(ws, now);
  }

  onError(ws: SessionSocket, now: number): void {
    this.#lose(ws, now);
  }

  #refuseFrame(ws: SessionSocket, detail: string, now: number): void {
    this.#log('warn', 'runner_refused', { wsCloseCode: CLOSE.badFrame, reason: detail });
    this.#lose(ws, now);
    closeRunner(ws, CLOSE.badFrame, detail);
  }

  /** Its connections end at once. Jobs go on: their wrappers have credentials of their own. */
  revoke(keyId: string, now: number): void {
    for (const { ws, attachment } of this.#attached()) {
      if (attachment.keyId !== keyId) continue;
      this.#lose(ws, now);
      closeRunner(ws, CLOSE.credentialRefused, KEY_REVOKED_REASON);
    }
  }

  /** Ends what is over by now: a key, the time for a hello, a silence. */
  endOverdue(now: number): void {
    for (const { ws, attachment } of this.#attached()) {
      if (!isOpen(ws)) continue;
      if (attachment.expiresAt !== null && attachment.expiresAt <= now) {
        this.#lose(ws, now);
        closeRunner(ws, CLOSE.credentialRefused, KEY_EXPIRED_REASON);
      } else if (attachment.runnerId === null && attachment.acceptedAt + HELLO_TIMEOUT_MS <= now) {
        closeRunner(ws, CLOSE.helloTimeout, 'no hello in time');
      }
    }
    for (const seat of this.#ledger.seats.values()) {
      const held = this.#ledger.index.heldCount(seat.record.id);
      if (!seat.look(now)) continue;
      if (seat.open) this.drop(seat, 'silent for too long', now);
      if (held > 0) this.#declareLost(seat, now);
    }
  }

  #attached(): { ws: SessionSocket; attachment: RunnerAttachment }[] {
    return this.#runtime.getWebSockets(RUNNER_TAG).flatMap((ws) => {
      const attachment = attachmentOf(ws);
      return attachment && !attachment.detached ? [{ ws, attachment }] : [];
    });
  }

  /** A connection is gone, or is given up. What was not confirmed on it goes elsewhere at once. */
  #lose(ws: SessionSocket, now: number): void {
    const attachment = attachmentOf(ws);
    const seat = attachment?.runnerId ? this.#ledger.seats.get(attachment.runnerId) : undefined;
    if (seat?.ws !== ws) return;
    seat.ws = null;
    this.#ledger.putRunner(seat, { goneAt: now });
    this.#log('info', 'runner_disconnected', { runner: seat.record.id });
    for (const entry of this.#ledger.index.heldBy(seat.record.id)) {
      if (entry.state === 'leased') this.#assignments.recall(entry, { kind: 'lost' }, now);
      else if (entry.state === 'over') this.#ledger.remove(entry);
    }
    this.#assignments.factsChanged(now);
  }

  /** Jobs whose wrapper was seen go on without it. */
  #declareLost(seat: Seat, now: number): void {
    this.#ledger.putRunner(seat, { lost: true, goneAt: seat.record.goneAt ?? now });
    this.#log('warn', 'runner_lost', { runner: seat.record.id, open: this.#ledger.index.heldCount(seat.record.id) });
    this.#assignments.giveUp(seat, now);
    this.#assignments.factsChanged(now);
  }

  drop(seat: Seat, reason: string, now: number): void {
    const { ws } = seat;
    if (!ws) return;
    this.#lose(ws, now);
    closeRunner(ws, CLOSE.tryAgainLater, reason);
  }
}
