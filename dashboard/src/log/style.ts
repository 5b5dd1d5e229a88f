/**
 * Select Graphic Rendition: the colours and font styles that a terminal's `ESC [ … m` switches on
 * and off.
 */

export const BOLD = 1;
export const DIM = 2;
export const ITALIC = 4;
export const UNDERLINE = 8;
export const INVERSE = 16;
export const STRUCK = 32;

/** Default, one of the sixteen that the style sheet names (0–15), or `RGB` + 24 bits. */
export type TextColour = number;
export const DEFAULT: TextColour = -1;
export const RGB = 0x1000000;

export interface Style {
  readonly fg: TextColour;
  readonly bg: TextColour;
  /** Sum of BOLD … STRUCK. */
  readonly faces: number;
}

export const PLAIN: Style = { fg: DEFAULT, bg: DEFAULT, faces: 0 };

export const sameStyle = (a: Style, b: Style): boolean => a.fg === b.fg && a.bg === b.bg && a.faces === b.faces;

/** Longer parameter lists are not colours. */
const PARAMETERS_CHARS_MAX = 256;

const ON: Readonly<Record<number, number>> = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 9: STRUCK, 21: UNDERLINE };
const OFF: Readonly<Record<number, number>> = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: INVERSE, 29: STRUCK };

/** xterm's table: 16–231 a cube of six levels, 232–255 greys. */
function indexed(index: number): TextColour {
  if (!(index >= 0 && index <= 255)) return DEFAULT;
  if (index < 16) return index;
  if (index >= 232) return rgb(8 + 10 * (index - 232), 8 + 10 * (index - 232), 8 + 10 * (index - 232));
  const level = (step: number) => (step === 0 ? 0 : 55 + 40 * step);
  const cube = index - 16;
  return rgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function rgb(red: number, green: number, blue: number): TextColour {
  const byte = (value: number) => Math.min(Math.max(Math.floor(value) || 0, 0), 255);
  return RGB + byte(red) * 0x10000 + byte(green) * 0x100 + byte(blue);
}

/** The style after the parameters of one SGR sequence. Total: unknown parameters change nothing. */
export function withSgr(style: Style, parameters: string): Style {
  let { fg, bg, faces } = style;
  const list = parameters.slice(0, PARAMETERS_CHARS_MAX).split(';');
  for (let i = 0; i < list.length; i++) {
    const item = list[i] ?? '';
    const parts = item.split(':').map(Number);
    const code = parts[0] ?? 0;
    if (code === 38 || code === 48 || code === 58) {
      let colour: TextColour | null = null;
      if (parts.length > 1) {
        // 38:5:n, 38:2:r:g:b, and 38:2::r:g:b with an unused colour space
        if (parts[1] === 5) colour = indexed(parts[2] ?? -1);
        else if (parts[1] === 2) colour = rgb(parts.at(-3) ?? 0, parts.at(-2) ?? 0, parts.at(-1) ?? 0);
      } else if (list[i + 1] === '5') {
        colour = indexed(Number(list[i + 2]));
        i += 2;
      } else if (list[i + 1] === '2') {
        colour = rgb(Number(list[i + 2]), Number(list[i + 3]), Number(list[i + 4]));
        i += 4;
      }
      if (colour !== null && code === 38) fg = colour;
      if (colour !== null && code === 48) bg = colour;
    } else if (code === 0) {
      fg = bg = DEFAULT;
      faces = 0;
    } else if (code === 4 && parts[1] === 0) faces &= ~UNDERLINE;
    else if (ON[code] !== undefined) faces |= ON[code];
    else if (OFF[code] !== undefined) faces &= ~OFF[code];
    else if (code === 39) fg = DEFAULT;
    else if (code === 49) bg = DEFAULT;
    else if (code >= 30 && code <= 37) fg = code - 30;
    else if (code >= 40 && code <= 47) bg = code - 40;
    else if (code >= 90 && code <= 97) fg = code - 82;
    else if (code >= 100 && code <= 107) bg = code - 92;
  }
  return { fg, bg, faces };
}
