/**
 * Reads the events of one execution as a conversation.
 *
 *   CR1  No input makes it throw, and nothing is hidden: what it does not know is `raw` (AGT2).
 *   CR2  Events added one by one make the same items as all at once, in O(n) steps (AGT3).
 */

import { AGENT_LINE_BYTES_MAX, type Author, gapText, isAgentPart, type JsonObject } from '../protocol/index.ts';
import { isObject, parseJson } from '../protocol/json.ts';
import { AcpReader } from './acp.ts';
import { ClaudeReader } from './claude.ts';
import { CodexReader } from './codex.ts';
import { Conversation } from './conversation.ts';
import { detectFormat } from './detect.ts';
import type { AgentFormat, Answer, ConversationEvent, Item, Question, Summary } from './items.ts';
import { OpencodeReader } from './opencode.ts';
import { LineParts } from './parts.ts';
import { promptOf } from './prompt.ts';
import { list, number, objects, text } from './values.ts';

/** What knows the lines of one format. */
interface LineReader {
  /** A line of the agent. False: it is not known. */
  line(line: JsonObject): boolean;
  /** A line that was written to the agent. False: it is not known. */
  input?(line: JsonObject): boolean;
  /** The job has ended. */
  end?(): void;
}

const READERS: Readonly<Record<AgentFormat, ((items: Conversation) => LineReader) | null>> = {
  claude: (items) => new ClaudeReader(items),
  codex: (items) => new CodexReader(items),
  opencode: (items) => new OpencodeReader(items),
  acp: (items) => new AcpReader(items),
  jsonl: null,
  auto: null,
};

const END = /^(exit|interrupted|execution_(completed|failed|interrupted))$/;

/** Behind it, the rest of a line whose parts are read does not come. */
const ENDS_LINE = /^(agent|gap|exit|interrupted|execution_(completed|failed|interrupted))$/;

export class ConversationReader {
  readonly #items: Conversation;
  #lines: LineReader | null;
  readonly #parts = new LineParts();
  /** The line whose parts are read: its text so far, and the offset of its first part. */
  #long: string[] = [];
  #longChars = 0;
  #longFrom = 0;

  /** `items`: only for a reader that takes them out itself. */
  constructor(format: AgentFormat, items = new Conversation(format)) {
    this.#items = items;
    this.#lines = READERS[format]?.(this.#items) ?? null;
  }

  /** The same array all the time; later items are added to it. Not to be changed. */
  get items(): readonly Item[] {
    return this.#items.items;
  }

  get summary(): Readonly<Summary> {
    return this.#items.summary;
  }

  /** Events in the order of their offsets. Returns the items that are new or changed. */
  add(events: Iterable<ConversationEvent>): readonly Item[] {
    for (const event of events) this.read(event);
    return this.#items.takeChanged();
  }

  read(event: ConversationEvent): void {
    const { type, data, offset } = event;
    this.#items.at(event);
    if (type === 'agent_part' && isAgentPart(data)) return this.#part(this.#parts.add(data), offset);
    if (this.#parts.isOpen && ENDS_LINE.test(type)) {
      this.endLine();
      this.#items.at(event);
    }
    this.#add(type, data);
  }

  /** What there is of a line whose last part does not come becomes an item. */
  endLine(): void {
    this.#part(this.#parts.close(), this.#longFrom);
  }

  /** The text that a part adds. */
  #part(text: string, offset: number): void {
    for (const [index, piece] of text.split('\n').entries()) {
      if (index > 0) this.#endLong();
      if (piece === '') continue;
      if (this.#long.length === 0) this.#longFrom = offset;
      this.#long.push(piece);
      this.#longChars += piece.length;
    }
    if (this.#longChars > AGENT_LINE_BYTES_MAX) this.endLine();
  }

  #endLong(): void {
    const text = this.#long.join('');
    const line = this.#longChars > AGENT_LINE_BYTES_MAX ? undefined : parseJson(text);
    this.#long = [];
    this.#longChars = 0;
    this.#items.since(this.#longFrom);
    if (isObject(line)) this.#line(line);
    else this.#items.raw(text);
  }

