/**
 * The lines of an agent that are too long for one event (AGT6), from their parts.
 *
 *   LP1  It holds no text, and takes the parts in any order. What is missing is marked in its place,
 *        so such a line is no JSON.
 */

import type { AgentPartData } from '../protocol/index.ts';

const missing = (part: number, parts: number): string => `[part ${part} of ${parts} of this line is not here]`;

export class LineParts {
  /** The part that comes next; 0 when no line is open. */
  #next = 0;
  #parts = 0;

  get isOpen(): boolean {
    return this.#next > 0;
  }

  /** The text that this part adds, with a line end behind the last one. */
  add({ part, parts, text }: AgentPartData): string {
    const isNext = this.isOpen ? part === this.#next && parts === this.#parts : part === 1;
    const before = isNext ? '' : this.close() + (part > 1 ? missing(part - 1, parts) : '');
    this.#next = part < parts ? part + 1 : 0;
    this.#parts = parts;
    return `${before}${text}${this.isOpen ? '' : '\n'}`;
  }

  /** The rest of the open line does not come: the text that ends it. Empty without one. */
  close(): string {
    const end = this.isOpen ? `${missing(this.#next, this.#parts)}\n` : '';
    this.#next = 0;
    return end;
  }
}
