/**
 * Progress that a program tells its terminal (SPL26): `ESC ] 9 ; 4 ; state ; percent`, ended by BEL or `ESC \`. ConEmu began it; Windows Terminal, Ghostty and
 * systemd know it, and cargo, systemd and others print it. Pure, and it only looks: the output goes on byte for byte as it is.
 *
 * States 1 (normal), 2 (error) and 4 (paused) carry a percentage. 0 takes the bar away and 3 is one without a number, which an event can not say.
 *
 * It is on the hot path of every byte of output, so a read without the sequence costs one native search for it.
 */

import type { ProgressData } from '../../protocol/index.ts';

const ESCAPE = 0x1b;
const MARKER = Buffer.from('\u001b]9;4;');
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const SEQUENCE = /^\u001b\]9;4;([0-4])(?:;(\d{1,3}))?(?:\u0007|\u001b\\)/;
/** `ESC ] 9 ; 4 ; 1 ; 100 ESC \`. */
const SEQUENCE_BYTES_MAX = 13;
/** Of one read, the newest. More in 64 KiB is no progress, and shall cost nothing. */
const LOOKED_AT_MAX = 16;

const NOTHING = Buffer.alloc(0);

/** Of one output stream, whose reads may end anywhere. */
export class TerminalProgress {
  /** The end of what was read, when a sequence may have begun in it. */
  #begun: Buffer = NOTHING;

  /** The newest progress that these bytes complete, or null. */
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
    // A copy: the part would keep the whole read in memory.
    this.#begun = begin === -1 ? NOTHING : Buffer.from(end.subarray(begin));
    return percent === null ? null : { current: percent, total: 100 };
  }
}
