/**
 * That a run waits for a runner, and why, in the status line of `run`. The reason comes with an
 * event, which the printer shows too; the place in the pool is asked for while the line is shown.
 */

import { type Execution, type LoggedEvent, waitReasonText } from '../protocol/index.ts';
import type { Context } from './context.ts';
import type { Reference } from './settings.ts';

const ASK_MS = 5000;

export class WaitingLine {
  readonly #context: Context;
  readonly #reference: Reference;
  #timer: NodeJS.Timeout | null = null;
  #waits = false;

  constructor(context: Context, reference: Reference) {
    this.#context = context;
    this.#reference = reference;
  }

  /** Call with every event. */
  see({ type, data }: Pick<LoggedEvent, 'type' | 'data'>): void {
    switch (type) {
      case 'execution_waiting':
        return this.#show({ pool: String(data.pool), reason: data.reason });
      case 'execution_assigned':
      case 'execution_running':
      case 'execution_failed':
      case 'execution_interrupted':
        return this.#hide();
      default:
    }
  }

  end(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#waits = false;
  }

  #show(waiting: { pool: string; reason: unknown; position?: number | undefined }): void {
    if (!this.#context.status.enabled) return;
    this.#waits = true;
    this.#context.status.set('progress', `holdfast: ${waitingText(waiting)}`);
    this.#timer ??= setTimeout(() => void this.#ask(), ASK_MS);
  }

  #hide(): void {
    if (this.#waits) this.#context.status.set('progress', '');
    this.end();
  }

  async #ask(): Promise<void> {
    this.#timer = null;
    const { session, execution } = this.#reference;
    const found: Execution | null = await this.#context.client.get(session, execution).catch(() => null);
    if (!this.#waits) return;
    const { waiting } = found ?? {};
    if (waiting) this.#show({ ...waiting, reason: waiting.reason });
    else this.#timer = setTimeout(() => void this.#ask(), ASK_MS);
  }
}

/** For people; also used by `get`. */
export function waitingText({ pool, reason, position }: { pool: string; reason?: unknown; position?: number | undefined }): string {
  const place = position === undefined ? '' : position === 1 ? '; it is next' : `; ${position - 1} are before it`;
  return `waiting in pool ${pool}${reason === undefined ? '' : `: ${waitReasonText(reason)}`}${place}`;
}
