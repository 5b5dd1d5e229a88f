/**
 * Events as output: the job's text goes to its own stream, messages of Holdfast go to stderr, JSON
 * goes to stdout.
 */

import { type AgentFormat, ConversationText, LineParts, type Summary, type TextPiece } from '../agent/index.ts';
import { ViewerFilter } from '../client/terminal/viewer-filter.ts';
import {
  type AnswerChoice,
  choiceText,
  gapText,
  isAgentPart,
  type LoggedEvent,
  type OutputFormat,
  waitReasonText,
} from '../protocol/index.ts';
import { describeEnding, endedByItself } from './exit-code.ts';
import type { Io } from './io.ts';
import { type LinePiece, LineSplitter, type StreamName } from './lines.ts';
import { askingOf, commandLine, questionLines } from './questions.ts';
import { progressText, type StatusLine } from './status-line.ts';
import { escapeControls, escapeControlsInLines, jsonText, shownJson } from './terminal-text.ts';

/** Shown to people by default: the job's lines, and what explains a pause or an end in them. */
export const HUMAN_TYPES = [
  'output',
  'agent',
  'agent_part',
  'gap',
  'status',
  'error',
  'execution_queued',
  'execution_waiting',
  'execution_assigned',
  'execution_recalled',
  'wrapper_disconnected',
  'wrapper_reconnected',
  'execution_deadline_renewed',
  'asking',
  'asking_ended',
  'answered',
  'interrupt_requested',
  'execution_failed',
  'execution_interrupted',
] as const;

/** Besides `HUMAN_TYPES`: what an agent was asked and told, and how its run ended. */
export const CONVERSATION_TYPES = ['started', 'input', 'exit', 'interrupted', 'execution_completed'] as const;

const QUESTION_TYPES = ['asking', 'asking_ended', 'answered'] as const;

const IN_CONVERSATION: ReadonlySet<string> = new Set([
  'agent',
  'agent_part',
  'execution_failed',
  'execution_interrupted',
  ...QUESTION_TYPES,
  ...CONVERSATION_TYPES,
]);

/** They end a JSON line whose last part does not come. */
const PRINTS: ReadonlySet<string> = new Set(['output', 'agent', 'gap']);

/** Longer output of an agent's tool is cut in the middle. */
const TOOL_LINES_MAX = 12;

/** The format of an agent whose lines are printed as a conversation; null for other programs. */
export const conversationFormat = (format: OutputFormat | undefined): AgentFormat | null =>
  format === undefined || format === 'text' || format === 'jsonl' ? null : format;

export interface PrinterOptions {
  /** The lines of this agent are printed as a conversation. */
  conversation?: AgentFormat | null;
  timestamps?: boolean;
  /** Types that were requested by name are printed even when they are unknown here. */
  types?: readonly string[] | undefined;
  quiet?: boolean;
  /**
   * Where progress is drawn. Without it, and if progress was requested by name, it is printed like
   * other events.
   */
  status?: StatusLine;
  /** `session/execution`, for the command that answers a question. Absent: the run has ended. */
  reference?: string;
  /** Called with each piece of the conversation. False: it is not printed. */
  onSaid?: (piece: TextPiece) => boolean;
  /** `run --json` reserves stdout for its one object. */
  outputTo?: StreamName;
}

const LATE_REMARK = 'what follows arrived after the verdict: the job had been cut off for longer than its grace';

export class Printer {
  readonly #io: Io;
  readonly #options: PrinterOptions;
  #splitter = new LineSplitter();
  #filter = new ViewerFilter({ asLines: true });
  #conversation: ConversationText | null;
  #parts = new LineParts();
  #saidLate = false;
  #replacedBytes = 0;

  constructor(io: Io, options: PrinterOptions = {}) {
    this.#io = io;
    this.#options = options;
    this.#conversation = options.conversation
      ? new ConversationText(options.conversation, { outputLinesMax: TOOL_LINES_MAX })
      : null;
  }

  /** Continues the lines that another printer has left unfinished. */
  continueFrom(other: Printer): void {
    this.#splitter = other.#splitter;
    this.#filter = other.#filter;
    this.#conversation = other.#conversation;
    this.#parts = other.#parts;
    this.#saidLate = other.#saidLate;
    this.#replacedBytes = other.#replacedBytes;
  }

  /** Null: the lines are not read as a conversation. */
  get summary(): Readonly<Summary> | null {
    return this.#conversation?.summary ?? null;
  }

