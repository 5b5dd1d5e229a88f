/**
 * The questions of the job's agent: reported when it asks, and answered in the form of that agent.
 *
 * Owns: which questions are open, and the file of their requests. Does not own: the job's output
 * (output-stream), its stdin (child), what the coordinator makes of the facts.
 *
 *   QU1  The request, which must not be redacted, is in the file before its question is spooled. So
 *        a wrapper that adopts the job can answer every question that the coordinator knows.
 *   QU2  A question is reported once. The file notes the seq of its event, and an adopting wrapper
 *        reports those whose event its spool lacks.
 *   QU3  A request with several questions gets one reply, when each of them has its answer.
 *   QU4  A reply is written at most once: it is noted before it is written. A wrapper that finds
 *        one that was noted says that it may be missing.
 *   QU5  What is reported is redacted and bounded. An answer is translated back to the ids of the
 *        agent.
 *   QU6  At most QUESTIONS_OPEN_MAX are reported at a time; a further one waits for an end.
 *   QU7  A request that cannot be reported is refused, because its agent would wait for an answer
 *        that no person can give.
 */

import { join } from 'node:path';
import { type AgentFormat, type Answer, AskingReader, encodeAnswer, encodeRefusal, type Question } from '../../agent/index.ts';
import {
  AGENT_LINE_BYTES_MAX,
  type AnswerCommandData,
  type AskingData,
  type AskingEndedData,
  askingError,
  type JsonObject,
  QUESTION_BYTES_MAX,
  QUESTION_OPTIONS_MAX,
  QUESTIONS_OPEN_MAX,
  utf8Bytes,
} from '../../protocol/index.ts';
import { isObject, parseJson } from '../../protocol/json.ts';
import { nodeFiles, replaceFile, type SpoolFiles } from '../spool/files.ts';

const QUESTIONS_FILE = 'questions.json';
/**
 * Of the lines of the agent that wait for a reply, which are held in memory and in a file: some of
 * the longest.
 */
export const REQUESTS_BYTES_MAX = 4 * AGENT_LINE_BYTES_MAX;
/** All of them are written to the file for each new one. */
export const REQUESTS_MAX = 128;
const LABEL_CHARS_MAX = 200;
const SHORT_CHARS_MAX = 40;
const SHORTEST_CHARS_MAX = 12;
/** Of the event of a question, beside its data. */
const EVENT_BYTES = 64;

export type QuestionFact = { type: 'asking'; data: AskingData } | { type: 'asking_ended'; data: AskingEndedData };

interface Asked {
  question: Question;
  /** As it is reported. */
  wire: AskingData;
  /** Of its `asking` event. Null: it waits for its turn (QU6). */
  seq: number | null;
  answer?: Answer;
}

/** One line of the agent, with the questions in it. */
interface AskedRequest {
  line: JsonObject;
  /** Of the line as JSON, once known. */
  bytes?: number;
  questions: Asked[];
  /** Its reply was about to be written (QU4). */
  replied?: true;
}

interface QuestionsFile {
  version: 1;
  format: AgentFormat;
  requests: AskedRequest[];
}

export interface QuestionsOptions {
  format: AgentFormat;
  /** The folder of the spool, which only this user can open. */
  folder: string;
  redacted(text: string): string;
  /** Of the next event that is appended to the spool. */
  nextSeq(): number;
  /** Whether an answer could reach the agent. */
  isStdinOpen(): boolean;
  /** Further lines of the agent get no event. */
  isLogFull(): boolean;
  /** Whether the events of questions, of this size together, have room in the log. */
  hasRoom(bytes: number): boolean;
  problem(message: string): void;
  files?: SpoolFiles;
}

export type AnswerOutcome =
  | { kind: 'reply'; text: string }
  /** Another question of the same request has no answer yet. */
  | { kind: 'waits' }
  /** The agent does not wait for it any more. */
  | { kind: 'not_asking' };

