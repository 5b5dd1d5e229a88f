/** Requests to the agent, each with one outcome: a reply, an error, or the end of the program. */

import { type ClientContext, RequestError } from '@agentclientprotocol/sdk';
import { isObject } from '../protocol/json.ts';
import type { Ending } from './exit-codes.ts';

export type Outcome<T> =
  | { kind: 'reply'; value: T }
  /** `code` null: the reply is not of the protocol. */
  | { kind: 'refused'; code: number | null; message: string }
  | { kind: 'ended'; ending: Ending };

/** What follows when no reply comes in time. */
export interface Late {
  exitCode: number;
  why: () => string;
}

export class Requests {
  readonly #call: ClientContext;
  readonly #ended: Promise<Ending>;
  readonly #timeoutMs: number;

  /** `ended`: the program ends, whatever is waited for. */
  constructor(call: ClientContext, ended: Promise<Ending>, timeoutMs: number) {
    this.#call = call;
    this.#ended = ended;
    this.#timeoutMs = timeoutMs;
  }

  /** `late` null: without a limit. */
  async request<T>(method: string, params: object, late: Late | null): Promise<Outcome<T>> {
    let timer: NodeJS.Timeout | undefined;
    const passed = new Promise<Outcome<T>>((end) => {
      if (late)
        timer = setTimeout(() => end({ kind: 'ended', ending: { exitCode: late.exitCode, why: late.why() } }), this.#timeoutMs);
    });
    const replied = this.#call.request<T>(method, params).then(
      (value): Outcome<T> => ({ kind: 'reply', value }),
      (error: unknown) => this.#refused<T>(error),
    );
    const ended = this.#ended.then((ending): Outcome<T> => ({ kind: 'ended', ending }));
    const outcome = await Promise.race([replied, ended, passed]);
    clearTimeout(timer);
    return outcome;
  }

  notify(method: string, params: object): void {
    void this.#call.notify(method, params).catch(() => {}); // The connection has closed.
  }

  /** The connection closes when the agent ends, and then that end says why. */
  async #refused<T>(error: unknown): Promise<Outcome<T>> {
    if (error instanceof RequestError) {
      const details = isObject(error.data) && typeof error.data.details === 'string' ? `: ${error.data.details}` : '';
      return { kind: 'refused', code: error.code, message: `${error.message}${details}` };
    }
    const ending = await Promise.race([this.#ended, new Promise<null>((later) => setImmediate(() => later(null)))]);
    if (ending) return { kind: 'ended', ending };
    return { kind: 'refused', code: null, message: `the reply is not of this protocol: ${(error as Error).message}` };
  }
}