  get lines(): number {
    return this.#splitter.lines;
  }

  /** Call at the end. Says on stderr that the output is not what the job wrote, if so. */
  async reportReplaced(): Promise<void> {
    const bytes = this.#replacedBytes;
    if (bytes === 0) return;
    const were =
      bytes === 1 ? '1 byte of the output was not UTF-8 and was' : `${bytes} bytes of the output were not UTF-8 and were`;
    await this.#io.stderr.write(`holdfast: ${were} replaced by U+FFFD; \`holdfast run --bytes\` keeps them\n`);
  }

  /**
   * Pieces of what an event prints; empty for an event that is not for people. Before the first
   * late one stands a remark that says so.
   */
  pieces(event: LoggedEvent): LinePiece[] {
    if (!event.late || this.#saidLate) return this.#piecesOf(event);
    const pieces = this.#piecesOf(event);
    const [first] = pieces;
    if (!first) return pieces;
    this.#saidLate = true;
    // It is kept or dropped with the line that it announces.
    const remark = { ...this.#splitter.remark(`holdfast: ${LATE_REMARK}\n`, event.at, 'error'), line: first.line };
    return [remark, ...pieces];
  }

  #piecesOf(event: LoggedEvent): LinePiece[] {
    const said = this.#conversation && IN_CONVERSATION.has(event.type) ? this.#said(this.#conversation.add([event])) : [];
    // What is printed next would continue a long line that has no end.
    const ended = PRINTS.has(event.type) ? this.#splitter.split('stdout', this.#parts.close(), event.at) : [];
    return [...ended, ...said, ...this.#others(event)];
  }

  /** What is not complete yet. Call at the end of a log that is not followed. */
  rest(): LinePiece[] {
    const ended = this.#splitter.split('stdout', this.#parts.close(), 0);
    return [...ended, ...this.#said(this.#conversation?.rest() ?? [])];
  }

  #said(pieces: readonly TextPiece[]): LinePiece[] {
    return pieces.flatMap((piece) => {
      if (this.#options.onSaid?.(piece) === false) return [];
      const { text, at } = piece;
      // Output may have left its line unfinished.
      const begin = this.#splitter.isOpen('stdout') ? '\n' : '';
      const shown = this.#io.stdout.isTty ? escapeControlsInLines(text) : text;
      return this.#splitter.split('stdout', `${begin}${shown}`, at);
    });
  }

  #others({ type, at, data, offset }: LoggedEvent): LinePiece[] {
    switch (type) {
      case 'output': {
        if (typeof data.replaced === 'number') this.#replacedBytes += data.replaced;
        const stream = data.stream === 'stderr' ? 'stderr' : 'stdout';
        if (data.stream === 'tty') return this.#splitter.split('stdout', this.#terminalText(String(data.text ?? '')), at);
        const bytes = typeof data.base64 === 'string' ? Buffer.from(data.base64, 'base64') : null;
        const text = bytes ? bytes.toString('utf8') : String(data.text ?? '');
        if (this.#conversation && this.#io[stream].isTty) return this.#splitter.split(stream, escapeControlsInLines(text), at);
        if (bytes) return this.#splitter.split(stream, bytes.toString('latin1'), at, true);
        return this.#splitter.split(stream, text, at);
      }
      case 'agent':
        if (this.#conversation) return [];
        return this.#splitter.split('stdout', `${jsonText(data, this.#io.stdout)}\n`, at);
      case 'agent_part':
        if (this.#conversation || !isAgentPart(data)) return [];
        return this.#splitter.split('stdout', this.#parts.add({ ...data, text: shownJson(data.text, this.#io.stdout) }), at);
      default: {
        // The verdict repeats a fatal error; if verdicts were not requested, only this reports it.
        const repeats = type === 'error' && data.fatal === true && !this.#options.types?.includes(type);
        if (type === 'asking') return this.#question(data, at);
        // A conversation has them itself.
        const isSaid = this.#conversation !== null && (QUESTION_TYPES as readonly string[]).includes(type);
        const remark = repeats || isSaid ? null : remarkOn(type, data);
        if (remark !== null)
          return [this.#splitter.remark(`holdfast: ${escapeControls(remark)}\n`, at, isTrouble(type, data) ? 'error' : 'note')];
        if (repeats || !this.#options.types?.includes(type)) return [];
        return this.#splitter.split('stdout', `${offset} ${type} ${escapeControls(JSON.stringify(data))}\n`, at);
      }
    }
  }

  #question(data: Record<string, unknown>, at: number): LinePiece[] {
    const question = askingOf(data);
    if (!question) return [];
    const { reference = null } = this.#options;
    const command = reference === null ? [] : [commandLine(question, reference)];
    // A conversation has the question and its options itself.
    const lines = this.#conversation ? command : questionLines(question, reference);
    return lines
      .flatMap((line) => line.split('\n'))
      .map((line) => this.#splitter.remark(`holdfast: ${escapeControls(line)}\n`, at, 'note'));
  }

  /** A terminal would answer the program's queries, into the input of the shell. */
  #terminalText(text: string): string {
    return this.#io.stdout.isTty ? this.#filter.push(text) : text;
  }

  async print(event: LoggedEvent): Promise<void> {
    if (event.type === 'progress') this.#options.status?.set('progress', progressText(event.data));
    const pieces = this.pieces(event);
    // The usual case is one write: pieces of one event belong to one stream.
    const [first] = pieces;
    if (!first) return;
    // A late event may have a remark in front, which belongs to another stream.
    await this.write(pieces, pieces.every(({ stream }) => stream === first.stream) ? first : undefined);
  }

  /** `alike`: all pieces go where this one goes, as it does. */
  async write(pieces: readonly LinePiece[], alike?: LinePiece): Promise<void> {
    const shown = this.#options.quiet ? pieces.filter(({ remark }) => remark !== 'note') : pieces;
    if (alike) {
      await this.#writeTo(alike.stream, shown.map((piece) => this.#render(piece)).join(''), alike.isBytes);
      return;
    }
    for (const piece of shown) await this.#writeTo(piece.stream, this.#render(piece), piece.isBytes);
  }

  #render({ text, at, startsLine }: LinePiece): string {
    return this.#options.timestamps && startsLine ? `${new Date(at).toISOString()} ${text}` : text;
  }

  async #writeTo(stream: StreamName, text: string, isBytes = false): Promise<void> {
    if (text === '') return;
    const output = stream === 'stderr' || this.#options.outputTo === 'stderr' ? this.#io.stderr : this.#io.stdout;
    await output.write(text, isBytes ? 'latin1' : 'utf8');
  }
}

const withReason = (text: string | null, reason: unknown): string | null => (text === null ? null : `${text}: ${reason}`);

/** Shown even with --quiet: missing events, and an end that the job did not cause. */
const isTrouble = (type: string, data: Record<string, unknown>): boolean =>
  type === 'gap' || type === 'error' || (type === 'execution_failed' && !endedByItself(data.code));

/** Holdfast's message about an event; null without one. */
function remarkOn(type: string, data: Record<string, unknown>): string | null {
  switch (type) {
    case 'gap':
      return withReason(gapText(data), data.reason);
    case 'status':
      return String(data.message ?? '');
    case 'error':
      return `error: ${data.error}`;
    case 'execution_queued':
      return 'queued: another run of this session is active';
    case 'execution_waiting':
      return `waiting in pool ${data.pool}: ${waitReasonText(data.reason)}`;
    case 'execution_assigned':
      return `assigned to runner ${data.name}`;
    case 'execution_recalled':
      return `${data.message}; it waits for another runner`;
    case 'wrapper_disconnected':
      return 'the job lost its connection to the coordinator; it continues, and the coordinator waits for it';
    case 'wrapper_reconnected':
      return Number(data.eventsLost) > 0
        ? `the job is connected again; ${data.eventsLost} events were lost`
        : 'the job is connected again';
    case 'interrupt_requested':
      return `${data.force === true ? 'stop by force' : 'interrupt'} requested${data.reason ? `: ${data.reason}` : ''}`;
    case 'asking_ended':
      return data.reason === 'cancelled' ? 'the agent withdrew its question' : null;
    case 'answered': {
      const { name, id } = (data.by ?? {}) as { name?: unknown; id?: unknown };
      return `the question was answered: ${choiceText(data as AnswerChoice)} (by ${name ?? id})`;
    }
    case 'execution_deadline_renewed':
      return 'the coordinator was away itself; it waits for the job again';
    case 'execution_failed':
    case 'execution_interrupted':
      return describeEnding({ ...data, status: type.slice('execution_'.length) });
    default:
      return null;
  }
}