/** Why no person can be asked (QU7). */
const REFUSALS = {
  no_form: 'its id is empty or too long, or that of another open question',
  log_full: 'the log of this execution is full',
  too_many: 'too many questions wait for an answer',
  too_much: 'the questions that wait for an answer are too large together',
} as const;

/** A request that was refused (QU7). */
export interface RefusedRequest {
  reply: string | null;
  /** For the log. Null: it was said before. */
  message: string | null;
}

export const removeQuestionsFile = (folder: string, files: SpoolFiles = nodeFiles): void =>
  files.remove(join(folder, QUESTIONS_FILE));

export class Questions {
  readonly #options: QuestionsOptions;
  readonly #files: SpoolFiles;
  readonly #reader: AskingReader;
  #requests: AskedRequest[] = [];
  #refused: RefusedRequest[] = [];
  /** Reasons that were said, and are not said of each further question. */
  readonly #said = new Set<keyof typeof REFUSALS>();

  constructor(options: QuestionsOptions) {
    this.#options = options;
    this.#files = options.files ?? nodeFiles;
    const found = this.#load();
    this.#requests = found?.requests ?? [];
    this.#reader = new AskingReader(found?.format ?? options.format);
    this.#reader.resume(this.#open().map(({ question }) => question));
  }

  /**
   * A line of the agent, before its event is appended. Returns the facts that follow that event at
   * once.
   */
  read(line: JsonObject): QuestionFact[] {
    const { asked, ended } = this.#fromReader(line);
    if (asked.length === 0 && ended.length === 0) return [];
    const facts = this.#end(ended, 'cancelled');
    const questions = asked.flatMap((question) => this.#asked(question));
    if (asked.length > 0) this.#requests.push({ line, questions });
    const request = this.#requests.at(-1) as AskedRequest;
    if (questions.length < asked.length) this.#refuse(request, asked, 'no_form');
    else if (asked.length > 0 && this.#requests.length > REQUESTS_MAX) this.#refuse(request, asked, 'too_many');
    else if (asked.length > 0 && this.#requestsBytes() > REQUESTS_BYTES_MAX) this.#refuse(request, asked, 'too_much');
    facts.push(...this.#askNext(this.#options.nextSeq() + (this.#options.isLogFull() ? 0 : 1) + facts.length));
    this.#save(); // QU1
    return facts;
  }

  /**
   * For a wrapper that adopts the job. `nextSeq`: of its spool as it found it. Returns the questions
   * whose event is not there (QU2), and what is to be said about replies (QU4).
   */
  resume(nextSeq: number): { facts: QuestionFact[]; unsure: string[] } {
    const unsure = this.#requests
      .filter(({ replied }) => replied)
      .flatMap(({ questions }) => questions.map(({ wire }) => wire.text));
    this.#requests = this.#requests.filter(({ replied }) => !replied);
    for (const asked of this.#open()) if (asked.seq !== null && asked.seq >= nextSeq) asked.seq = null;
    const facts = this.#askNext(this.#options.nextSeq());
    if (facts.length > 0 || unsure.length > 0) this.#save();
    return { facts, unsure };
  }

  /** Write the reply, and call `written`. */
  answer({ question: id, option, options, text }: AnswerCommandData): AnswerOutcome {
    const request = this.#requests.find(({ questions }) => questions.some((asked) => isWaiting(asked) && asked.wire.id === id));
    const asked = request?.questions.find((each) => isWaiting(each) && each.wire.id === id);
    if (!request || !asked) return { kind: 'not_asking' };
    // QU5
    const own = (wire: string): string =>
      asked.question.options[asked.wire.options.findIndex((each) => each.id === wire)]?.id ?? wire;
    asked.answer = {
      ...(option === undefined ? {} : { option: own(option) }),
      ...(options === undefined ? {} : { options: options.map(own) }),
      ...(text === undefined ? {} : { text }),
    };
    this.#reader.answered([asked.question.id]);
    const answers = Object.fromEntries(
      request.questions.flatMap(({ question, answer }) => (answer ? [[question.id, answer] as const] : [])),
    );
    const reply = encodeAnswer(this.#reader.format, request.line, answers); // QU3
    if (reply !== null) request.replied = true; // QU4
    this.#save();
    return reply === null ? { kind: 'waits' } : { kind: 'reply', text: reply };
  }

  /** Write these replies, report what is said, and call `written`. */
  takeRefused(): RefusedRequest[] {
    return this.#refused.splice(0);
  }

  /** The reply is with the job. Returns the questions that waited for their turn. */
  written(): QuestionFact[] {
    this.#requests = this.#requests.filter(({ replied }) => !replied);
    const facts = this.#askNext(this.#options.nextSeq());
    this.#save();
    return facts;
  }

  /** The job has ended, and nothing is answered any more. */
  jobEnded(): QuestionFact[] {
    const facts = this.#end(
      this.#open().map(({ question }) => question.id),
      'job_ended',
    );
    this.#requests = [];
    this.#save();
    return facts;
  }

  #open(): Asked[] {
    return this.#requests.filter(({ replied }) => !replied).flatMap(({ questions }) => questions.filter(({ answer }) => !answer));
  }

  #fromReader(line: JsonObject): { asked: Question[]; ended: string[] } {
    const { asked, ended } = this.#reader.line(line);
    if (asked.length === 0 || this.#options.isStdinOpen()) return { asked, ended };
    this.#reader.answered(asked.map(({ id }) => id));
    return { asked: [], ended };
  }

  #requestsBytes(): number {
    return this.#requests.reduce((sum, request) => {
      request.bytes ??= jsonBytes(request.line);
      return sum + (request.replied ? 0 : request.bytes);
    }, 0);
  }

  #asked(question: Question): Asked[] {
    const wire = wireOf(question, (text) => this.#options.redacted(text));
    if (wire && !this.#open().some((other) => other.wire.id === wire.id)) return [{ question, wire, seq: null }];
    return [];
  }

  /** QU7. Returns what ends those of its questions that were reported. */
  #refuse(request: AskedRequest, asked: readonly Question[], why: keyof typeof REFUSALS): QuestionFact[] {
    const reason = REFUSALS[why];
    const reply = encodeRefusal(this.#reader.format, request.line, `No person can be asked: ${reason}.`);
    const text = cut(this.#options.redacted(asked[0]?.text ?? '').toWellFormed(), LABEL_CHARS_MAX);
    const isSaidOnce = why === 'log_full' || why === 'too_many';
    const further = isSaidOnce ? ' So is each further one that has no room.' : '';
    const message = `a question of the agent was refused, because no person can be asked: ${reason}.${further} The question was: ${text}`;
    this.#refused.push({ reply, message: isSaidOnce && this.#said.has(why) ? null : message });
    this.#said.add(why);
    const ends = request.questions.filter(isWaiting).map(({ wire }): QuestionFact => {
      return { type: 'asking_ended', data: { id: wire.id, reason: 'cancelled' } };
    });
    request.replied = true; // QU4
    this.#reader.answered(asked.map(({ id }) => id));
    return ends;
  }

  /** Forgets these questions of the agent. */
  #end(ids: readonly string[], reason: AskingEndedData['reason']): QuestionFact[] {
    const facts: QuestionFact[] = [];
    for (const request of this.#requests) {
      for (const asked of request.questions.filter(({ question }) => ids.includes(question.id))) {
        if (isWaiting(asked)) facts.push({ type: 'asking_ended', data: { id: asked.wire.id, reason } });
        request.questions = request.questions.filter((each) => each !== asked);
      }
    }
    this.#requests = this.#requests.filter(({ questions }) => questions.length > 0);
    return facts;
  }

  /** QU6. `seq`: that the first of these facts will have. */
  #askNext(seq: number): QuestionFact[] {
    const facts: QuestionFact[] = [];
    let bytes = 0;
    let room = QUESTIONS_OPEN_MAX - this.#open().filter(isWaiting).length;
    for (const request of this.#requests) {
      for (const asked of request.questions) {
        if (room <= 0) return facts;
        if (request.replied || asked.seq !== null) continue;
        const more = jsonBytes(asked.wire) + EVENT_BYTES;
        if (this.#options.hasRoom(bytes + more)) {
          asked.seq = seq + facts.length;
          facts.push({ type: 'asking', data: asked.wire });
          bytes += more;
          room -= 1;
        } else {
          const questions = request.questions.map(({ question }) => question);
          facts.push(...this.#refuse(request, questions, 'log_full'));
        }
      }
    }
    return facts;
  }

  #save(): void {
    const { folder, problem } = this.#options;
    try {
      if (this.#requests.length === 0) return removeQuestionsFile(folder, this.#files);
      const file: QuestionsFile = { version: 1, format: this.#reader.format, requests: this.#requests };
      replaceFile(this.#files, join(folder, QUESTIONS_FILE), JSON.stringify(file), { durable: false });
    } catch (error) {
      problem(
        `the questions of the agent cannot be kept (${(error as Error).message}): a wrapper that replaces this one could not answer`,
      );
    }
  }

  #load(): QuestionsFile | null {
    const path = join(this.#options.folder, QUESTIONS_FILE);
    if (!this.#files.exists(path)) return null;
    const file = parseJson(this.#files.readWhole(path).toString('utf8'));
    if (isObject(file) && file.version === 1 && Array.isArray(file.requests)) return file as unknown as QuestionsFile;
    this.#options.problem('the file of the questions of the agent cannot be read; those that are open cannot be answered');
    return null;
  }
}

/** It was reported, and has no answer. */
const isWaiting = ({ seq, answer }: Asked): boolean => seq !== null && answer === undefined;

/** QU5. Null: it has no form that fits. */
export function wireOf(question: Question, redacted: (text: string) => string): AskingData | null {
  const { id, kind, text, options, multiple, freeText, tool } = question;
  const shorten = (labelChars: number, withDescriptions: boolean, isNumbered: boolean): AskingData => ({
    id: redacted(id),
    kind,
    text: '',
    options: options.slice(0, QUESTION_OPTIONS_MAX).map((option, index) => ({
      id: isNumbered ? `${index + 1}` : redacted(option.id),
      label: cut(redacted(option.label), labelChars),
      ...(option.description !== undefined && withDescriptions
        ? { description: cut(redacted(option.description), LABEL_CHARS_MAX) }
        : {}),
      ...(option.refuses ? { refuses: true } : {}),
    })),
    ...(multiple ? { multiple: true } : {}),
    ...(freeText ? { freeText: true } : {}),
    ...(tool === undefined ? {} : { tool: cut(redacted(tool), LABEL_CHARS_MAX) }),
  });
  // Ids that are too long, empty, or the same without their secrets become numbers.
  const forms = [false, true].flatMap((isNumbered) => [
    shorten(LABEL_CHARS_MAX, true, isNumbered),
    shorten(LABEL_CHARS_MAX, false, isNumbered),
    shorten(SHORT_CHARS_MAX, false, isNumbered),
    shorten(SHORTEST_CHARS_MAX, false, isNumbered),
  ]);
  const isSound = (form: AskingData): boolean => askingError(form as unknown as JsonObject) === null;
  // Half is left for the text.
  const short = forms.find((form) => isSound(form) && jsonBytes(form) <= QUESTION_BYTES_MAX / 2) ?? forms.find(isSound);
  if (!short) return null;
  const wire = { ...short, text: cutToBytes(redacted(text).toWellFormed(), QUESTION_BYTES_MAX - jsonBytes(short)) };
  return isSound(wire) ? wire : null;
}

const jsonBytes = (value: unknown): number => utf8Bytes(JSON.stringify(value));

const cut = (text: string, chars: number): string => (text.length <= chars ? text : `${text.slice(0, chars - 1)}…`).toWellFormed();

/** The text, or as much of its beginning as fits as JSON, with an ellipsis. */
function cutToBytes(text: string, bytes: number): string {
  const fits = (candidate: string): boolean => jsonBytes(candidate) - 2 <= bytes;
  if (fits(text)) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(cut(text, middle))) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? '' : cut(text, low);
}
