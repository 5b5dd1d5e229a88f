/**
 * The waiting inputs and answers of a job: in the order of the coordinator's commands, each taken once, and no
 * faster than the job reads.
 *
 *   IN1  An input is taken when the job's stdin has room, and acknowledged then. What is not taken
 *        stays with the coordinator, which bounds it and makes its sender wait.
 *   IN2  An interrupt never waits behind an input.
 */

import type { InputCommandData, StdinCommand } from '../../protocol/index.ts';

/** Bytes for the job's stdin, and whether it ends after them. */
export interface JobInput {
  bytes: Buffer;
  eof: boolean;
}

export const decodeInput = ({ text = '', base64, eof }: InputCommandData): JobInput => ({
  bytes: base64 === undefined ? Buffer.from(text, 'utf8') : Buffer.from(base64, 'base64'),
  eof: eof === true,
});

export class InputQueue {
  readonly #waiting = new Map<number, StdinCommand>();
  readonly #hasRoom: () => boolean;
  readonly #take: (command: StdinCommand) => void;
  #taking = false;

  /** `take` is called once per command, while `hasRoom`. */
  constructor(hasRoom: () => boolean, take: (command: StdinCommand) => void) {
    this.#hasRoom = hasRoom;
    this.#take = take;
  }

  /** A command may be offered again while it waits, with each welcome. */
  offer(command: StdinCommand): void {
    this.#waiting.set(command.id, command);
    this.pump();
  }

  /** Call when there may be room. */
  pump(): void {
    if (this.#taking) return;
    this.#taking = true;
    try {
      for (const [id, command] of this.#waiting) {
        if (!this.#hasRoom()) return;
        this.#waiting.delete(id);
        this.#take(command);
      }
    } finally {
      this.#taking = false;
    }
  }
}
