/**
 * What the wrapper itself records of a run: its own facts among the job's events, and its state
 * next to them.
 *
 *   SV4  Exactly one terminal fact is written, and it is the last event (the spool refuses what
 *        follows).
 *   SV8  What does not fit into the log is reported twice: when it begins, and with its amount
 *        right before the terminal fact (SPL39).
 *   SV7  Everything about the job's command passes `redacted` first. (Child and agent-stream do the
 *        same for the job's output.)
 */

import type { TerminalFact } from '../job/end.ts';
import type { Log } from '../log.ts';
import { encodeEvent } from '../output/event-lines.ts';
import type { Redaction } from '../output/redaction.ts';
import type { Spool } from '../spool/spool.ts';
import type { LogBudget } from './log-budget.ts';

export class Report {
  readonly #spool: Spool;
  readonly #budget: LogBudget;
  /** Null: nothing is secret. */
  #redaction: Redaction | null = null;
  readonly #log: Log;

  constructor(spool: Spool, budget: LogBudget, log: Log) {
    this.#spool = spool;
    this.#budget = budget;
    this.#log = log;
  }

  /** Before any event of the job is recorded. */
  redactWith(redaction: Redaction | null): void {
    this.#redaction = redaction;
  }

  event(type: string, data: Record<string, unknown>): void {
    const line = encodeEvent({ type, at: Date.now(), data });
    if (this.#budget.takeFact(line.length)) this.#spool.append(line);
  }

  /** An event of the job, encoded. It is dropped if the log has no space left (SPL39). */
  output(line: Buffer): void {
    const { keep, begins } = this.#budget.takeOutput(line.length);
    if (keep) this.#spool.append(line);
    if (!begins) return;
    const message = `the log of this execution is full (maxLogBytes ${this.#budget.limitBytes}): further output is left out, and the job goes on`;
    this.#log.problem(message);
    this.event('status', { message }); // SV8
  }

  /** Further output of the job is left out. */
  get isLogFull(): boolean {
    return this.#budget.isFull;
  }

  /** Whether questions of an agent, of this size together, have room in the log. */
  hasRoomForQuestions(bytes: number): boolean {
    return this.#budget.fitsQuestions(bytes);
  }

  /** A screen of the job's terminal, encoded. */
  screen(line: Buffer): void {
    if (this.#budget.takeScreen(line.length)) this.#spool.append(line);
  }

  /**
   * The terminal fact (SV4). The exit code is stored for a boot that only has to deliver the rest.
   */
  conclude({ type, data, exitCode }: TerminalFact): void {
    const { dropped } = this.#budget;
    if (dropped) this.#append('gap', { ...dropped, reason: 'log_full' }, false); // SV8
    this.#append(type, data, true);
    this.#spool.state.job.exitCode = exitCode;
    this.save();
  }

  /**
   * Writes the spool's current state. `durable`: it survives a power loss. False when the write
   * fails.
   */
  save(options: { durable?: boolean } = {}): boolean {
    try {
      this.#spool.saveState(options);
      return true;
    } catch (error) {
      this.#log.problem(`the wrapper's state cannot be written: ${(error as Error).message}`);
      return false;
    }
  }

  redacted(text: string): string {
    return this.#redaction?.text(text) ?? text;
  }

  #append(type: string, data: Record<string, unknown>, terminal: boolean): void {
    this.#spool.append(encodeEvent({ type, at: Date.now(), data }), terminal);
  }
}
