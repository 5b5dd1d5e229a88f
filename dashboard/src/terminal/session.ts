/**
 * One terminal on the page: its stream, the player that draws it, and the keys that are typed.
 *
 * Owns the stream and the queue of keys. Does not own the emulator.
 *
 *   TS1  It begins at the newest screen, and so does what follows a failed stream.
 *   TS2  Without the right to input it sends neither keys nor sizes.
 *   TS3  It takes no more events than the player has room for; the coordinator waits then. The job
 *        does not.
 */

import {
  connectSession,
  type HoldfastClient,
  type SessionStreamOptions,
  StreamFailure,
  type StreamState,
} from '../../../client/index.ts';
import { KeyQueue, type Size } from '../../../client/terminal/key-queue.ts';
import { newInputId } from '../../../protocol/index.ts';
import type { StreamLike } from '../execution/feed-types.ts';
import { type Emulator, TERMINAL_TYPES, TerminalPlayer } from './player.ts';

export interface TerminalSnapshot {
  readonly size: Size | null;
  readonly stream: StreamState | null;
  /** The size follows the window. */
  readonly fits: boolean;
  /** Why keys do not reach the job. */
  readonly keysFailed: unknown;
}

export interface TerminalSessionOptions {
  session: string;
  execution: string;
  url: string;
  client: Pick<HoldfastClient, 'sendInput' | 'resize'>;
  getTicket(): Promise<string>;
  mayType: boolean;
  emulator: Emulator;
  onChange(): void;
  connect?: (options: SessionStreamOptions) => StreamLike;
}

export class TerminalSession {
  readonly #options: TerminalSessionOptions;
  readonly #life = new AbortController();
  readonly #queue: KeyQueue | null;
  #player: TerminalPlayer;
  #stream: StreamLike | null = null;
  snapshot: TerminalSnapshot = { size: null, stream: null, fits: false, keysFailed: null };

  constructor(options: TerminalSessionOptions) {
    const { client, session, execution, mayType } = options;
    const { signal } = this.#life;
    this.#options = options;
    this.#player = this.#newPlayer();
    this.#queue = mayType
      ? new KeyQueue({
          id: newInputId(),
          size: null,
          leads: false,
          input: (request) => client.sendInput(session, execution, request, { signal }),
          resize: async (size) => (await client.resize(session, execution, size, { signal })).changed,
          onFailed: (keysFailed) => this.#change({ keysFailed }),
          // A page cannot stop a keyboard; what does not fit is refused in `type`.
          onRoom: () => {},
        })
      : null;
  }

  start(): void {
    void this.#follow();
  }

  /** The job takes input. */
  takesKeys(): void {
    this.#queue?.start();
  }

  /** False: the keys were not taken. */
  type(keys: string | Uint8Array): boolean {
    if (!this.#queue || this.#queue.full || this.snapshot.keysFailed !== null) return false;
    this.#queue.push(typeof keys === 'string' ? new TextEncoder().encode(keys) : keys);
    return true;
  }

  /** Gives the terminal this size, and each later one; null: no more. */
  fit(size: Size | null): void {
    if (!this.#queue) return; // TS2
    this.#queue.setOwnSize(size);
    if (size && !this.snapshot.fits) this.#queue.lead();
    if (this.snapshot.fits !== (size !== null)) this.#change({ fits: size !== null });
  }

  reconnect(): void {
    if (this.snapshot.stream?.status === 'failed') this.start();
    else this.#stream?.reconnect();
  }

  /** Resolves when everything received is drawn. */
  drawn(): Promise<void> {
    return this.#player.drawn();
  }

  close(): void {
    this.#life.abort();
    this.#queue?.stop();
    this.#player.close();
    this.#stream?.close();
  }

  async #follow(): Promise<void> {
    const { session, execution, url, getTicket, connect = connectSession } = this.#options;
    this.#stream?.close();
    const before = this.#player;
    const player = this.#newPlayer();
    this.#player = player;
    before.close();
    await before.idle();
    if (this.#life.signal.aborted || player !== this.#player) return;
    const stream = connect({
      url,
      session,
      execution,
      getTicket,
      from: 'screen',
      types: TERMINAL_TYPES,
      signal: this.#life.signal,
      onState: (state) => {
        if (player === this.#player && !this.#life.signal.aborted) this.#change({ stream: state });
      },
    });
    this.#stream = stream;
    try {
      for await (const batch of stream.batches()) {
        if (this.#life.signal.aborted) return;
        player.take(batch);
        await player.room(); // TS3
      }
    } catch (error) {
      if (!(error instanceof StreamFailure)) throw error;
      // The state says so. What the log no longer has, a new stream does not ask for (TS1).
      if (error.code === 'offset_expired' && !this.#life.signal.aborted) this.start();
    }
  }

  #newPlayer(): TerminalPlayer {
    const { emulator, mayType } = this.#options;
    return new TerminalPlayer(emulator, {
      readOnly: !mayType,
      onSize: (size) => {
        this.#queue?.setKnownSize(size);
        this.#change({ size });
      },
    });
  }

  #change(change: Partial<TerminalSnapshot>): void {
    if (this.#life.signal.aborted) return;
    this.snapshot = { ...this.snapshot, ...change };
    this.#options.onChange();
  }
}
