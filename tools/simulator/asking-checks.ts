/**
 * Invariants of questions and answers (docs/asking.md).
 *
 *   QC1  A question is in the log once, and its answer is; and its reply reaches the agent once.
 *   QC2  The open questions of an execution are those that its log leaves open.
 *   QC3  A verdict leaves no question open.
 *   QC4  An answer that was accepted is in the log as it was given, and a repeat of it is the same.
 *   QC5  An agent does not wait in vain: its question is reported, and the reply to an accepted
 *        answer arrives, or a `status` says that it may be missing.
 */

import { type HoldfastEvent, QUESTIONS_OPEN_MAX, terminalStatusOf } from '../../protocol/index.ts';
import type { Disk } from './disk.ts';
import { readReply } from './questions.ts';
import type { World } from './world.ts';

/** After the world has healed: every wrapper that is left is connected, and what it has was taken. */
const SETTLED_MS = 45_000;

interface Told {
  commandId: number;
  option: string;
}

export class AskingChecks {
  readonly #world: World;
  readonly #fail: (rule: string, text: string) => void;
  /** By execution: what the rows of the log leave open. */
  #open = new Map<string, string[]>();
  #rowsSeen = 0;
  /** By execution, question and id of the answer. */
  readonly #told = new Map<string, Told>();
  readonly #replies = new Map<string, boolean>();
  /** An agent may wait in vain for these. */
  readonly #excused = new Set<string>();

  constructor(world: World, fail: (rule: string, text: string) => void) {
    this.#world = world;
    this.#fail = fail;
  }

  /** QC2, QC3. After each turn of the object. */
  turn(disk: Disk): void {
    for (; this.#rowsSeen < disk.log.length; this.#rowsSeen += 1) {
      const row = disk.log[this.#rowsSeen];
      if (!row || row.late) continue;
      for (const line of row.body.split('\n')) if (MATTERS.test(line)) this.#read(row.execution, JSON.parse(line) as HoldfastEvent);
    }
    for (const { id, asking } of disk.executions.values()) {
      const known = (asking ?? []).map((question) => question.id).join(' ');
      const expected = (this.#open.get(id) ?? []).join(' ');
      if (known !== expected) this.#fail('ASK2', `"${known}" is open of ${id}, but its log leaves "${expected}" open`);
    }
  }

  /** The object lost its turns. */
  crashed(): void {
    this.#open = new Map();
    this.#rowsSeen = 0;
  }

  #read(execution: string, { type, data }: HoldfastEvent): void {
    const open = this.#open.get(execution) ?? [];
    const others = open.filter((id) => id !== data.id);
    if (type === 'asking') this.#open.set(execution, others.length < QUESTIONS_OPEN_MAX ? [...others, String(data.id)] : open);
    else if (type === 'answered' || type === 'asking_ended') this.#open.set(execution, others);
    else if (terminalStatusOf(type)) this.#open.delete(execution);
  }

  accepted(execution: string, question: string, answerId: string, told: Told): void {
    const key = `${execution}/${question}/${answerId}`;
    const before = this.#told.get(key) ?? told;
    if (before.commandId !== told.commandId)
      this.#fail('ASK6', `${key} was answered with command ${before.commandId} and with ${told.commandId}`);
    this.#told.set(key, before);
  }

  /** QC1. The agent reads it on its stdin. */
  replied(execution: string, text: string): void {
    const { id, allows } = readReply(text);
    const key = `${execution}/${id}`;
    if (this.#replies.has(key)) this.#fail('ASK10', `the agent of ${key} got a second reply`);
    this.#replies.set(key, allows);
  }

  /** The wrapper was killed while it wrote a reply. The text of the question ends with its id. */
  unsure(execution: string, text: string): void {
    this.#excused.add(`${execution}/${/(\w+)\?$/.exec(text)?.[1]}`);
  }

  /** QC5. The job is about to end, and its agent still waits for these. */
  waitedInVain(execution: string, waiting: ReadonlyMap<string, number>): void {
    const { healedAt, now, host } = this.#world;
    const record = host.disk.executions.get(execution);
    if (record?.status !== 'running' || !record.connected) return;
    const events = this.#eventsOf(execution);
    const interrupted = events.find(({ type }) => type === 'interrupt_requested');
    const connected = events.findLast(({ type }) => CONNECTED.test(type))?.at ?? 0;
    const until = Math.min(now, interrupted?.at ?? now);
    const settled = (at: number): boolean => until - Math.max(at, healedAt, connected) > SETTLED_MS;
    const known = events.filter(({ type }) => type === 'asking').map(({ data }) => data.id);
    const open = this.#open.get(execution) ?? [];
    for (const [id, at] of waiting) {
      const answered = events.find(({ type, data }) => type === 'answered' && data.id === id);
      if (answered && settled(answered.at) && !this.#excused.has(`${execution}/${id}`))
        this.#fail('ASK10', `the agent of ${execution}/${id} never got the answer of ${answered.at}`);
      if (!known.includes(id) && settled(at) && open.length < QUESTIONS_OPEN_MAX)
        this.#fail('ASK9', `${execution}/${id} was asked at ${at} and never reported`);
    }
  }

  #eventsOf(execution: string): HoldfastEvent[] {
    return this.#world.checks.log
      .filter((event) => event.execution === execution && MATTERS.test(event.line))
      .map(({ line }) => JSON.parse(line) as HoldfastEvent);
  }

  final(): void {
    const { disk } = this.#world.host;
    for (const { id, status, asking } of disk.executions.values()) {
      if (asking !== null) this.#fail('ASK2', `${id} is ${status} and has open questions`);
      const events = this.#eventsOf(id);
      for (const kind of ['asking', 'answered']) {
        const ids = events.filter(({ type }) => type === kind).map(({ data }) => String(data.id));
        const twice = ids.find((question, index) => ids.indexOf(question) !== index);
        if (twice !== undefined) this.#fail('ASK5', `${id} has two events ${kind} of ${twice}`); // QC1
      }
      for (const { type, data } of events) {
        const replied = this.#replies.get(`${id}/${data.id}`);
        if (type === 'answered' && replied !== undefined && replied !== (data.option === 'allow'))
          this.#fail('ASK10', `the agent of ${id}/${data.id} was told ${replied}, and the log says ${data.option}`);
      }
      for (const [key, { option }] of this.#told) {
        const [execution, question] = key.split('/');
        if (execution !== id) continue;
        const answered = events.find(({ type, data }) => type === 'answered' && data.id === question);
        if (answered?.data.option !== option) this.#fail('ASK4', `${key} was accepted with ${option}, and is not in the log`); // QC4
      }
    }
    for (const key of this.#replies.keys()) {
      const [execution = '', question = ''] = key.split('/');
      if (!this.#eventsOf(execution).some(({ type, data }) => type === 'answered' && data.id === question))
        this.#fail('ASK10', `the agent of ${key} got a reply without an answer`);
    }
  }
}

const CONNECTED = /^wrapper_(?:re)?connected$/;
/** Of an event that has to do with questions, or with the connection or the end of an execution. */
const MATTERS =
  /^\{"type":"(?:asking|asking_ended|answered|interrupt_requested|wrapper_(?:re)?connected|execution_(?:completed|failed|interrupted))"/;
