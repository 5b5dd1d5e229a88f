/**
 * One execution of a conversation: what it prints, whether a turn runs, what its agent asks, how it
 * ended.
 */

import { type AgentFormat, encodeInterrupt, encodeMessage, type TextPiece, type TurnEndItem } from '../../agent/index.ts';
import { newExecutionId } from '../../protocol/ids.ts';
import { type AskingData, type Execution, type LoggedEvent, terminalStatusOf } from '../../protocol/index.ts';
import { type Context, openStream } from '../context.ts';
import { conversationFormat, Printer } from '../printer.ts';
import { askingOf } from '../questions.ts';
import type { Console } from './console.ts';

export interface ChatRunOptions {
  console: Console;
  signal: AbortSignal;
  giveUpAfterMs: number;
  /** What was in the log before is not printed. */
  isSilentFirst: boolean;
  /** It cannot be followed any more. */
  onFailure(error: unknown): void;
  /** Called when a question is asked, or is not open any more. */
  onQuestions(open: AskingData | null): Promise<void>;
}

export class ChatRun {
  readonly execution: Execution;
  /** It was begun for a message, or got one, from here: its end is the end of that turn. */
  isSpokenTo = false;
  readonly #context: Context;
  readonly #options: ChatRunOptions;
  readonly #printer: Printer;
  readonly #questions = new Map<string, AskingData>();
  /** Messages that were sent here, and are not printed again. */
  readonly #sent: string[] = [];
  #isRunning = false;
  #isEnded = false;
  #stdinEnded: boolean;
  #hears: boolean;
  /** A message was sent, and its turn has not ended. */
  #inTurn = false;
  #turnEnd: TurnEndItem | null = null;
  #said = '';
  #isReported = false;
  #exit: LoggedEvent | null = null;
  #waiting: (() => void)[] = [];
  readonly ended: Promise<void>;

  constructor(context: Context, execution: Execution, options: ChatRunOptions) {
    this.#context = context;
    this.execution = execution;
    this.#options = options;
    this.#hears = !options.isSilentFirst;
    this.#isRunning = execution.status === 'running';
    this.#stdinEnded = execution.openStdin !== true || execution.stdinEnded === true;
    this.#printer = new Printer(context.io, {
      conversation: conversationFormat(execution.format),
      quiet: context.quiet,
      onSaid: (piece) => this.#onSaid(piece),
    });
    this.ended = this.#read()
      .catch(options.onFailure)
      .finally(() => {
        this.#isEnded = true;
        this.#changed();
      });
  }

  /** The agent's own id of the conversation. */
  get resumeId(): string | null {
    return this.#printer.summary?.sessionId ?? null;
  }

  get format(): AgentFormat {
    return this.#printer.summary?.format ?? 'auto';
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Its process takes a message now, during a turn too. */
  get takesMessages(): boolean {
    return this.#isRunning && !this.#isEnded && !this.#stdinEnded && encodeMessage(this.format, '') !== null;
  }

  /** The agent works, or is about to. */
  get isBusy(): boolean {
    return !this.#isEnded && (this.#inTurn || !this.takesMessages);
  }

  /** The oldest that is open. */
  get question(): AskingData | null {
    return [...this.#questions.values()][0] ?? null;
  }

  /** How the last turn ended; null: it did not say. */
  get turnEnd(): TurnEndItem | null {
    return this.#turnEnd;
  }

  /** The last message of the agent in this turn. */
  get said(): string {
    return this.#said;
  }

  /** The verdict. */
  get exit(): LoggedEvent | null {
    return this.#exit;
  }

  /** Resolves when it runs, or has ended. */
  async running(): Promise<void> {
    while (!this.#isRunning && !this.#isEnded) await this.#change();
  }

  /** Resolves when the turn is over, or a question is open. */
  async settled(): Promise<void> {
    while (this.isBusy && this.question === null) await this.#change();
  }

  /** The start had the message in its command. */
  begins(message: string): void {
    this.isSpokenTo = true;
    this.#inTurn = true;
    this.#sent.push(message);
  }

  /** Writes a message to the agent. Throws what the call throws. */
  async send(message: string, input: string | null = encodeMessage(this.format, message)): Promise<void> {
    this.begins(message);
    this.#turnEnd = null;
    const { session, id } = this.execution;
    await this.#context.client.sendInput(session, id, { text: input ?? '' });
  }

  /** The agent ends its turn, or the whole execution where that is all it offers. */
  async interrupt(): Promise<void> {
    const { session, id } = this.execution;
    const line = this.takesMessages
      ? encodeInterrupt(this.format, { id: newExecutionId(), sessionId: this.resumeId, open: [] })
      : null;
    if (line === null) await this.#context.client.interrupt(session, id, { reason: 'Ctrl-C in holdfast chat' });
    else await this.#context.client.sendInput(session, id, { text: line });
  }

  /** It was answered from here: the event follows. */
  answered(id: string): void {
    this.#questions.delete(id);
  }

  /** True once for each turn that has ended. */
  takeReported(): boolean {
    const is = !this.#isReported;
    this.#isReported = true;
    return is;
  }

  async endInput(): Promise<void> {
    const { session, id } = this.execution;
    this.#stdinEnded = true;
    await this.#context.client.sendInput(session, id, { eof: true });
  }

  async #read(): Promise<void> {
    const { session, id, firstOffset } = this.execution;
    const stream = openStream(
      this.#context,
      { session, execution: id },
      {
        after: firstOffset - 1,
        signal: this.#options.signal,
        giveUpAfterMs: this.#options.giveUpAfterMs,
        onControl: ({ type }) => {
          if (type === 'caught_up') this.#hears = true;
        },
      },
    );
    for await (const event of stream) await this.#event(event);
    const rest = this.#printer.rest();
    if (rest.length > 0) await this.#options.console.around(() => this.#printer.write(rest));
  }

  async #event(event: LoggedEvent): Promise<void> {
    const { type, data } = event;
    const before = this.question;
    if (type === 'execution_running') this.#isRunning = true;
    if (type === 'input' && data.eof === true) this.#stdinEnded = true;
    if (terminalStatusOf(type)) this.#exit = event;
    const asked = type === 'asking' ? askingOf(data) : null;
    if (asked) this.#questions.set(asked.id, asked);
    if (type === 'answered' || type === 'asking_ended') this.#questions.delete(String(data.id));
    if (terminalStatusOf(type)) this.#questions.clear();
    const pieces = this.#printer.pieces(event);
    if (pieces.length > 0 && this.#hears && !this.#context.json)
      await this.#options.console.around(() => this.#printer.write(pieces));
    if (this.question !== before && this.#hears) await this.#options.onQuestions(this.question);
    this.#changed();
  }

  /** False: it is not printed. */
  #onSaid({ item }: TextPiece): boolean {
    if (item.type === 'turn_end') {
      this.#inTurn = false;
      this.#turnEnd = item;
    }
    if (item.type !== 'message') return true;
    if (item.role === 'assistant') {
      if (item.parent === undefined) this.#said = item.markdown;
      return true;
    }
    // A turn begins: its message was sent from here or from elsewhere.
    this.#inTurn = true;
    this.#isReported = false;
    this.#said = '';
    const at = this.#options.console.isInteractive ? this.#sent.indexOf(item.markdown) : -1;
    if (at !== -1) this.#sent.splice(at, 1);
    return at === -1;
  }

  #change(): Promise<void> {
    return new Promise((wake) => this.#waiting.push(wake));
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
