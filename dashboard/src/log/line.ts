/** A line as it is shown: its visible text, and the style or link of each part. */

import { type Sink, SPECIAL, scan } from './scan.ts';
import { PLAIN, type Style, sameStyle, withSgr } from './style.ts';

export interface Span {
  text: string;
  style: Style;
  href: string | null;
}

export interface ShownLine {
  spans: readonly Span[];
  /** Style in force after the line. */
  after: Style;
}

const HREF_CHARS_MAX = 2048;
/** A megabyte of colour changes creates no more elements than this; the rest is one plain span. */
const SPANS_MAX = 2000;

/** Only web links: any other link that a job writes stays text. */
export function safeHref(url: string): string | null {
  if (url.length > HREF_CHARS_MAX || !/^https?:\/\//i.test(url) || !URL.canParse(url)) return null;
  const { protocol, href } = new URL(url);
  return protocol === 'http:' || protocol === 'https:' ? href : null;
}

class Spans implements Sink {
  spans: Span[] = [];
  style: Style;
  href: string | null = null;
  constructor(style: Style) {
    this.style = style;
  }
  text(text: string): void {
    const last = this.spans.at(-1);
    const full = this.spans.length >= SPANS_MAX;
    if (last !== undefined && (full || (sameStyle(last.style, this.style) && last.href === this.href))) last.text += text;
    else this.spans.push(full ? { text, style: PLAIN, href: null } : { text, style: this.style, href: this.href });
  }
  restart(): void {
    this.spans = [];
  }
  back(): void {
    const last = this.spans.at(-1);
    if (last === undefined) return;
    last.text = withoutLast(last.text);
    if (last.text === '') this.spans.pop();
  }
  sgr(parameters: string): void {
    this.style = withSgr(this.style, parameters);
  }
  link(url: string | null): void {
    this.href = url === null ? null : safeHref(url);
  }
}

class Text implements Sink {
  parts: string[] = [];
  text(text: string): void {
    this.parts.push(text);
  }
  restart(): void {
    this.parts = [];
  }
  back(): void {
    const last = this.parts.pop();
    if (last !== undefined && withoutLast(last) !== '') this.parts.push(withoutLast(last));
  }
  sgr(): void {}
  link(): void {}
}

/** Without its last character; an emoji is one. */
function withoutLast(text: string): string {
  const code = text.charCodeAt(text.length - 1);
  return text.slice(0, code >= 0xdc00 && code <= 0xdfff && text.length > 1 ? -2 : -1);
}

/** Whether the text is shown as it came. */
export const isClean = (raw: string): boolean => !SPECIAL.test(raw);

export function shownLine(raw: string, before: Style): ShownLine {
  if (isClean(raw)) return { spans: raw === '' ? [] : [{ text: raw, style: before, href: null }], after: before };
  const sink = new Spans(before);
  scan(raw, sink);
  return { spans: sink.spans, after: sink.style };
}

/** The searched text: the text of the spans, end to end. */
export function shownText(raw: string): string {
  if (isClean(raw)) return raw;
  const sink = new Text();
  scan(raw, sink);
  return sink.parts.join('');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const SGR = /(?:\u001b\[|\u009b)([\d:;]*)m/g;

/** Style after the text, as in `shownLine`, without computing anything else. */
export function styleAfter(raw: string, before: Style): Style {
  let style = before;
  for (const [, parameters = ''] of raw.matchAll(SGR)) style = withSgr(style, parameters);
  return style;
}
