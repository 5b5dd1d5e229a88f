/** A viewer that records what it receives, through the client that browsers use. */

import { WebSocket } from 'ws';
import {
  connectSession,
  type SessionStream,
  type SessionStreamOptions,
  type StreamTimings,
  type WebSocketConstructor,
} from '../../client/index.ts';
import type { TerminalStatus } from '../../protocol/index.ts';
import type { Seen } from './compare.ts';

/** Short enough to detect a half-open link during the run. */
const TIMINGS = { connectMs: 5000, pingMs: 1500, pongMs: 2000, retryBaseMs: 200, retryCapMs: 1500 };

export interface RecorderOptions extends Omit<SessionStreamOptions, 'WebSocketImpl' | 'timings' | 'onState' | 'onControl'> {
  /** It is done when each of these has ended. */
  until: readonly string[];
  timings?: Partial<StreamTimings>;
  /** Called with each event when it is consumed. */
  onEvent?: (event: Seen) => void;
}

export class Recorder {
  readonly seen: Seen[] = [];
  readonly ends = new Map<string, TerminalStatus>();
  reconnects = 0;
  /** Where it began. */
  readonly after: number;
  /** Resolves when it has everything; rejects when the stream failed. */
  readonly done: Promise<void>;
  readonly #stream: SessionStream;
  #paused: Promise<void> | null = null;
  #resume: () => void = () => {};

  constructor({ until, timings = TIMINGS, onEvent, ...options }: RecorderOptions) {
    this.after = options.after ?? 0;
    this.#stream = connectSession({
      ...options,
      WebSocketImpl: WebSocket as unknown as WebSocketConstructor,
      timings,
      onState: ({ status }) => {
        if (status === 'reconnecting') this.reconnects += 1;
      },
      onControl: (control) => {
        if (control.type !== 'end') return;
        this.ends.set(control.execution, control.status);
        if (until.every((execution) => this.ends.has(execution))) this.#stream.close();
      },
    });
    this.done = this.#record(onEvent);
    // The caller that awaits it handles the failure.
    this.done.catch(() => {});
  }

  get lastOffset(): number {
    return this.#stream.lastOffset ?? 0;
  }

  get state(): string {
    return JSON.stringify(this.#stream.state);
  }

  close(): void {
    this.resume();
    this.#stream.close();
  }

  /** The consumer stops reading, while the connection stays. */
  pause(): void {
    this.#paused ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resume(): void {
    this.#resume();
    this.#paused = null;
  }

  async #record(onEvent: RecorderOptions['onEvent']): Promise<void> {
    for await (const { offset, execution, type, at, data } of this.#stream) {
      const event = { offset, execution, type, at, text: JSON.stringify(data) };
      this.seen.push(event);
      onEvent?.(event);
      if (this.#paused) await this.#paused;
    }
  }
}
