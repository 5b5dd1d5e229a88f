/** Addresses in text that a program wrote. Pure. */

/** The address as a link may have it: `http`, `https` or `mailto`; null for any other. */
export function safeHref(href: string): string | null {
  try {
    const url = new URL(href);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const ADDRESS = /https?:\/\/[^\s<>"'`\\^{|}]+/g;
/** Punctuation at the end belongs to the sentence. */
const TRAILING = /[.,;:!?)\]*_~]+$/;

export interface TextPiece {
  readonly text: string;
  readonly href: string | null;
}

/** The text in pieces, of which those that are addresses have an `href`. */
export function linkPieces(text: string): TextPiece[] {
  const pieces: TextPiece[] = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const tail = TRAILING.exec(found)?.[0] ?? '';
    // `https://example.com/a_(b)`: the bracket was opened inside.
    const address =
      tail.startsWith(')') && found.includes('(')
        ? found.slice(0, found.length - tail.length + 1)
        : found.slice(0, found.length - tail.length);
    const href = safeHref(address);
    if (href === null) continue;
    if (index > from) pieces.push({ text: text.slice(from, index), href: null });
    pieces.push({ text: address, href });
    from = index + address.length;
  }
  if (from < text.length || pieces.length === 0) pieces.push({ text: text.slice(from), href: null });
  return pieces;
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

/** Character references that Markdown allows in text. Others stay as they are written. */
export const withoutReferences = (text: string): string =>
  text.includes('&') ? text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,4}));/gi, reference) : text;

function reference(whole: string, decimal?: string, hex?: string, name?: string): string {
  if (name !== undefined) return NAMED[name] ?? whole;
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal);
  return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : whole;
}
