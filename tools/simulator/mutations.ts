/**
 * Bugs that the simulator must find. Each is a mistake that was made, or is easy to make, at this
 * place in the code. Where two guards protect the same property, a mutation removes both: removing
 * one alone has no effect.
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
const wrapper = 'tools/simulator/wrapper.ts';
const asking = 'src/core/asking.ts';
const questions = 'wrapper/job/questions.ts';

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'the ack is sent before the write',
    edits: [
      {
        file: ingest,
        find: `    const row = hasScreen || asking ? store.transact(append) : append();
    sendText(ws, ackText(receipt.ack));`,
        replace: `    sendText(ws, ackText(receipt.ack));
    const row = hasScreen || asking ? store.transact(append) : append();`,
      },
    ],
  },
  {
    name: 'the epoch is not checked, and a superseded connection is not closed',
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
        find: 'if (!this.#context.store.exists) return this.#refuseDeleted(ws, attachment, now);',
        replace: '',
      },
    ],
  },
  {
    name: 'the epoch does not rise',
    edits: [{ file: lifecycle, find: 'const epoch = record.epoch + 1;', replace: 'const epoch = Math.max(1, record.epoch);' }],
  },
  {
    name: 'any wrapper is accepted',
    edits: [
      {
        file: lifecycle,
        find: "if (record.wrapperId !== null && record.wrapperId !== hello.wrapperId) return { kind: 'claimed' };",
        replace: '',
      },
    ],
  },
  {
    name: 'settling clears any pending interrupt, also that of another execution',
    edits: [
      {
        file: commit,
        find: '  store.commands.drop(record.id);',
        replace: `  store.commands.drop(record.id);
  const [other] = store.executions.active();
  if (other) store.executions.update(other.id, { interruptRequestedAt: null, interruptUntil: null, interruptCause: null });`,
      },
    ],
  },
  {
    name: 'the grace is not stored',
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
    name: 'a deadline that passed during a downtime is renewed repeatedly',
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
        find: `      const decision = decideSend(state);
      if (decision === 'close') {
        closeUnread(ws);
        return 'closed';`,
        replace: `      if (row.firstOffset > 1 && row.firstOffset + row.count - 1 === this.#store.log.head) break;
      const decision = decideSend(state);
      if (decision === 'close') {
        closeUnread(ws);
        return 'closed';`,
      },
    ],
  },
  {
    name: 'a viewer with a full window receives nothing and stays live',
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
    name: 'a viewer without flow control receives everything, whether it reads or not',
    edits: [
      {
        file: 'src/core/viewer.ts',
        find: "return state.flow ? 'wait' : 'close';",
        replace: "return state.flow ? 'wait' : 'send';",
      },
    ],
  },
  {
    name: 'bytes that a viewer did not acknowledge are not counted',
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
        file: 'tools/simulator/memory-store.ts',
        find: 'if (!row || isTerminal(row.status)) return null;',
        replace: 'if (!row) return null;',
      },
    ],
  },
  {
    name: 'the late end of a job changes the verdict',
    edits: [
      {
        file: 'src/core/late.ts',
        find: '    lateEvents: (lateEvents ?? 0) + count,',
        replace:
          "    ...(end?.data.exitCode === 0 ? { status: 'completed', code: null } : {}),\n    lateEvents: (lateEvents ?? 0) + count,",
      },
    ],
  },
  {
    name: 'a late event that is sent again is stored again',
    edits: [
      {
        file: ingest,
        find: 'receive(store.log.ackedSeq(record.id, record.firstOffset), frame)',
        replace: 'receive(isTerminal(record.status) ? frame.seq - 1 : store.log.ackedSeq(record.id, record.firstOffset), frame)',
      },
    ],
  },
  {
    name: 'late events are not marked',
    edits: [
      {
        file: ingest,
        find: 'return store.log.append({ ...rest, late: true }, now);',
        replace: 'return store.log.append(rest, now);',
      },
    ],
  },
  {
    name: 'a wrapper is heard late after its last word',
    edits: [{ file: 'src/core/late.ts', find: 'lateUntil: end ? null : lateUntil, // LT3', replace: 'lateUntil,' }],
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
    name: 'the alarm is not repaired on a wake',
    edits: [
      {
        file: 'src/session/session.ts',
        find: `    markIfNeverAnnounced(this.#context, now);
    alarm.arm(now);`,
        replace: '    markIfNeverAnnounced(this.#context, now);',
      },
    ],
  },
  {
    name: 'the close of a superseded connection starts a grace',
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
    name: 'the next execution is promoted although one is active',
    edits: [{ file: commit, find: 'executions.active().length, storageLoad', replace: '0, storageLoad' }],
  },
  {
    name: 'one settled execution makes room for one queued execution only',
    edits: [
      {
        file: commit,
        find: 'rows.push(...appendEvents(context, next.id, promotion.events, now));\n  }',
        replace: 'rows.push(...appendEvents(context, next.id, promotion.events, now));\n    break;\n  }',
      },
    ],
  },
  {
    name: 'the output of one execution hides the silence of another',
    edits: [
      {
        file: 'src/session/deadlines.ts',
        find: 'const takenAt = store.log.takenAt(record.id, record.firstOffset) ?? 0;',
        replace: 'const takenAt = store.log.lastReceivedAt ?? 0;',
      },
    ],
  },
  {
    name: 'no execution is promoted',
    edits: [
      {
        file: commit,
        find: 'for (const next of executions.queued()) {',
        replace: 'for (const next of executions.queued().slice(1)) {',
      },
    ],
  },
  {
    name: 'the verdict is not the last event',
    edits: [
      {
        file: ingest,
        find: `    row: append(),
    written: writeTransition(context, record.id, settleByFact(record, last, now), now),`,
        replace: `    written: writeTransition(context, record.id, settleByFact(record, last, now), now),
    row: append(),`,
      },
    ],
  },
  {
    name: 'a run whose connection was lost in a reset is reported as completed',
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
    name: 'an exit after an interrupt is reported as completed',
    edits: [{ file: lifecycle, find: 'if (record.interruptRequestedAt !== null) {', replace: 'if (record.interruptForced) {' }],
  },
  {
    name: 'a job that ended on its own is reported as interrupted, because an interrupt was pending',
    edits: [
      {
        file: lifecycle,
        find: '  if (endedByItself) return',
        replace: '  if (endedByItself && record.interruptCause === null) return',
      },
    ],
  },
  {
    name: 'an interrupt does not wait while its wrapper delivers',
    edits: [{ file: lifecycle, find: 'Math.max(interruptUntil, Math.min(extended, latest))', replace: 'interruptUntil' }],
  },
  {
    name: 'a silent connection is never timed out',
    edits: [
      {
        file: 'src/core/deadlines.ts',
        find: '=> heardAt + record.policy.silenceTimeoutMs;',
        replace: '=> heardAt + 3_600_000 + record.policy.silenceTimeoutMs;',
      },
    ],
  },
  {
    name: 'a welcome omits the pending commands',
    edits: [
      {
        file: ingest,
        find: 'commands: commandsFor(hello.features ?? [], store.commands.waiting(record.id)),',
        replace: 'commands: [],',
      },
    ],
  },
  {
    name: 'the time limit of a run is lost at the reconnect',
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
    name: 'the wrapper does not resend what was in flight',
    edits: [{ file: 'wrapper/spool/sender.ts', find: 'this.#rewindTo(this.#head); // SND3', replace: 'this.#sentBytes = 0;' }],
  },
  {
    name: 'the wrapper executes a command each time it arrives',
    edits: [{ file: wrapper, find: 'if (!this.spool.commandsDone.includes(command.id)) {', replace: '{' }],
  },
  {
    name: 'a foreign 4xx response ends a running job',
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
    name: 'a refusal by a coordinator with the wrong data ends a running job immediately',
    edits: [
      { file: 'wrapper/run/budgets.ts', find: 'return attemptBeganAt > graceOverAt + graceMarginMs;', replace: 'return true;' },
    ],
  },
  {
    name: 'the wrapper measures its budgets with the wall clock',
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
    name: 'a wrapper that finds a held job reports a crash',
    edits: [
      {
        file: 'wrapper/run/boot.ts',
        find: "if (begun && held) return { kind: 'adopt' };",
        replace: '',
      },
      { file: wrapper, find: 'if (!spool.terminal && lost.length === 0) this.#adopt();', replace: '' },
    ],
  },
  {
    name: 'a wrapper adopts a job without a gap',
    edits: [
      {
        file: wrapper,
        find: "this.#append('gap', { events: 0, bytes: null, unknown: true, reason: 'wrapper_restarted' });",
        replace: '',
      },
    ],
  },
  {
    name: 'a wrapper reports the end of the job before it has read its output',
    edits: [
      { file: wrapper, find: 'const end = held.endIfDrained();', replace: 'const end = held.end;' },
      {
        file: wrapper,
        find: 'text !== undefined; text = held.read()',
        replace: 'text !== undefined; text = held.end ? undefined : held.read()',
      },
    ],
  },
  {
    name: 'the wrapper runs the command before the welcome',
    edits: [
      {
        file: wrapper,
        find: 'if (!spool.terminal && lost.length === 0) this.#adopt();\n    this.#dial();',
        replace:
          'if (!spool.terminal && lost.length === 0) this.#adopt();\n    if (!this.#crashed) this.#begin();\n    this.#dial();',
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
    name: 'the directory accepts every update',
    edits: [
      {
        file: 'src/core/directory.ts',
        find: "if (!held || version > held.version) return 'apply';",
        replace: "if (!held || version !== held.version) return 'apply';",
      },
    ],
  },
  {
    name: 'a change does not mark the directory entry as stale',
    edits: [{ file: commit, find: 'if (changesDirectory) markDirectoryStale(context, now);', replace: '' }],
  },
  {
    name: 'a change during a directory update is marked as delivered',
    edits: [{ file: 'src/core/outbox.ts', find: 'Math.max(record.delivered, version)', replace: 'record.version' }],
  },
  {
    name: 'a failed directory update is not retried',
    edits: [
      { file: 'src/core/deadlines.ts', find: 'if (outboxDueAt !== null) times.push(outboxDueAt);', replace: '' },
      { file: 'src/session/outbox.ts', find: 'if (!record || record.dueAt > now) return;', replace: 'return;' },
    ],
  },
  {
    name: 'a callback is removed although the queue did not confirm it',
    edits: [
      {
        file: callbacks,
        find: 'if (!(await context.services.enqueue(record, execution))) {',
        replace: 'if ((await context.services.enqueue(record, execution)) === null) {',
      },
    ],
  },
  {
    name: 'a lost connection is told only with a verdict',
    edits: [{ file: commit, find: 'row ? toldEvents(', replace: 'row && events.length > 1 ? toldEvents(' }],
  },
  {
    name: 'a callback is sent to the queue once and never again',
    edits: [{ file: callbacks, find: 'callbacks.due(now, AT_ONCE_MAX)', replace: 'callbacks.due(now, 0)' }],
  },
  {
    name: 'a callback that is sent again has another id',
    edits: [
      {
        file: callbacks,
        find: 'context.services.enqueue(record, execution)',
        replace: 'context.services.enqueue({ ...record, id: record.id + record.attempts }, execution)',
      },
    ],
  },
  {
    name: 'the start of the job is not synced before the job starts',
    edits: [
      { file: wrapper, find: 'this.spool.saveState({ durable: true });', replace: 'this.spool.saveState({ durable: false });' },
    ],
  },
  {
    name: 'a spool line is not compared with its checksum',
    edits: [
      {
        file: 'wrapper/spool/lines.ts',
        find: 'if (length > 0 && to <= bytes.length && crc32(bytes.subarray(from, to)) === sum) {',
        replace: 'if (length > 0 && to <= bytes.length && sum >= 0) {',
      },
    ],
  },
  {
    name: 'damaged spool lines are replaced, and no gap counts them',
    edits: [
      {
        file: 'wrapper/spool/lost.ts',
        find: 'return range ? gapLine(range, this.#at) : placeholder;',
        replace: 'return range === null ? gapLine(range, this.#at) : placeholder;',
      },
    ],
  },
  {
    name: 'a full disk drops pending lines',
    edits: [
      {
        file: wrapper,
        find: "if (this.#world.faults.strike('spool_full')) {",
        replace: "if (this.#world.faults.strike('spool_full')) {\n        this.#queue.splice(0, 1);",
      },
    ],
  },
  {
    name: 'a question that was answered stays open',
    edits: [{ file: asking, find: 'patch: { asking: open.length === 0 ? null : open }, // AQ2', replace: 'patch: {},' }],
  },
  {
    name: 'an answer is accepted for a question that is not open',
    edits: [
      {
        file: asking,
        find: 'const question = record.asking?.find((each) => each.id === id);',
        replace:
          "const question = { id, kind: 'permission', text: '', at: 0, options: ['allow', 'deny'].map((each) => ({ id: each, label: each })) } as OpenQuestion;",
      },
    ],
  },
  {
    name: 'the verdict leaves questions open',
    edits: [{ file: lifecycle, find: '      asking: null,\n', replace: '' }],
  },
  {
    name: 'a repeated answer is a second one',
    edits: [
      {
        file: asking,
        find: 'if (noted && answerId !== null && noted.answerId === answerId) {',
        replace: 'if (noted && answerId === null) {',
      },
      {
        file: asking,
        find: '    if (noted) return answeredBefore(noted);\n',
        replace: "    if (noted) return { kind: 'repeat', commandId: noted.commandId + 1 };\n",
      },
    ],
  },
  {
    name: 'a wrapper that adopts a job reports its questions again',
    edits: [
      {
        file: questions,
        find: 'if (asked.seq !== null && asked.seq >= nextSeq) asked.seq = null;',
        replace: 'asked.seq = null;',
      },
    ],
  },
  {
    name: 'a wrapper that adopts a job does not report the questions that its spool lacks',
    edits: [{ file: questions, find: 'if (asked.seq !== null && asked.seq >= nextSeq) asked.seq = null;', replace: 'void asked;' }],
  },
  {
    name: 'the request of a question is not kept',
    edits: [{ file: questions, find: '    this.#save(); // QU1\n', replace: '' }],
  },
  {
    name: 'a reply that is about to be written is not noted',
    edits: [{ file: questions, find: '    if (reply !== null) request.replied = true; // QU4\n', replace: '' }],
  },
  {
    name: 'a question beyond the limit of open ones is forgotten',
    edits: [
      { file: questions, find: '        if (room <= 0) return facts;\n', replace: '        if (room <= 0) asked.seq = 0;\n' },
    ],
  },
];
