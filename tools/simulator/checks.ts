/**
 * Invariants, checked during and after a schedule. The checks do not ask the session: they read the
 * disk, what left the object, and what the peers received.
 */

import {
  ACTIVE_STATUSES,
  CLOSE,
  type Execution,
  type HoldfastEvent,
  isActive,
  isTerminal,
  TERMINAL_STATUSES,
  type TerminalStatus,
  terminalStatusOf,
  type WelcomeFrame,
} from '../../protocol/index.ts';
import { type ExecutionRecord, executionView } from '../../src/core/execution.ts';
import { AskingChecks } from './asking-checks.ts';
import { wantsCallback } from './caller.ts';
import type { Cause } from './host.ts';
import type { PlatformSocket, Witness } from './network.ts';
import type { Spool } from './spool.ts';
import { checkHistory } from './verdicts.ts';
import type { Viewer } from './viewer.ts';
import type { World } from './world.ts';

/** One event of the durable log. */
export interface Logged {
  offset: number;
  execution: string;
  type: string;
  line: string;
  own: boolean;
  /** Stored after the verdict (LIF38). */
  late: boolean;
  seq: number | null;
  receivedAt: number;
}

/** Columns of the next row that promotion to pending may change (LIF20). */
const PROMOTION_COLUMNS: ReadonlySet<string> = new Set(['status', 'pendingAt', 'pendingUntil', 'launchAt']);

/** Columns that late events change after the verdict (LIF38). */
const LATE_COLUMNS: ReadonlySet<string> = new Set([
  'epoch',
  'bootId',
  'logBytes',
  'lateUntil',
  'lateEvents',
  'lateAt',
  'lateExitCode',
  'lateSignal',
]);

/** A view without what late events change: what a callback was told. */
const viewAtVerdict = ({ epoch: _, logBytes: __, late: ___, ...view }: Execution): string => JSON.stringify(view);

export class Checks implements Witness {
  /** The durable log, one entry per event: index = offset − 1. */
  readonly log: Logged[] = [];
  readonly #world: World;
  #rowsSeen = 0;
  #durableRows = 0;
  #commandsSeen: unknown;
  readonly #epochs = new Map<string, number>();
  readonly #acked = new Map<string, number>();
  readonly #durableSeq = new Map<string, number>();
  readonly #spawns = new Map<string, number>();
  readonly #commands = new Map<string, Set<number>>();
  /** By execution and input id: the command that a caller was told. */
  readonly #inputs = new Map<string, number>();
  readonly asking: AskingChecks;

  constructor(world: World) {
    this.#world = world;
    this.asking = new AskingChecks(world, (rule, text) => this.#fail(rule, text));
  }

  #fail(rule: string, text: string): void {
    this.#world.violation(`${rule}: ${text}`);
  }

  // ── turns of the object ───────────────────────────────────────────────────────────────────────

  /** After each turn, before its writes reach the disk. */
  turn(cause: Cause): void {
    const { disk } = this.#world.host;
    const appended = disk.log.slice(this.#rowsSeen);
    this.#rowsSeen = disk.log.length;
    const wrote = appended.length > 0 || disk.changed.size > 0 || this.#commandsSeen !== disk.commands;
    this.#commandsSeen = disk.commands;
    if (wrote) {
      this.#fenced(cause);
      for (const row of appended) this.#appendedRow(row.execution, row.body, row.firstSeq);
      this.#changes(cause);
      this.#room(disk.executions);
      this.asking.turn(disk);
    }
    this.#silence();
  }

  /** The object lost its turns, and with them the events that they appended. */
  crashed(): void {
    this.#rowsSeen = this.#world.host.disk.log.length;
    this.#commandsSeen = this.#world.host.disk.commands;
    this.asking.crashed();
  }

  /** G4, LIF3: no execution begins without room, and the head of the queue begins when there is room. */
  #room(executions: ReadonlyMap<string, ExecutionRecord>): void {
    const active = [...executions.values()].filter(({ status }) => isActive(status));
    const most = Math.max(0, ...active.map(({ maxActive }) => maxActive));
    if (active.length > most) this.#fail('G4', `${active.length} executions are active, and none of them allows more than ${most}`);
    const [head] = [...executions.values()]
      .filter(({ status }) => status === 'queued')
      .sort((a, b) => a.queueRank - b.queueRank || a.ordinal - b.ordinal);
    if (head && active.length < head.maxActive)
      this.#fail('G3', `${head.id} waits although ${active.length} are active and it allows ${head.maxActive}`);
  }

