/**
 * From a terminal's style to classes and colours of the page. The style sheet (log.css) defines the
 * sixteen named colours.
 */

import { BOLD, DEFAULT, DIM, INVERSE, ITALIC, RGB, STRUCK, type Style, type TextColour, UNDERLINE } from './style.ts';

export interface StyleClasses {
  class: string;
  /** Custom properties; set through the CSSOM, never as a style attribute's text. */
  style?: Record<string, string>;
}

const FACES = [
  [BOLD, 'log-bold'],
  [DIM, 'log-dim'],
  [ITALIC, 'log-italic'],
  [UNDERLINE, 'log-underline'],
  [STRUCK, 'log-struck'],
] as const;

/** Black, white, and the two greys. */
const NEUTRAL: ReadonlySet<TextColour> = new Set([0, 7, 8, 15]);

function colour(value: TextColour): string {
  if (value === DEFAULT) return 'var(--log-fg)';
  if (value < RGB) return `var(--ansi-${value})`;
  return `#${(value - RGB).toString(16).padStart(6, '0')}`;
}

/** Null: plain text needs no element. */
export function toClasses({ fg, bg, faces }: Style): StyleClasses | null {
  const inverse = (faces & INVERSE) !== 0;
  const ink = inverse ? bg : fg;
  const ground = inverse && fg === DEFAULT ? 'var(--log-fg)' : (inverse ? fg : bg) === DEFAULT ? null : colour(inverse ? fg : bg);
  const classes: string[] = FACES.filter(([face]) => faces & face).map(([, name]) => name);
  const style: Record<string, string> = {};
  // Black or white on a colour means "stand out": the page's own colour on that background does so
  // in either scheme.
  const standsOut = ground !== null && NEUTRAL.has(ink) && (inverse ? fg : bg) !== 0;
  if (ink !== DEFAULT && !standsOut) {
    classes.push('log-ink', ink < RGB ? 'log-named' : 'log-any');
    style['--ink'] = colour(ink);
  }
  if (ground !== null) {
    // Otherwise, if both colours are set, the background is only a tint, or the two might look the
    // same in this scheme.
    classes.push(ink === DEFAULT || standsOut ? 'log-ground' : 'log-tint');
    style['--ground'] = ground;
    const named = inverse ? fg < RGB : bg < RGB;
    if (!named) classes.push('log-any-ground');
  }
  if (classes.length === 0) return null;
  return Object.keys(style).length > 0 ? { class: classes.join(' '), style } : { class: classes.join(' ') };
}
