/**
 * Bugs that the simulator must find. Each is one that somebody made, or could make on a tired evening, in the place where it would be made.
 * Where two guards stand behind each other, a mutation takes both away: one alone changes nothing, which is what the second is for.
 */

export interface Edit {
  file: string;
  /** Must occur exactly once. */
  find: string;
  replace: string;
}

export interface Mutation {
  name: string;
  edits: Edit[];
}

const ingest = 'src/session/ingest.ts';
const callbacks = 'src/session/callbacks.ts';
const commit = 'src/session/commit.ts';
const lifecycle = 'src/core/lifecycle.ts';
const viewers = 'src/session/viewers.ts';
const wrapper = 'test/sim/wrapper.ts';

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'the ack is sent before the write',
    edits: [
      {
        file: ingest,
        find: `    const row = store.log.append(batch, now);
    sendText(ws, ackText(receipt.ack));`,
        replace: `    sendText(ws, ackText(receipt.ack));
    const row = store.log.append(batch, now);`,
      },
    ],
  },
  {
    name: 'no epoch is checked, and a superseded connection is not given up',
    edits: [
      { file: ingest, find: 'if (attachment.epoch !== null && attachment.epoch !== record.epoch) return;', replace: '' },
      {
        file: ingest,
        find: "if (other.ws !== ws && older) detachAndClose(other, CLOSE.superseded, 'superseded');",
        replace: '',
      },
    ],
  },
  {
    name: 'a session that was never started is asked for its rows',
    edits: [
      {
        file: ingest,
        find: 'const record = context.store.exists ? context.store.executions.get(attachment.execution) : null;',
        replace: 'const record = context.store.executions.get(attachment.execution);',
      },
      {
        file: 'src/session/session.ts',
        find: 'if (!this.#context.store.exists) return this.#refuseGone(ws, attachment, now);',
        replace: '',
      },
    ],
  },
  {
    name: 'the epoch does not rise',
    edits: [{ file: lifecycle, find: 'const epoch = record.epoch + 1;', replace: 'const epoch = Math.max(1, record.epoch);' }],
  },
  {
    name: 'any wrapper is taken',
    edits: [
      {
        file: lifecycle,
        find: "if (record.wrapperId !== null && record.wrapperId !== hello.wrapperId) return { kind: 'claimed' };",
        replace: '',
      },
    ],
  },
  {
    name: "settling clears whatever interrupt is asked for, also another execution's",
    edits: [
      {
        file: commit,
        find: '  store.commands.drop(record.id);',
        replace: `  store.commands.drop(record.id);
  const other = store.executions.active();
  if (other) store.executions.update(other.id, { interruptRequestedAt: null, interruptUntil: null, interruptCause: null });`,
      },
    ],
  },
  {
    name: 'the grace is not written down',
    edits: [
      {
        file: lifecycle,
        find: 'patch: { connected: false, disconnectedAt: now, disconnectReason: reason, wsCloseCode, wsCloseReason, graceUntil },',
        replace: 'patch: { connected: false, disconnectedAt: now, disconnectReason: reason, wsCloseCode, wsCloseReason },',
      },
    ],
  },
  {
    name: 'the downtime of the coordinator counts as the absence of a wrapper',
    edits: [{ file: lifecycle, find: 'now - at <= DOWNTIME_MS', replace: 'now > at' }],
  },
  {
    name: 'a deadline that passed unwatched is renewed again and again',
    edits: [
      { file: lifecycle, find: '  if ((record[UNTIL[kind]] ?? at) > term.since + term.lengthMs) return null;\n', replace: '' },
    ],
  },
  {
    name: 'the limit of a run starts again after a downtime',
    edits: [
      {
        file: lifecycle,
        find: "    case 'runtime': {\n      // Interrupt first.",
        replace:
          "    case 'runtime': {\n      if (now - due.at > DOWNTIME_MS) return { patch: { runtimeUntil: now + record.policy.maxRuntimeMs }, events: [], commands: [] };\n      // Interrupt first.",
      },
    ],
  },
  {
    name: 'a resumed viewer gets its last event again',
    edits: [
      {
        file: 'src/core/viewer.ts',
        find: 'const skip = Math.max(0, after + 1 - firstOffset);',
        replace: 'const skip = Math.max(0, after - firstOffset);',
      },
    ],
  },
  {
    name: 'a viewer goes live one row early',
    edits: [
      {
        file: viewers,
        find: `      const room = roomFor(state);
      if (room === 'close') {
        closeUnread(ws);
        return 'gone';`,
        replace: `      if (row.firstOffset > 1 && row.firstOffset + row.count - 1 === this.#store.log.head) break;
      const room = roomFor(state);
      if (room === 'close') {
        closeUnread(ws);
        return 'gone';`,
      },
    ],
  },
  {
    name: 'a viewer with a full window is sent nothing and stays live',
    edits: [
      {
        file: viewers,
        find: `        state.live = false;
        state.sent = before;`,
        replace: '',
      },
    ],
  },
  {
    name: 'a viewer without flow control is sent all, read or not',
    edits: [
      {
        file: 'src/core/viewer.ts',
        find: "return state.flow ? 'wait' : 'close';",
        replace: "return state.flow ? 'wait' : 'send';",
      },
    ],
  },
  {
    name: 'what a viewer did not acknowledge is not counted',
    edits: [{ file: 'src/core/viewer.ts', find: 'last[1] += more;', replace: '' }],
  },
  {
    name: 'a settled execution is settled again (no compare-and-set)',
    edits: [
      {
        file: 'src/session/operations.ts',
        find: 'const after = isTerminal(record.status) ? null : commit(',
        replace: 'const after = commit(',
      },
      {
        file: 'test/sim/memory-store.ts',
        find: 'if (!row || isTerminal(row.status)) return null;',
        replace: 'if (!row) return null;',
      },
    ],
  },
  {
    name: 'a duplicate is stored',
    edits: [
      { file: 'src/core/receiver.ts', find: "if (last <= acked) return { kind: 'duplicate', ack: acked };", replace: '' },
      { file: 'src/core/receiver.ts', find: 'const skip = acked + 1 - frame.seq;', replace: 'const skip = 0;' },
    ],
  },
  {
    name: 'the known prefix of a frame is stored again',
    edits: [
      { file: ingest, find: 'dropKnownPrefix(frame.body, receipt.skip)', replace: 'dropKnownPrefix(frame.body, 0)' },
      { file: ingest, find: 'count: receipt.count, body', replace: 'count: frame.count, body' },
    ],
  },
  {
    name: 'the alarm is not looked after on a wake',
    edits: [
      {
        file: 'src/session/session.ts',
        find: `    noteIfNever(this.#context, now);
    alarm.arm(now);`,
        replace: '    noteIfNever(this.#context, now);',
      },
    ],
  },
  {
    name: 'the close of a superseded connection begins a grace',
    edits: [
      {
        file: ingest,
        find: 'if (attachment.detached || attachment.epoch === null) return;',
        replace: 'if (attachment.epoch === null) return;',
      },
      {
        file: ingest,
        find: "if (record?.status !== 'running' || !record.connected || record.epoch !== attachment.epoch) return;",
        replace: "if (record?.status !== 'running' || !record.connected) return;",
      },
    ],
  },
  {
    name: 'the next is promoted although one is active',
    edits: [{ file: commit, find: 'if (store.executions.active()) return { record, callback, next: null };', replace: '' }],
  },
  {
    name: 'nobody is promoted',
    edits: [
      {
        file: commit,
        find: 'const [next] = store.executions.queued();',
        replace: 'const [next] = store.executions.queued().slice(1);',
      },
    ],
  },
  {
    name: 'the verdict is not the last event',
    edits: [
      {
        file: ingest,
        find: `    row: store.log.append(batch, now),
    written: writeTransition(context, record.id, settleByFact(record, last, now), now),`,
        replace: `    written: writeTransition(context, record.id, settleByFact(record, last, now), now),
    row: store.log.append(batch, now),`,
      },
    ],
  },
  {
    name: 'a run whose connection was lost in a reset is called completed',
    edits: [
      {
        file: 'src/session/deadlines.ts',
        find: "import { expire, loseConnection } from '../core/lifecycle.ts';",
        replace: "import { expire, loseConnection, settle } from '../core/lifecycle.ts';",
      },
      {
        file: 'src/session/deadlines.ts',
        find: 'if (!present) commit(context, record.id, loseConnection(record, LOST, now), now);',
        replace: "if (!present) commit(context, record.id, settle(record, { status: 'completed', exitCode: 0 }, now), now);",
      },
    ],
  },
  {
    name: 'an exit after an interrupt is called completed',
    edits: [{ file: lifecycle, find: 'if (record.interruptRequestedAt !== null) {', replace: 'if (record.interruptForced) {' }],
  },
  {
    name: 'a job that ended by itself is called interrupted, because an interrupt was on its way',
    edits: [
      {
        file: lifecycle,
        find: '  if (endedByItself) return',
        replace: '  if (endedByItself && record.interruptCause === null) return',
      },
    ],
  },
  {
    name: 'an interrupt is not waited for while its wrapper delivers',
    edits: [{ file: lifecycle, find: 'Math.max(interruptUntil, Math.min(extended, latest))', replace: 'interruptUntil' }],
  },
  {
    name: 'a silent connection is believed for ever',
    edits: [
      {
        file: 'src/core/deadlines.ts',
        find: '=> heardAt + record.policy.silenceTimeoutMs;',
        replace: '=> heardAt + 3_600_000 + record.policy.silenceTimeoutMs;',
      },
    ],
  },
  {
    name: 'a welcome leaves out the waiting commands',
    edits: [{ file: ingest, find: 'commands: store.commands.waiting(record.id),', replace: 'commands: [],' }],
  },
  {
    name: 'the time limit of a run is forgotten at the reconnect',
    edits: [
      {
        file: lifecycle,
        find: '    graceUntil: null,\n    ...(first',
        replace: '    graceUntil: null,\n    runtimeUntil: null,\n    ...(first',
      },
    ],
  },
  {
    name: 'the wrapper sends before it spools',
    edits: [
      {
        file: wrapper,
        find: `    this.#queue.push({ line: JSON.stringify({ type, at: this.#world.now + this.#wallOffsetMs, data }), terminal });`,
        replace: `    const early = JSON.stringify({ type, at: this.#world.now + this.#wallOffsetMs, data });
    if (this.#up && this.#queue.length === 0) this.link?.send(encodeEventsFrame(this.spool.storedSeq + 1, 1, early));
    this.#queue.push({ line: early, terminal });`,
      },
    ],
  },
  {
    name: 'the wrapper does not send again what was in flight',
    edits: [{ file: 'wrapper/spool/sender.ts', find: 'this.#rewindTo(this.#head); // SND3', replace: 'this.#sentBytes = 0;' }],
  },
  {
    name: 'the wrapper carries out a command each time it comes',
    edits: [{ file: wrapper, find: 'if (!this.spool.commandsDone.includes(command.id)) {', replace: '{' }],
  },
  {
    name: 'a foreign answer with 4xx ends a running job',
    edits: [
      {
        file: 'wrapper/transport/connection-loss.ts',
        find: "      case 'network':\n        return",
        replace:
          "      case 'network':\n        if (loss.kind === 'status' && loss.status >= 400 && loss.status < 500) return refusedBy(loss);\n        return",
      },
    ],
  },
  {
    name: 'a refusal by a coordinator with the wrong data ends a running job at once',
    edits: [
      { file: 'wrapper/run/budgets.ts', find: 'return attemptBeganAt > graceOverAt + graceMarginMs;', replace: 'return true;' },
    ],
  },
  {
    name: 'the wrapper measures its budgets by the wall clock',
    edits: [
      {
        file: wrapper,
        find: '  get #now(): number {\n    return this.#world.now;',
        replace: '  get #now(): number {\n    return this.#world.now + this.#wallOffsetMs;',
      },
    ],
  },
  {
    name: 'a suspend ends the wait for a welcome without another attempt',
    edits: [
      {
        file: wrapper,
        find: 'stopAskedAt: null }, triedAt, WRAPPER_TIMES',
        replace: 'stopAskedAt: null }, this.#now, WRAPPER_TIMES',
      },
    ],
  },
  {
    name: 'a suspend ends the delivery of a report without another attempt',
    edits: [{ file: wrapper, find: 'this.#ackedAt }, triedAt, budgetMs', replace: 'this.#ackedAt }, this.#now, budgetMs' }],
  },
  {
    name: 'the wrapper runs the command before it is welcomed',
    edits: [
      {
        file: wrapper,
        find: '    this.#tick();\n    this.#dial();',
        replace: '    this.#tick();\n    if (!this.#crashed) this.#begin();\n    this.#dial();',
      },
    ],
  },
  {
    name: 'the wrapper sends as much at once as the coordinator allows, whatever the line carries',
    edits: [
      {
        file: 'wrapper/transport/line-rate.ts',
        find: 'if (this.#bytesPerSecond === null) return FLIGHT_BYTES_MIN; // LR1',
        replace: 'if (FLIGHT_BYTES_MIN > 0) return Number.POSITIVE_INFINITY;',
      },
    ],
  },
  {
    name: 'the directory takes whatever comes',
    edits: [
      {
        file: 'src/core/directory.ts',
        find: "if (!held || version > held.version) return 'take';",
        replace: "if (!held || version !== held.version) return 'take';",
      },
    ],
  },
  {
    name: 'a change is not noted for the directory',
    edits: [{ file: commit, find: 'if (news) noteForDirectory(context, now);', replace: '' }],
  },
  {
    name: 'what changed while the directory was told is called told',
    edits: [{ file: 'src/core/outbox.ts', find: 'Math.max(record.delivered, version)', replace: 'record.version' }],
  },
  {
    name: 'the directory is not told again after a failure',
    edits: [
      { file: 'src/core/deadlines.ts', find: 'if (outboxDueAt !== null) times.push(outboxDueAt);', replace: '' },
      { file: 'src/session/outbox.ts', find: 'if (!record || record.dueAt > now) return;', replace: 'return;' },
    ],
  },
  {
    name: 'a callback is forgotten although nobody says that the queue has it',
    edits: [
      {
        file: callbacks,
        find: 'if (!(await context.outside.enqueue(record, execution))) {',
        replace: 'if ((await context.outside.enqueue(record, execution)) === null) {',
      },
    ],
  },
  {
    name: 'a callback is given to the queue once and never again',
    edits: [{ file: callbacks, find: 'callbacks.due(now, AT_ONCE_MAX)', replace: 'callbacks.due(now, 0)' }],
  },
  {
    name: 'a callback that is sent again has another id',
    edits: [
      {
        file: callbacks,
        find: 'context.outside.enqueue(record, execution)',
        replace: 'context.outside.enqueue({ ...record, id: record.id + record.attempts }, execution)',
      },
    ],
  },
  {
    name: 'that the job begins is not on the medium when it does',
    edits: [
      { file: wrapper, find: 'this.spool.saveState({ durable: true });', replace: 'this.spool.saveState({ durable: false });' },
    ],
  },
  {
    name: 'a line of a spool is not compared with its checksum',
    edits: [
      {
        file: 'wrapper/spool/lines.ts',
        find: 'if (length > 0 && to <= bytes.length && crc32(bytes.subarray(from, to)) === sum) {',
        replace: 'if (length > 0 && to <= bytes.length && sum >= 0) {',
      },
    ],
  },
  {
    name: 'damaged lines of a spool are replaced, and no gap counts them',
    edits: [
      {
        file: 'wrapper/spool/lost.ts',
        find: 'return range ? gapLine(range, this.#at) : placeholder;',
        replace: 'return range === null ? gapLine(range, this.#at) : placeholder;',
      },
    ],
  },
  {
    name: 'a full disk drops what waits to be written',
    edits: [
      {
        file: wrapper,
        find: "if (this.#world.faults.strike('spool_full')) {",
        replace: "if (this.#world.faults.strike('spool_full')) {\n        this.#queue.splice(0, 1);",
      },
    ],
  },
];
