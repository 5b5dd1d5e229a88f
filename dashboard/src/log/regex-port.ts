/**
 * The time limit of regular expressions: a browser's engine cannot be stopped in the middle of a
 * match, but a worker can be terminated. One chunk has REGEX_CHUNK_MS_MAX; a slower expression is
 * aborted, and the page has not blocked.
 */

import type { Matches } from './match.ts';
import type { RegexTask } from './regex-worker.ts';

/** A reasonable expression takes well under 10 ms for a chunk of 64 Ki characters. */
export const REGEX_CHUNK_MS_MAX = 1000;

export interface WorkerPort {
  postMessage(task: RegexTask): void;
  terminate(): void;
  onmessage: ((message: { data: Int32Array<ArrayBuffer> }) => void) | null;
  onerror: ((error: { message?: string }) => void) | null;
}

export type OpenWorker = () => WorkerPort;

export class RegexTooSlow extends Error {
  override readonly name = 'RegexTooSlow';
  constructor() {
    super('This expression takes too long. Make it simpler: repeated groups that repeat something are the usual cause.');
  }
}

/** One task at a time: the caller awaits each. */
export class RegexPort {
  readonly #open: OpenWorker;
  readonly #msMax: number;
  #worker: WorkerPort | null = null;

  constructor(open: OpenWorker, msMax = REGEX_CHUNK_MS_MAX) {
    this.#open = open;
    this.#msMax = msMax;
  }

  /** Rejects with RegexTooSlow, or with the worker's own failure. */
  match(expression: RegExp, lines: readonly string[]): Promise<Matches> {
    this.#worker ??= this.#open();
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        clearTimeout(timer);
        this.close();
        reject(error);
      };
      const timer = setTimeout(() => fail(new RegexTooSlow()), this.#msMax);
      worker.onmessage = ({ data }) => {
        clearTimeout(timer);
        resolve(data);
      };
      worker.onerror = ({ message }) => fail(new Error(message ?? 'The search failed.'));
      worker.postMessage({ source: expression.source, flags: expression.flags, text: lines.join('\n') });
    });
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }
}

export const openRegexWorker: OpenWorker = () =>
  new Worker(new URL('./regex-worker.ts', import.meta.url), { type: 'module' }) as unknown as WorkerPort;
