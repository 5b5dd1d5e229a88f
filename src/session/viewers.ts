/**
 * Viewers: replay from the log, then live. Positions are in the sockets' attachments
 * (core/viewer.ts says when they must be), so a viewer continues after hibernation without a gap.
 *
 * - A batch is broadcast after it was written. The output gate holds it until it is durable (G2).
 * - A live viewer gets each batch as it is appended; any other gets it from the log. The switch to
 *   live happens in the turn that reads the last row.
 * - The data that a viewer has not acknowledged is bounded. When the window is full, a viewer with
 *   flow control stops being live and reads on from the log when its acks come. A viewer without
 *   flow control is closed, and reconnects with the last offset that it has.
 * - Replay goes in rounds, so that ten thousand rows to one viewer do not block the object for
 *   others.
 * - The connection of a ticket ends when the ticket expires, by the alarm (STR33). When the alarm
 *   is late, nothing is sent after the expiry.
 */

import {
  CLOSE,
  encodeStreamFrame,
  generationOf,
  isTerminal,
  parseViewerFrame,
  REPLAY_ROUND_BYTES,
  type StreamHello,
  type TerminalStatus,
} from '../../protocol/index.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import type { LogRow, SessionRuntime, SessionSocket, Store } from '../core/ports.ts';
import { beforeScreen } from '../core/terminal.ts';
import {
  acknowledge,
  charge,
  decideSend,
  frameFor,
  isTicketExpired,
  type ViewerFrame,
  type ViewerState,
  verdictIn,
} from '../core/viewer.ts';
import { TICKET_EXPIRED, type ViewerRequest } from './contract.ts';
import { attach, attachmentOf, closeSocket, isOpen, sendText, VIEWER_TAG } from './sockets.ts';

type Round = 'live' | 'more' | 'waiting' | 'closed';

/** Executions named in the hello: enough for a page, but not the whole history of a session. */
const HELLO_EXECUTIONS_MAX = 50;

function statusOf(record: ExecutionRecord | null): StreamHello['executions'] {
  if (!record) return [];
  const { id, status, output, format, terminal } = record;
  return [
    {
      id,
      status,
      ...(output === 'bytes' ? { output } : {}),
      ...(format === 'text' ? {} : { format }),
      ...(terminal ? { terminal } : {}),
    },
  ];
}

/** STR12. */
const closeUnread = (ws: SessionSocket): void =>
  closeSocket(ws, CLOSE.tooSlow, `unread: acknowledge what you read, or ask for flow=ack`);

export class Viewers {
  readonly #runtime: SessionRuntime;
  readonly #store: Store;
  readonly #session: string;

  constructor(runtime: SessionRuntime, store: Store, session: string) {
    this.#runtime = runtime;
    this.#store = store;
    this.#session = session;
  }

  get count(): number {
    return this.#runtime.getWebSockets(VIEWER_TAG).length;
  }

  /** True while a viewer is behind and waits only for its next round. */
  get replaying(): boolean {
    return this.#all().some(({ state }) => !state.live && decideSend(state) === 'send');
  }

  /** When the next ticket of a connection expires; null without one. */
  get nextUntil(): number | null {
    let next: number | null = null;
    for (const { state } of this.#all()) {
      if (typeof state.until === 'number' && (next === null || state.until < next)) next = state.until;
    }
    return next;
  }

  /** At the alarm: closes connections whose ticket has expired. */
  closeExpired(now: number): void {
    for (const { ws, state } of this.#all()) this.#closeIfExpired(ws, state, now);
  }

  #closeIfExpired(ws: SessionSocket, state: ViewerState, now: number): boolean {
    if (!isTicketExpired(state, now)) return false;
    closeSocket(ws, CLOSE.credentialRefused, TICKET_EXPIRED);
    return true;
  }

