/**
 * Progress that a program reports to its terminal (SPL26): `ESC ] 9 ; 4 ; state ; percent`, ended
 * by BEL or `ESC \`. ConEmu introduced it; Windows Terminal, Ghostty and systemd support it, and
 * cargo, systemd and others print it. Pure and read-only: the output passes byte for byte
 * unchanged.
 *
 * States 1 (normal), 2 (error) and 4 (paused) carry a percentage. 0 removes the bar and 3 has no
 * number, which an event cannot express.
 *
 * It is on the hot path of every output byte. A read without the sequence costs one native search.
 */

import type { ProgressData } from '../../protocol/index.ts';

const ESCAPE = 0x1b;
const MARKER = Buffer.from('\u001b]9;4;');
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const SEQUENCE = /^\u001b\]9;4;([0-4])(?:;(\d{1,3}))?(?:\u0007|\u001b\\)/;
/** `ESC ] 9 ; 4 ; 1 ; 100 ESC \`. */
const SEQUENCE_BYTES_MAX = 13;
/**
 * The latest sequences of one read. More of them in 64 KiB is not progress and must cost nothing.
 */
const LOOKED_AT_MAX = 16;

const NOTHING = Buffer.alloc(0);

/** For one output stream; a read may end anywhere. */
export class TerminalProgress {
  /** The end of the last read, if a sequence may have begun in it. */
  #begun: Buffer = NOTHING;

  /** The latest progress that these bytes complete, or null. */
  read(bytes: Buffer): ProgressData | null {
    const all = this.#begun.length > 0 ? Buffer.concat([this.#begun, bytes]) : bytes;
    let percent: number | null = null;
    let readTo = 0;
    let at = all.lastIndexOf(MARKER);
    for (let looked = 0; at !== -1 && percent === null && looked < LOOKED_AT_MAX; looked += 1) {
      const [whole, state, number] = SEQUENCE.exec(all.toString('latin1', at, at + SEQUENCE_BYTES_MAX)) ?? [];
      if (whole !== undefined) readTo ||= at + whole.length;
      if (number !== undefined && state !== '0' && state !== '3') percent = Math.min(100, Number(number));
      at = at === 0 ? -1 : all.lastIndexOf(MARKER, at - 1);
    }
    const end = all.subarray(Math.max(readTo, all.length - (SEQUENCE_BYTES_MAX - 1)));
    const begin = end.indexOf(ESCAPE);
    // A copy: a slice would keep the whole read in memory.
    this.#begun = begin === -1 ? NOTHING : Buffer.from(end.subarray(begin));
    return percent === null ? null : { current: percent, total: 100 };
  }
}
