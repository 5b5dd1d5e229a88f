/**
 * A reader that resumes by offset: after every loss it asks for what follows the last offset that
 * it received. checks.ts compares each event with the log.
 */

import { CLOSE, FRAME_BYTES_MAX, offsetOf, PING, PONG, parseStreamFrame, VIEWER_WINDOW_BYTES } from '../../protocol/index.ts';
import type { Link } from './network.ts';
import type { World } from './world.ts';

const PING_MS = 5000;
const SILENCE_MS = 12_000;

/**
 * STR10, STR12: the window, the one frame that may exceed it, and the headers. Lines are ASCII
 * here, so characters are bytes.
 */
const UNREAD_BYTES_MAX = VIEWER_WINDOW_BYTES + FRAME_BYTES_MAX + 8 * 1024;

export interface ViewerWish {
  executions: string[] | null;
  types: string[] | null;
  /**
   * False: the viewer is deaf and never acknowledges. True: the fault `viewer_deaf` can make it
   * deaf for one connection.
   */
  flow: boolean;
  /** Begin with the last n events; null begins with the first. */
  tail: number | null;
}

export class Viewer {
  readonly label: string;
  readonly wish: ViewerWish;
  readonly #world: World;
  /** Everything up to this offset was received or is filtered out; null until a tail is known. */
  position: number | null;
  /** Every execution that it follows has ended, and it received the `end`. */
  done = false;
  readonly ended = new Set<string>();
  link: Link | null = null;
  #generation = 0;
  #heardAt = 0;
  #caughtUp = false;
  /** Sent to it on this connection after its last ack. */
  #unreadBytes = 0;
  #deaf = false;

  constructor(world: World, label: string, wish: ViewerWish) {
    this.#world = world;
    this.label = label;
    this.wish = wish;
    this.position = wish.tail === null ? 0 : null;
    this.#dial();
  }

  passes(event: { execution: string; type: string }): boolean {
    const { executions, types } = this.wish;
    return (executions === null || executions.includes(event.execution)) && (types === null || types.includes(event.type));
  }

  #dial(): void {
    this.#generation += 1;
    const generation = this.#generation;
    const current = (action: () => void) => {
      if (generation === this.#generation) action();
    };
    const { executions, types, flow, tail } = this.wish;
    const request = { after: this.position, tail: this.position === null ? tail : null, executions, types, flow };
    this.#caughtUp = false;
    this.#unreadBytes = 0;
    this.#deaf = !flow || this.#world.faults.strike('viewer_deaf');
    this.#heardAt = this.#world.now;
    this.#world.trace(() => `${this.label} connects after ${this.position}`);
    this.link = this.#world.dial(
      this.label,
      { kind: 'viewer', request },
      {
        opened: () => current(() => this.#ping(generation)),
        message: (text) => current(() => this.#received(text)),
        closed: (code, reason) => current(() => this.#closed(code, reason)),
        refused: () => current(() => this.#again()),
      },
    );
    // A deaf viewer with flow control would wait for ever. After a while it tries another
    // connection.
    if (flow && this.#deaf) this.#world.clock.after(this.#world.random.int(2_000, 20_000), () => current(() => this.#again()));
    this.#world.clock.after(SILENCE_MS + 20_000, () =>
      current(() => {
        if (this.#heardAt + SILENCE_MS < this.#world.now) this.#again();
      }),
    );
  }

  #ping(generation: number): void {
    this.#world.clock.after(PING_MS, () => {
      if (generation !== this.#generation || this.done) return;
      if (this.#heardAt + SILENCE_MS < this.#world.now) return this.#again();
      this.link?.send(PING);
      this.#ping(generation);
    });
  }

  #received(text: string): void {
    this.#heardAt = this.#world.now;
    if (text === PONG) return;
    const frame = parseStreamFrame(text);
    if (!frame) return this.#world.violation(`${this.label} got a frame that it does not understand: ${text.slice(0, 200)}`);
    const { checks } = this.#world;
    switch (frame.type) {
      case 'hello':
        this.position ??= Math.max(frame.earliest - 1, frame.head - (this.wish.tail ?? 0));
        return;
      case 'events':
        this.#unreadBytes += text.length;
        if (this.#unreadBytes > UNREAD_BYTES_MAX) {
          this.#world.violation(`${this.label} was sent ${this.#unreadBytes} bytes without an ack of its own`);
        }
        for (const [index, event] of frame.events.entries()) {
          const offset = offsetOf(frame, index);
          checks.seen(this, offset, frame.execution, event);
          this.position = offset;
        }
        if (!this.#deaf) this.#ack();
        return;
      case 'caught_up':
        if (this.#caughtUp) this.#world.violation(`${this.label} was told twice that it has caught up`);
        this.#caughtUp = true;
        checks.caughtUp(this, frame.offset);
        this.position = Math.max(this.position ?? 0, frame.offset);
        return;
      case 'end':
        checks.endSeen(this, frame.execution, frame.status);
        this.ended.add(frame.execution);
        return;
      default:
        frame satisfies never;
    }
  }

  /** A stalled viewer reads slowly; the coordinator keeps the rest in the log meanwhile. */
  #ack(): void {
    const { random, faults, clock } = this.#world;
    const generation = this.#generation;
    clock.after(faults.strike('viewer_stalled') ? random.int(1000, 8000) : random.int(0, 20), () => {
      if (generation !== this.#generation) return;
      this.#unreadBytes = 0;
      this.link?.send(JSON.stringify({ type: 'ack', offset: this.position }));
    });
  }

  #closed(code: number, reason: string): void {
    this.#world.trace(() => `${this.label} is closed: ${code} ${reason}`);
    if (code === CLOSE.offsetUnavailable || code === CLOSE.badFrame) {
      this.#world.violation(`${this.label} was refused with ${code} ${reason} after ${this.position}`);
    }
    if (code === CLOSE.done && this.wish.executions?.every((id) => this.ended.has(id))) {
      this.#generation += 1;
      this.done = true;
      return;
    }
    this.#again();
  }

  #again(): void {
    this.#generation += 1;
    const generation = this.#generation;
    this.link?.abandon(this.#world.random.chance(0.6));
    this.link = null;
    this.#world.clock.after(this.#world.random.int(0, 1500), () => {
      if (generation === this.#generation) this.#dial();
    });
  }
}
