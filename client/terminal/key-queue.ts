/**
 * Sends keys to a job's terminal: in the order typed, each once.
 *
 * Owns: the keys that are not sent yet, and the size that this viewer wants.
 *
 *   KQ1  One request at a time: the coordinator orders inputs by their arrival. Keys that are typed
 *        meanwhile go together into the next one.
 *   KQ2  A request keeps its inputId when it is repeated, so that the job reads its keys once.
 *   KQ3  The size of this viewer goes first, if the terminal has another one: before its first key,
 *        and again when another viewer has changed the size since.
 *   KQ4  Only the viewer that typed last changes the size. Reports of the mouse and of the focus
 *        are not typing.
 *   KQ5  At most `QUEUED_BYTES_MAX` wait. `full` tells the owner to stop reading the keyboard.
 */

import { INPUT_BYTES_MAX } from '../../protocol/index.ts';

export const QUEUED_BYTES_MAX = 1024 * 1024;

export interface Size {
  cols: number;
  rows: number;
}

export interface KeyQueueOptions {
  /** Identifies this viewer; each request adds its number. */
  id: string;
  /** Own size; null: this viewer shows any size, and asks for none. */
  size: Size | null;
  /** The terminal began with the size of this viewer, which so changes it until another types. */
  leads: boolean;
  input(request: { base64: string; inputId: string }): Promise<void>;
  /** Whether the terminal had another size. */
  resize(size: Size): Promise<boolean>;
  /** What was queued could not be sent, and nothing will be sent any more. */
  onFailed(error: unknown): void;
  /** The queue has room again. */
  onRoom(): void;
}

export class KeyQueue {
  readonly #options: KeyQueueOptions;
  #keys: Uint8Array[] = [];
  #bytes = 0;
  /** Of the request whose answer is missing. */
  #underWay = 0;
  #own: Size | null;
  /** Of the terminal, as far as is known; null: unknown. */
  #known: Size | null = null;
  /** Sizes of this viewer whose event has not come back. */
  #echoes: Size[] = [];
  #leads: boolean;
  #runs = false;
  #stopped = false;
  #sending = false;
  #requests = 0;
  #idle: (() => void)[] = [];
  sentBytes = 0;

  constructor(options: KeyQueueOptions) {
    this.#options = options;
    this.#own = options.size;
    this.#leads = options.leads;
    if (options.leads) this.#known = options.size;
  }

  get full(): boolean {
    return this.#bytes >= QUEUED_BYTES_MAX;
  }

  get queuedBytes(): number {
    return this.#bytes;
  }

  /** What is on its way may have arrived. */
  get unansweredBytes(): number {
    return this.#underWay;
  }

  /** The job takes input now. */
  start(): void {
    this.#runs = true;
    this.#kick();
  }

  push(keys: Uint8Array): void {
    if (this.#stopped || keys.length === 0) return;
    if (!isReport(keys)) this.#leads = true; // KQ4
    this.#keys.push(keys);
    this.#bytes += keys.length;
    this.#kick();
  }

  /** The settled size of the own terminal. */
  setOwnSize(size: Size | null): void {
    this.#own = size;
    this.#kick();
  }

  /** As if it had typed: its size counts from now on. */
  lead(): void {
    this.#leads = true;
    this.#kick();
  }

  /** The terminal has this size, by the log. */
  setKnownSize(size: Size): void {
    const echo = this.#echoes.findIndex((sent) => isSame(sent, size));
    this.#known = size;
    if (echo !== -1) {
      this.#echoes.splice(0, echo + 1);
      // A newer size of this viewer is on its way.
      const newest = this.#echoes.at(-1);
      if (newest) this.#known = newest;
    } else if (this.#own === null || !isSame(size, this.#own)) this.#leads = false; // KQ4
    this.#kick();
  }

  /** Resolves when everything is sent, or when nothing will be any more. */
  async settled(): Promise<void> {
    while (!this.#stopped && (this.#sending || (this.#runs && this.#bytes > 0)))
      await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#keys = [];
    this.#bytes = 0;
    this.#wake();
  }

  #kick(): void {
    if (!this.#sending && this.#runs && !this.#stopped) void this.#send();
  }

  async #send(): Promise<void> {
    this.#sending = true;
    try {
      for (;;) {
        if (this.#stopped) return;
        const own = this.#own;
        if (this.#leads && own !== null && !(this.#known && isSame(own, this.#known))) {
          this.#known = own;
          this.#echoes.push(own);
          // Without a change there is no event that comes back.
          if (!(await this.#options.resize(own))) this.#echoes = this.#echoes.filter((sent) => sent !== own); // KQ3
        } else if (this.#bytes > 0) {
          const part = this.#take();
          this.#requests += 1;
          this.#underWay = part.length;
          await this.#options.input({ base64: toBase64(part), inputId: `${this.#options.id}.${this.#requests}` }); // KQ2
          this.#underWay = 0;
          this.sentBytes += part.length;
        } else return;
      }
    } catch (error) {
      this.#underWay = 0;
      if (!this.#stopped) {
        this.stop();
        this.#options.onFailed(error);
      }
    } finally {
      this.#sending = false;
      this.#wake();
    }
  }

  /** KQ1: everything that waits, as far as one request takes it. */
  #take(): Uint8Array {
    const wasFull = this.full;
    const all = joined(this.#keys, this.#bytes);
    const part = all.subarray(0, INPUT_BYTES_MAX);
    const rest = all.subarray(INPUT_BYTES_MAX);
    this.#keys = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    if (wasFull && !this.full) this.#options.onRoom();
    return part;
  }

  #wake(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}

const isSame = (one: Size, other: Size): boolean => one.cols === other.cols && one.rows === other.rows;

/** Reports of the mouse (X10, SGR, urxvt) and of the focus, and nothing else. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const REPORTS = /^(?:\u001b\[(?:M[\s\S]{3}|<[\d;]+[Mm]|\d+;\d+;\d+M|[IO]))+$/;
/** Longer ones are a paste. */
const REPORT_BYTES_MAX = 4096;
const isReport = (keys: Uint8Array): boolean => keys[0] === 0x1b && keys.length <= REPORT_BYTES_MAX && REPORTS.test(latin1(keys));

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A call takes a limited number of arguments. */
const CALL_ARGUMENTS_MAX = 8192;

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += CALL_ARGUMENTS_MAX) text += latin1(bytes.subarray(at, at + CALL_ARGUMENTS_MAX));
  return btoa(text);
}