  #add(type: string, data: JsonObject): void {
    const items = this.#items;
    if (type === 'agent') this.#line(data);
    else if (type === 'agent_part') this.#items.raw(JSON.stringify(data));
    else if (type === 'output') this.#output(data);
    else if (type === 'input') this.#input(data);
    else if (type === 'started') this.#started(data);
    else if (type === 'gap') {
      const missing = gapText(data);
      if (missing !== null) items.notice('warning', missing);
    } else if (type === 'error') items.notice('error', text(data.error) ?? JSON.stringify(data));
    else if (type === 'status') items.notice('info', text(data.message) ?? JSON.stringify(data));
    else if (type === 'asking') this.#asking(data);
    else if (type === 'answered') this.#answered(data);
    else if (type === 'asking_ended') items.withdrawn(text(data.id) ?? '');
    else if (END.test(type)) {
      this.#lines?.end?.();
      items.ended();
    }
  }

  #line(line: JsonObject): void {
    this.#decide(line);
    if (!this.#lines?.line(line)) this.#items.raw(JSON.stringify(line));
  }

  #decide(line: JsonObject): void {
    const { summary } = this.#items;
    if (summary.format !== 'auto') return;
    summary.format = detectFormat(line) ?? 'auto';
    if (summary.format !== 'auto') this.#lines = READERS[summary.format]?.(this.#items) ?? null;
  }

  #output({ stream, text: said, base64 }: JsonObject): void {
    const from = stream === 'stderr' || stream === 'tty' ? stream : 'stdout';
    if (typeof base64 === 'string') this.#items.output(from, `[bytes ${base64}]`);
    else this.#items.output(from, text(said) ?? '');
  }

  /** Lines of JSON, or text for an agent that takes text. */
  #input({ text: said, secret, bytes, eof }: JsonObject): void {
    const items = this.#items;
    if (typeof said !== 'string') {
      if (secret === true) items.notice('info', 'A secret input was sent');
      else if (number(bytes) !== 0 || eof !== true) items.notice('info', `Input of ${number(bytes) ?? 'some'} bytes was sent`);
      return;
    }
    const lines = said.split('\n').filter((line) => line.trim() !== '');
    const read = lines.map((line) => parseJson(line));
    if (!read.every(isObject)) items.sent(said.replace(/\n$/, ''));
    else for (const line of read) if (!this.#sent(line)) items.say('message', JSON.stringify(line), 'user');
  }

  #sent(line: JsonObject): boolean {
    const known = this.#items.summary.format === 'auto' ? (line.type === 'user' ? 'claude' : detectFormat(line)) : null;
    const reader = known ? READERS[known]?.(this.#items) : this.#lines;
    return reader?.input?.(line) ?? false;
  }

  #started({ command }: JsonObject): void {
    const prompt = promptOf(list(command).filter((word) => typeof word === 'string'));
    if (prompt !== null) this.#items.sent(prompt);
  }

  /** The wrapper's own report of a question, for lines that this reader does not know. */
  #asking(data: JsonObject): void {
    const { id, kind } = data;
    if (typeof id !== 'string') return;
    const options = objects(data.options).map((option) => ({
      id: text(option.id) ?? '',
      label: text(option.label) ?? '',
      ...(text(option.description) ? { description: text(option.description) as string } : {}),
      ...(option.refuses === true ? { refuses: true as const } : {}),
    }));
    if (this.#items.hasAsked(id)) return this.#items.reported(id, options);
    this.#items.ask({
      id,
      request: text(data.request) ?? id,
      kind: (kind === 'permission' || kind === 'plan' ? kind : 'question') satisfies Question['kind'],
      text: text(data.text) ?? '',
      options,
      ...(data.multiple === true ? { multiple: true } : {}),
      ...(data.freeText === true ? { freeText: true } : {}),
      ...(text(data.tool) === null ? {} : { tool: text(data.tool) as string }),
    });
  }

  #answered({ id, by, option, options, text: said }: JsonObject): void {
    if (typeof id !== 'string') return;
    const answer: Answer & { by?: Author } = {};
    if (isObject(by) && typeof by.kind === 'string') answer.by = by as unknown as Author;
    if (typeof option === 'string') answer.option = option;
    if (Array.isArray(options)) answer.options = options.filter((each) => typeof each === 'string');
    if (typeof said === 'string') answer.text = said;
    this.#items.answered(id, answer);
  }
}