  /** ING4: frames on a superseded connection change nothing. */
  #fenced(cause: Cause): void {
    if (cause.kind !== 'message' && cause.kind !== 'close') return;
    const before = this.#world.host.disk.changed.get(cause.execution);
    const epoch = (before ?? this.#world.host.disk.executions.get(cause.execution))?.epoch ?? 0;
    if (cause.socket.epoch !== null && cause.socket.epoch < epoch) {
      this.#fail('ING4', `a ${cause.kind} of epoch ${cause.socket.epoch} wrote something, while ${epoch} is the current one`);
    }
  }

  #appendedRow(execution: string, body: string, firstSeq: number | null): void {
    const record = this.#world.host.disk.executions.get(execution);
    if (firstSeq !== null) {
      for (const [index, line] of body.split('\n').entries()) {
        if (record?.wrapperId && this.#world.ledger.holds(record.wrapperId, firstSeq + index, line)) continue;
        this.#fail(
          'G1',
          `seq ${firstSeq + index} of ${execution} was stored, but its wrapper never spooled it: ${line.slice(0, 120)}`,
        );
      }
    } else if (record && body.includes('{"type":"wrapper_disconnected"')) {
      const socket = this.#world.host.sockets.find((one) => one.execution === execution && one.epoch === record.epoch);
      const silentMs = socket ? this.#world.now - socket.lastHeardAt : 0;
      if (socket?.readyState === 1 && silentMs < record.policy.silenceTimeoutMs) {
        this.#fail(
          'LIF22',
          `${execution} was called disconnected, but its connection of epoch ${record.epoch} is open and not silent`,
        );
      }
    }
  }

  /** G4: a turn about one execution does not change the rows of other executions. */
  #changes(cause: Cause): void {
    const { disk } = this.#world.host;
    const now = this.#world.now;
    let ended = false;
    for (const [id, before] of disk.changed) {
      const after = disk.executions.get(id);
      if (after && isTerminal(after.status) && (!before || !isTerminal(before.status))) ended = true;
    }
    for (const [id, before] of disk.changed) {
      const after = disk.executions.get(id);
      if (!before || !after || before === after) continue;
      if (isTerminal(before.status)) {
        const keys = Object.keys(after) as (keyof ExecutionRecord)[];
        const wrong = keys.filter((key) => before[key] !== after[key] && !LATE_COLUMNS.has(key));
        if (wrong.length > 0 || !this.#mayTouch(cause, before, now))
          this.#fail('LIF15', `${id} is ${before.status}, but ${wrong.join(', ')} of its row was written again`);
        continue;
      }
      if (before.runtimeUntil !== null && after.runtimeUntil !== null && after.runtimeUntil !== before.runtimeUntil) {
        this.#fail('LIF33', `the limit of the run of ${id} moved from ${before.runtimeUntil} to ${after.runtimeUntil}`);
      }
      const promoted = before.status === 'queued' && isActive(after.status);
      if (promoted) this.#promotion(before, after, ended);
      const own = this.#mayTouch(cause, before, now);
      if (own || (promoted && cause.kind === 'alarm')) continue;
      const keys = Object.keys(after) as (keyof ExecutionRecord)[];
      const changed = keys.filter((key) => before[key] !== after[key]);
      // A write that changes nothing is wasteful but harmless.
      if (changed.length > 0 && !(promoted && changed.every((key) => PROMOTION_COLUMNS.has(key)))) {
        this.#fail('G4', `a turn about something else (${cause.kind}) changed ${changed.join(', ')} of ${id}`);
      }
    }
  }

  #promotion(before: ExecutionRecord, { id }: ExecutionRecord, ended: boolean): void {
    if (!ended) this.#fail('LIF3', `${id} was promoted although nothing ended`);
    for (const [otherId, changed] of [...this.#world.host.disk.executions].map(
      ([key, row]) => [key, this.#world.host.disk.changed.get(key) ?? row] as const,
    )) {
      const now = this.#world.host.disk.executions.get(otherId);
      const waits = otherId !== id && changed.status === 'queued' && now?.status === 'queued';
      if (!waits) continue;
      const first =
        changed.queueRank < before.queueRank || (changed.queueRank === before.queueRank && changed.ordinal < before.ordinal);
      if (first && this.#world.host.disk.changed.get(otherId) !== null) {
        this.#fail('LIF3', `${id} was promoted before ${otherId}, which is next`);
      }
    }
  }

  #mayTouch(cause: Cause, before: ExecutionRecord, now: number): boolean {
    switch (cause.kind) {
      case 'request':
        return cause.touches.includes(before.id);
      case 'message':
      case 'close':
        return cause.execution === before.id;
      case 'viewer':
        return false;
      case 'wake':
      case 'later':
        return isActive(before.status);
      case 'alarm': {
        const deadlines = [before.pendingUntil, before.graceUntil, before.runtimeUntil, before.interruptUntil, before.launchAt];
        return before.connected || deadlines.some((at) => at !== null && at <= now);
      }
      default:
        return cause satisfies never;
    }
  }

  /** LIF23: a silent connection is detected. */
  #silence(): void {
    const { disk, sockets } = this.#world.host;
    for (const record of disk.executions.values()) {
      if (record.status !== 'running' || !record.connected) continue;
      const socket = sockets.find((one) => one.execution === record.id && one.epoch === record.epoch);
      if (!socket) continue;
      const due = this.#world.latest(socket.lastHeardAt + record.policy.silenceTimeoutMs);
      if (this.#world.now > due) this.#fail('LIF23', `${record.id} has been silent since ${socket.lastHeardAt} and was not closed`);
    }
  }

  /** After each flush: what is durable now. */
  durable(): void {
    const { disk } = this.#world.host;
    for (; this.#durableRows < disk.durableRows; this.#durableRows += 1) {
      const row = disk.log[this.#durableRows];
      if (!row) break;
      for (const [index, line] of row.body.split('\n').entries()) {
        const seq = row.firstSeq === null ? null : row.firstSeq + index;
        const offset = this.log.length + 1;
        if (row.firstOffset + index !== offset) this.#fail('L1', `offset ${row.firstOffset + index} follows ${offset - 1}`);
        this.log.push({
          offset,
          execution: row.execution,
          type: typeOf(line),
          line,
          own: row.own,
          late: row.late,
          seq,
          receivedAt: row.receivedAt,
        });
        if (seq === null) continue;
        const known = this.#durableSeq.get(row.execution) ?? 0;
        if (seq !== known + 1) this.#fail('G1', `seq ${seq} of ${row.execution} is stored behind ${known}`);
        this.#durableSeq.set(row.execution, seq);
      }
    }
  }

  // ── what the object sends ─────────────────────────────────────────────────────────────────────

  sent(socket: PlatformSocket, text: string): void {
    if (socket.execution === null || !text.startsWith('{"type":"welcome"')) return;
    const welcome = JSON.parse(text) as WelcomeFrame;
    socket.epoch = welcome.epoch;
    const waiting = this.#world.host.disk.commands.filter(({ execution }) => execution === socket.execution);
    const missing = waiting.filter(({ command }) => !welcome.commands.some(({ id }) => id === command.id));
    if (missing.length > 0) this.#fail('ING9', `a welcome leaves out command ${missing[0]?.command.id}, which is not acknowledged`);
  }

  left(socket: PlatformSocket, text: string): void {
    if (socket.execution === null || !text.startsWith('{"type":"welcome"')) return;
    const { epoch } = JSON.parse(text) as WelcomeFrame;
    const before = this.#epochs.get(socket.execution) ?? 0;
    if (epoch <= before) this.#fail('ING3', `epoch ${epoch} of ${socket.execution} follows ${before}`);
    this.#epochs.set(socket.execution, epoch);
  }

  // ── what a wrapper receives ───────────────────────────────────────────────────────────────────

  acked(execution: string, seq: number): void {
    const durable = this.#durableSeq.get(execution) ?? 0;
    if (seq > durable) this.#fail('G1', `${seq} of ${execution} was acknowledged, but only ${durable} is durable`);
    this.#acked.set(execution, Math.max(seq, this.#acked.get(execution) ?? 0));
  }

  welcomed(execution: string, { ackedSeq }: WelcomeFrame): void {
    if (ackedSeq > 0) this.acked(execution, ackedSeq);
  }

  /**
   * Frames of one connection arrive in order. A seq ahead of the expected one therefore means that
   * a frame was lost in transit or that its write failed.
   */
  get #framesMayBeMissing(): boolean {
    return this.#world.faults.has('frame_dropped') || this.#world.faults.has('disk_write_fails');
  }

  nacked(label: string): void {
    if (!this.#framesMayBeMissing) this.#fail('SPL5', `${label} was told that something is missing`);
  }

  faulted(label: string, why: string): void {
    if (!this.#framesMayBeMissing) this.#fail('SPL5', `${label} found a fault of the protocol: ${why}`);
  }

  /** Two wrappers have one history from now on, and one of them may supersede the other. */
  spoolCopied(execution: string): void {
    this.#copied.add(execution);
  }
  readonly #copied = new Set<string>();

  /** Only the coordinator stops a job, and not while it still waits for that job. */
  stoppedUnasked(spool: Spool, why: string, awayMs: number, graceMs: number): void {
    if (this.#copied.has(spool.execution) && why.includes(String(CLOSE.superseded))) return;
    const record = this.#world.host.disk.executions.get(spool.execution);
    if (!record || isTerminal(record.status) || record.wrapperId !== spool.wrapperId || awayMs > graceMs) return;
    this.#fail(
      'SPL29',
      `the job of ${spool.execution} is stopped after ${awayMs} ms without a connection (grace ${graceMs} ms): ${why}`,
    );
  }

  /** `lateMs`: time from the end of the budget to the start of the last attempt. */
  gaveUp(label: string, why: string, lateMs: number): void {
    if (lateMs <= 0) this.#fail('SPL31', `${label} gave up without an attempt after its budget: ${why}`);
  }

  spawned(execution: string): void {
    const count = (this.#spawns.get(execution) ?? 0) + 1;
    this.#spawns.set(execution, count);
    if (count > 1) this.#fail('ING2', `the command of ${execution} was run ${count} times`);
  }

  carriedOut(execution: string, id: number): void {
    const done = this.#commands.get(execution) ?? new Set();
    this.#commands.set(execution, done);
    if (done.has(id)) {
      // A copy of a spool may be older than the command. The copy does not run the job again, so
      // the command has no second effect. A power loss may also remove the note of the command; the
      // job has ended by then.
      const { counts } = this.#world.faults;
      if (!counts.has('spool_copied') && !counts.has('spool_power_lost'))
        this.#fail('ING9', `command ${id} of ${execution} was carried out twice`);
    }
    done.add(id);
  }

  toldSettled(execution: string, reason: string): void {
    const { status } = JSON.parse(reason) as { status: string };
    const verdict = this.log.findLast((event) => event.own && event.execution === execution);
    if (!verdict || terminalStatusOf(verdict.type) !== status) {
      this.#fail('ING7', `a wrapper of ${execution} was told ${status}, but the log does not say so: ${verdict?.line}`);
    }
  }

  // ── what a viewer receives ────────────────────────────────────────────────────────────────────

  /** G2: the event is the next one in the log that passes the filter, and it is durable. */
  seen(viewer: Viewer, offset: number, execution: string, event: HoldfastEvent): void {
    const expected = this.nextFor(viewer);
    if (offset > this.log.length) this.#fail('G2', `${viewer.label} sees ${offset} before it is durable`);
    else if (!expected || offset !== expected.offset) {
      this.#fail('G2', `${viewer.label} at ${viewer.position} gets ${offset} (${event.type}), but ${expected?.offset} is next`);
    } else if (expected.execution !== execution || JSON.stringify(event) !== expected.line) {
      this.#fail('G2', `${viewer.label} sees another event at ${offset} than the log has`);
    }
  }

  caughtUp(viewer: Viewer, offset: number): void {
    const expected = this.nextFor(viewer);
    if (offset > this.log.length) this.#fail('G2', `${viewer.label} has caught up with ${offset}, which is not durable`);
    else if (expected && expected.offset <= offset) {
      this.#fail('G2', `${viewer.label} has caught up with ${offset}, but was never given ${expected.offset}`);
    }
  }

  endSeen(viewer: Viewer, execution: string, status: TerminalStatus): void {
    const verdict = this.log.findLast((event) => event.own && event.execution === execution);
    if (!verdict || terminalStatusOf(verdict.type) !== status) {
      this.#fail('STR8', `${viewer.label} was told that ${execution} is ${status}; the log says ${verdict?.type}`);
    } else if (viewer.position !== null && this.nextFor(viewer, verdict.offset)) {
      this.#fail(
        'STR8',
        `${viewer.label} at ${viewer.position} is told the end of ${execution}, whose verdict is at ${verdict.offset}`,
      );
    }
  }

  /** The first durable event after the viewer's position that passes its filter. */
  nextFor(viewer: Viewer, until = this.log.length): Logged | null {
    for (let index = viewer.position ?? 0; index < until; index += 1) {
      const event = this.log[index];
      if (event && viewer.passes(event)) return event;
    }
    return null;
  }

  // ── after the schedule ────────────────────────────────────────────────────────────────────────

  /**
   * True when the schedule is at rest: no execution is active or queued, every viewer has the whole
   * log, and no wrapper runs.
   */
  get atRest(): boolean {
    const { disk } = this.#world.host;
    const { executions, alarm } = disk;
    for (const { status } of executions.values()) if (!isTerminal(status)) return false;
    if (executions.size > 0 && (alarm === null || this.#directoryLags || disk.callbacks.length > 0)) return false;
    if ([...this.#world.processes, ...this.#world.posters].some(({ alive }) => alive)) return false;
    return disk.durable && this.#world.viewers.every((viewer) => viewer.done || !this.#known(viewer) || this.#viewerHasAll(viewer));
  }

  /** DIR1, DIR4: an update for the directory is pending, or its acknowledgement has not arrived. */
  get #directoryLags(): boolean {
    const { outbox } = this.#world.host.disk;
    return !outbox || outbox.delivered < outbox.version || this.#world.directory.held?.version !== outbox.version;
  }

  #directory(): void {
    const { executions, outbox } = this.#world.host.disk;
    const newest = [...executions.values()].sort((a, b) => b.ordinal - a.ordinal)[0];
    if (!newest) return;
    const { held } = this.#world.directory;
    if (this.#directoryLags) this.#fail('DIR1', `the directory has ${held?.version}, the session is at ${JSON.stringify(outbox)}`);
    const known = JSON.stringify(held?.entry?.execution ?? null);
    if (known !== JSON.stringify(executionView('s1', newest)))
      this.#fail('DIR1', `the directory has ${known} for ${JSON.stringify(newest)}`);
    if (/KEY|"env"|"stdin"/.test(known)) this.#fail('HTTP20', `the directory was told ${known}`);
  }

  /**
   * CB1, CB12: one callback id for each event that was asked for, and no other callbacks. That of a
   * verdict has the execution as it ended.
   */
  #callbacks(): void {
    const { executions, callbacks } = this.#world.host.disk;
    const { messages } = this.#world.queue;
    for (const { id } of callbacks) this.#fail('CB6', `${id} still waits for the queue`);
    for (const record of executions.values()) {
      const told = messages.filter(({ execution }) => execution.id === record.id);
      const ids = new Set(told.map(({ id }) => id));
      const wanted = wantsCallback(record.id) ? this.#offsetsToTell(record.id) : [];
      const offsets = told.map(({ offset }) => offset);
      if (ids.size !== wanted.length || wanted.some((offset) => !offsets.includes(offset)))
        this.#fail('CB1', `of ${record.id} ${[...ids]} told of ${offsets}, not of ${wanted}`);
      for (const { id, event, execution, url } of told) {
        const known = JSON.stringify(execution);
        if (event !== 'settled') continue;
        if (url !== record.callbackUrl || viewAtVerdict(execution) !== viewAtVerdict(executionView('s1', record)))
          this.#fail('CB1', `${id} says ${known} to ${url} of ${JSON.stringify(record)}`);
        if (/KEY|"env"|"stdin"/.test(known)) this.#fail('HTTP20', `the queue was told ${known}`);
      }
    }
    const ids = new Map(messages.map(({ id, execution }) => [id, execution.id]));
    for (const { id, execution } of messages) {
      if (ids.get(id) !== execution.id) this.#fail('CB1', `${id} is the id of two verdicts`);
      if (!executions.has(execution.id)) this.#fail('CB1', `${id} tells of ${execution.id}, which is not there`);
    }
  }

  /** Offsets of the events of an execution that its caller asks to be told of. */
  #offsetsToTell(id: string): number[] {
    const told = new Set([
      'execution_running',
      'wrapper_disconnected',
      ...TERMINAL_STATUSES.map((status) => `execution_${status}`),
    ]);
    return this.#world.host.disk.log.flatMap(({ execution, firstSeq, firstOffset, body }) => {
      if (execution !== id || firstSeq !== null) return [];
      return body.split('\n').flatMap((line, index) => (told.has(JSON.parse(line).type) ? [firstOffset + index] : []));
    });
  }

  /**
   * Whether every execution that the viewer follows was started. Otherwise each of its requests is
   * refused.
   */
  #known({ wish }: Viewer): boolean {
    const { executions } = this.#world.host.disk;
    return executions.size > 0 && (wish.executions?.every((id) => executions.has(id)) ?? true);
  }

  #viewerHasAll(viewer: Viewer): boolean {
    return viewer.wish.executions ? viewer.done : viewer.position !== null && this.nextFor(viewer) === null;
  }

  /** HTTP34: every answer to one input names the same command. */
  inputAccepted(execution: string, inputId: string, commandId: number): void {
    const key = `${execution}/${inputId}`;
    const told = this.#inputs.get(key) ?? commandId;
    if (told !== commandId) this.#fail('HTTP34', `${key} was answered with command ${told} and with ${commandId}`);
    this.#inputs.set(key, told);
  }

  /** HTTP34: an input that was answered is in the log once, however often it was repeated. */
  #inputsOnce(): void {
    const logged = new Map<string, number>();
    for (const { type, execution, line } of this.log) {
      if (type !== 'input') continue;
      const key = `${execution}/${(JSON.parse(line) as { data: { text: string } }).data.text}`;
      logged.set(key, (logged.get(key) ?? 0) + 1);
    }
    for (const [key, count] of logged) if (count > 1) this.#fail('HTTP34', `${key} is in the log ${count} times`);
    for (const key of this.#inputs.keys()) if (!logged.has(key)) this.#fail('G1', `${key} was accepted and is not in the log`);
  }

  final(): void {
    const { executions } = this.#world.host.disk;
    this.#inputsOnce();
    this.asking.final();
    this.#callbacks();
    for (const record of executions.values()) {
      if (!isTerminal(record.status)) this.#fail('G3', `${record.id} is still ${record.status} after all its deadlines`);
    }
    this.#directory();
    for (const process of [...this.#world.processes, ...this.#world.posters])
      if (process.alive) this.#fail('ING7', `${process.label} lives on, ${process.phase}`);
    for (const viewer of this.#world.viewers) {
      const next = this.nextFor(viewer);
      // STR34: a stream that ended gets no late events any more.
      if (this.#known(viewer) && next && !(viewer.done && next.late))
        this.#fail('G2', `${viewer.label} stays at ${viewer.position} and never gets ${next.offset}`);
      if (this.#known(viewer) && viewer.wish.executions && !viewer.done)
        this.#fail('STR9', `${viewer.label} was never told the end`);
    }
    for (const [execution, seq] of this.#acked) {
      const durable = this.#durableSeq.get(execution) ?? 0;
      if (seq > durable) this.#fail('G1', `${seq} of ${execution} was acknowledged, and the log ends at ${durable}`);
    }
    if (this.#world.host.disk.alarm === null && executions.size > 0)
      this.#fail('G5', 'a session at rest has no alarm for its retention');
    const fail = (rule: string, text: string) => this.#fail(rule, text);
    for (const record of executions.values()) {
      checkHistory(record, this.log, this.#world, fail);
      this.#nothingDropped(record.id, fail);
    }
    this.#noneTooMany(fail);
  }

  /**
   * G1: the lines of a job are consecutive, or a gap stands between them.
   * SPL34: a gap in front of the next line counts every line that a spool lost.
   */
  #nothingDropped(id: string, fail: (rule: string, text: string) => void): void {
    if (this.#world.posters.some(({ spool }) => spool.execution === id)) return;
    // The log may mix the lines of one copy with the replacements of lines that the other copy
    // lost.
    if (this.#copied.has(id) && this.#world.faults.counts.has('spool_damaged')) return;
    let next: number | null = 0;
    let counted = 0;
    for (const { type, line, execution, own, seq } of this.log) {
      if (execution !== id || own) continue;
      const { data } = JSON.parse(line) as { data: { text?: string; reason?: string; events?: number } };
      if (type === 'gap' && data.reason === 'placeholder') {
        if (counted === 0) fail('SPL34', `seq ${seq} of ${id} is lost, and no gap counts it`);
        counted -= 1;
      } else if (type === 'gap') {
        counted = (data.events ?? 0) - 1;
        next = null;
      }
      const lines = this.#world.jobLines(id);
      if (type === 'exit' && (data as { toldToStop?: boolean }).toldToStop === false && next !== null && next !== lines)
        fail('G10', `${id} ended by itself after ${next} of ${lines} lines`);
      if (type !== 'output') continue;
      const lineNumber = Number.parseInt(data.text ?? '', 10);
      if (next !== null && lineNumber !== next)
        fail('G1', `line ${lineNumber} of ${id} follows ${next - 1}, and no gap stands between them`);
      next = lineNumber + 1;
    }
  }

  /** G4, as read from the log. */
  #noneTooMany(fail: (rule: string, text: string) => void): void {
    const active = new Set<string>();
    for (const { type, execution, own } of this.log) {
      if (!own) continue;
      if (ACTIVE_STATUSES.some((status) => type === `execution_${status}`)) {
        const most = this.#world.host.disk.executions.get(execution)?.maxActive ?? 1;
        if (!active.has(execution) && active.size >= most)
          fail('G4', `${execution} became active while ${[...active].join(', ')} were, and it allows ${most}`);
        active.add(execution);
      } else if (terminalStatusOf(type)) active.delete(execution);
    }
  }
}

/**
 * JSON.stringify makes the lines, or the parser checks them. `type` is the first key of every line
 * that the simulator makes.
 */
const typeOf = (line: string): string => line.slice(9, line.indexOf('"', 9));
