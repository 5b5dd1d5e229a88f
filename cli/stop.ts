/** How `run` and `attach` are stopped. */

import { type Context, printNote } from './context.ts';
import { EXIT } from './exit-code.ts';
import { explain } from './explain.ts';
import type { StopSignal } from './io.ts';
import { formatReference, type Reference } from './settings.ts';
import { escapeControls } from './terminal-text.ts';

/**
 * Handles signals. The first one detaches, or interrupts the job with `--interrupt-on-exit`; the
 * second leaves at once. With that flag the job is interrupted on every exit that leaves it
 * running, including a broken pipe and an outage.
 */
export class Stop {
  readonly starting = new AbortController();
  readonly following = new AbortController();
  /** Of sending stdin. */
  readonly feeding = new AbortController();
  signal: StopSignal | null = null;
  readonly #context: Context;
  readonly #reference: Reference;
  readonly #interrupts: boolean;
  readonly #unlisten: () => void;
  #phase: 'starting' | 'running' | 'settled' = 'starting';
  #interrupting: Promise<void> | null = null;

  constructor(context: Context, reference: Reference, interrupts: boolean) {
    this.#context = context;
    this.#reference = reference;
    this.#interrupts = interrupts;
    // A closed terminal ends an attached run like any command; only a run with
    // `--interrupt-on-exit` handles it.
    const signals: StopSignal[] = interrupts ? ['SIGINT', 'SIGTERM', 'SIGHUP'] : ['SIGINT', 'SIGTERM'];
    this.#unlisten = context.io.onSignal(signals, (signal) => this.#onSignal(signal));
  }

  get detached(): boolean {
    return this.signal !== null && !this.#interrupts;
  }

  get exitCode(): number {
    return this.signal === 'SIGTERM' ? EXIT.terminated : EXIT.interrupted;
  }

  /** Like the first signal: by a key of the own terminal. */
  detach(): void {
    this.#onSignal('SIGINT');
  }

  started(): void {
    this.#phase = 'running';
    // A signal that arrived before the answer.
    if (this.signal && this.#interrupts) this.#interrupt();
    else if (this.signal) this.following.abort();
  }

  settled(): void {
    this.#phase = 'settled';
  }

  async release(): Promise<void> {
    if (this.#interrupts && (this.#phase === 'running' || (this.#phase === 'starting' && this.signal))) this.#interrupt();
    await this.#interrupting;
    this.#unlisten();
  }

  #onSignal(signal: StopSignal): void {
    if (this.signal) {
      this.#context.status.end();
      this.#context.io.exitNow(this.exitCode);
      return;
    }
    this.signal = signal;
    this.starting.abort(new Error('stopped'));
    if (this.#phase !== 'running') return;
    if (this.#interrupts) this.#interrupt();
    else this.following.abort();
  }

  #interrupt(): void {
    if (this.#interrupting) return;
    const { client, settings } = this.#context;
    const { session, execution } = this.#reference;
    const reason = this.signal ? `holdfast run got ${this.signal}` : 'holdfast run ended';
    this.#interrupting = (async () => {
      await printNote(this.#context, `interrupting ${formatReference(this.#reference)}`);
      try {
        await client.interrupt(session, execution, { reason });
      } catch (error) {
        const { message } = explain(error, { url: settings.url });
        await this.#context.io.stderr.write(
          `holdfast: ${formatReference(this.#reference)} could not be interrupted: ${escapeControls(message)}\n`,
        );
        this.following.abort();
      }
    })();
  }
}