  /** Greets an accepted socket and begins its replay. The request was validated before. */
  begin(ws: SessionSocket, { after, tail, from, executions, types, flow, until = null }: ViewerRequest): void {
    const { log, executions: records } = this.#store;
    const shown = from === 'screen' && executions?.length === 1 ? records.get(executions[0] ?? '') : null;
    const sent = shown ? beforeScreen(shown, types) : tail === null ? (after ?? 0) : log.tailOffset(tail);
    const state: ViewerState = {
      executions,
      types,
      flow,
      until,
      live: false,
      sent,
      caughtUp: false,
      waitingFor: executions ?? [],
      unacked: [],
    };
    attach(ws, { role: 'viewer', state });
    sendText(
      ws,
      encodeStreamFrame({
        type: 'hello',
        session: this.#session,
        earliest: log.earliest,
        head: log.head,
        generation: generationOf(this.#store.createdAt),
        // The filter may come from a ticket, which must not reveal other executions (STR16).
        executions:
          executions === null ? records.newest(HELLO_EXECUTIONS_MAX) : executions.flatMap((id) => statusOf(records.get(id))),
      }),
    );
    this.#pump(ws, state);
  }

  /** Sends a batch that was just appended. */
  broadcast(row: LogRow): void {
    const now = this.#runtime.now();
    const before = row.firstOffset - 1;
    let whole: ViewerFrame | null = null;
    let end: TerminalStatus | null | undefined;
    for (const { ws, state } of this.#all()) {
      if (!state.live || this.#closeIfExpired(ws, state, now)) continue;
      const decision = decideSend(state);
      if (decision === 'close') {
        closeUnread(ws);
        continue;
      }
      if (decision === 'wait') {
        // From here on this viewer reads from the log, when its acks come.
        state.live = false;
        state.sent = before;
        attach(ws, { role: 'viewer', state });
        continue;
      }
      const plain = state.executions === null && state.types === null;
      if (plain) whole ??= frameFor(row, before, state);
      const frame = plain ? whole : frameFor(row, before, state);
      if (frame) this.#deliver(ws, state, frame);
      end = end === undefined ? (row.own ? verdictIn(row) : null) : end;
      if (end) this.#sendEnd(ws, state, row.execution, end);
    }
  }

  onMessage(ws: SessionSocket, state: ViewerState, message: string | ArrayBuffer): void {
    // A message that was in transit when the socket was closed.
    if (!isOpen(ws)) return;
    const frame = typeof message === 'string' ? parseViewerFrame(message) : null;
    if (!frame || frame.offset > this.#store.log.head) {
      closeSocket(ws, CLOSE.badFrame, 'a viewer may send {"type":"ack","offset":N} with an offset it was sent');
      return;
    }
    if (this.#closeIfExpired(ws, state, this.#runtime.now())) return;
    acknowledge(state, frame.offset);
    attach(ws, { role: 'viewer', state });
    if (!state.live) this.#pump(ws, state);
  }

  /** On a wake: continues replays that were cut off. */
  resume(): void {
    for (const { ws, state } of this.#all()) if (!state.live && decideSend(state) === 'send') this.#pump(ws, state);
  }

  closeAll(code: number, reason: string): void {
    for (const ws of this.#runtime.getWebSockets(VIEWER_TAG)) closeSocket(ws, code, reason);
  }

  #all(): { ws: SessionSocket; state: ViewerState }[] {
    const all: { ws: SessionSocket; state: ViewerState }[] = [];
    for (const ws of this.#runtime.getWebSockets(VIEWER_TAG)) {
      const attachment = isOpen(ws) ? attachmentOf(ws) : null;
      if (attachment?.role === 'viewer') all.push({ ws, state: attachment.state });
    }
    return all;
  }

  /**
   * One round at once; further ones, if any, each after a pause. Two pumps of one viewer do no
   * harm: a round is one turn and begins at `sent`.
   */
  #pump(ws: SessionSocket, state: ViewerState): void {
    if (this.#round(ws, state) !== 'more') return;
    this.#runtime.waitUntil(
      (async () => {
        do {
          await this.#runtime.pause();
        } while (isOpen(ws) && !state.live && this.#round(ws, state) === 'more');
      })(),
    );
  }

  #round(ws: SessionSocket, state: ViewerState): Round {
    if (this.#closeIfExpired(ws, state, this.#runtime.now())) return 'closed';
    let bytes = 0;
    let outcome: Round = 'live';
    for (const row of this.#store.log.rowsAfter(state.sent, state.executions)) {
      const decision = decideSend(state);
      if (decision === 'close') {
        closeUnread(ws);
        return 'closed';
      }
      if (decision === 'wait') {
        outcome = 'waiting';
        break;
      }
      if (bytes >= REPLAY_ROUND_BYTES) {
        outcome = 'more';
        break;
      }
      const frame = frameFor(row, state.sent, state);
      if (frame && !this.#deliver(ws, state, frame)) return 'closed';
      bytes += row.bytes;
      state.sent = row.firstOffset + row.count - 1;
      const end = row.own ? verdictIn(row) : null;
      if (end && !this.#sendEnd(ws, state, row.execution, end)) return 'closed';
    }
    if (outcome === 'live') this.#goLive(ws, state);
    if (isOpen(ws)) attach(ws, { role: 'viewer', state });
    return outcome;
  }

  #goLive(ws: SessionSocket, state: ViewerState): void {
    const { log, executions } = this.#store;
    state.live = true;
    if (!state.caughtUp) {
      state.caughtUp = true;
      sendText(ws, encodeStreamFrame({ type: 'caught_up', offset: log.head }));
    }
    for (const id of [...state.waitingFor]) {
      const status = executions.get(id)?.status;
      if (status && isTerminal(status)) this.#sendEnd(ws, state, id, status);
    }
  }

  #deliver(ws: SessionSocket, state: ViewerState, { text, bytes, last }: ViewerFrame): boolean {
    if (!sendText(ws, text)) return false;
    if (charge(state, last, bytes)) attach(ws, { role: 'viewer', state });
    return true;
  }

  /**
   * The `end` frame follows the verdict. A viewer that asked for certain executions gets it once it
   * has caught up, and its socket closes when all of them have ended. False when it was closed.
   */
  #sendEnd(ws: SessionSocket, state: ViewerState, execution: string, status: TerminalStatus): boolean {
    if (state.executions === null) return sendText(ws, encodeStreamFrame({ type: 'end', execution, status }));
    if (!state.live || !state.waitingFor.includes(execution)) return true;
    state.waitingFor = state.waitingFor.filter((id) => id !== execution);
    sendText(ws, encodeStreamFrame({ type: 'end', execution, status }));
    attach(ws, { role: 'viewer', state });
    if (state.waitingFor.length > 0) return true;
    closeSocket(ws, CLOSE.done, 'ended');
    return false;
  }
}
