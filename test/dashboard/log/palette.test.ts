/**
 * Colours of the log: contrast by WCAG 2, computed from the style sheet itself, for both schemes.
 */

import { describe, expect, it } from 'vitest';
import { css } from './style-sheet.ts';

type Rgb = [number, number, number];

function blockOf(selector: string): Map<string, string> {
  const start = css.indexOf(`${selector} {`);
  const body = css.slice(start, css.indexOf('}', start));
  return new Map([...body.matchAll(/(--[\w-]+):\s*([^;]+);/g)].map(([, name = '', value = '']) => [name, value]));
}
const light = blockOf(':root');
const dark = blockOf(':root[data-theme="dark"]');

const hex = (value: string | undefined): Rgb => {
  const [, digits = ''] = /^#([0-9a-f]{6})$/.exec(value ?? '') ?? [];
  if (digits === '') throw new Error(`no colour: ${value}`);
  return [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16) / 255) as Rgb;
};
const linear = (value: number) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const encoded = (value: number) => (value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055);
const luminance = ([r, g, b]: Rgb) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const contrast = (a: Rgb, b: Rgb) => {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const mix = (a: Rgb, b: Rgb, share: number) => a.map((value, i) => value * share + (b[i] ?? 0) * (1 - share)) as Rgb;

/**
 * As `oklch(from colour clamp(low, l, high) min(c, 0.16) h)` is shown by a screen that has no wider
 * gamut.
 */
function readable([r, g, b]: Rgb, low: number, high: number): Rgb {
  const [lr, lg, lb] = [linear(r), linear(g), linear(b)];
  const l = Math.cbrt(0.4122214708 * lr + 0.5363325363 * lg + 0.0514459929 * lb);
  const m = Math.cbrt(0.2119034982 * lr + 0.6806995451 * lg + 0.1073969566 * lb);
  const s = Math.cbrt(0.0883024619 * lr + 0.2817188376 * lg + 0.6299787005 * lb);
  const L = Math.min(Math.max(0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, low), high);
  let A = 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s;
  let B = 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s;
  const chroma = Math.hypot(A, B);
  if (chroma > 0.16) [A, B] = [(A / chroma) * 0.16, (B / chroma) * 0.16];
  const l3 = (L + 0.3963377774 * A + 0.2158037573 * B) ** 3;
  const m3 = (L - 0.1055613458 * A - 0.0638541728 * B) ** 3;
  const s3 = (L - 0.0894841775 * A - 1.291485548 * B) ** 3;
  return [
    4.0767416621 * l3 - 3.3077115913 * m3 + 0.2309699292 * s3,
    -1.2684380046 * l3 + 2.6097574011 * m3 - 0.3413193965 * s3,
    -0.0041960863 * l3 - 0.7034186147 * m3 + 1.707614701 * s3,
  ].map((value) => Math.min(Math.max(encoded(Math.min(Math.max(value, 0), 1)), 0), 1)) as Rgb;
}

const AA = 4.5;
const numbers = Array.from({ length: 16 }, (_, i) => i);

describe.each([
  ['light', light],
  ['dark', dark],
])('in the %s scheme', (_, scheme) => {
  const of = (name: string) => hex(scheme.get(name));
  const bg = of('--log-bg');

  it.each(['--log-fg', '--log-muted', ...numbers.map((i) => `--ansi-${i}`)])('%s can be read on the log', (name) => {
    expect(contrast(of(name), bg)).toBeGreaterThanOrEqual(AA);
  });

  it('every named colour can be read on the tint of every other', () => {
    const share = Number(/\.log-tint \{\s*background: color-mix\(in srgb, var\(--ground\) (\d+)%/.exec(css)?.[1]) / 100;
    for (const ink of numbers)
      for (const ground of numbers)
        expect(contrast(of(`--ansi-${ink}`), mix(of(`--ansi-${ground}`), bg, share)), `${ink} on ${ground}`).toBeGreaterThanOrEqual(
          AA,
        );
  });

  it.each(['--log-hover', '--log-selected'])('text can be read on %s', (name) => {
    for (const ink of ['--log-fg', '--log-muted']) expect(contrast(of(ink), of(name)), ink).toBeGreaterThanOrEqual(AA);
    for (const ink of numbers) expect(contrast(of(`--ansi-${ink}`), of(name)), `${ink}`).toBeGreaterThanOrEqual(AA);
  });

  it('matches can be read, the current one too', () => {
    expect(contrast(of('--log-mark-fg'), of('--log-match'))).toBeGreaterThanOrEqual(AA);
    expect(contrast(hex('#1f2328'), of('--log-current'))).toBeGreaterThanOrEqual(AA);
  });

  it('any colour a job chooses is brought to where it can be read', () => {
    const low = Number(scheme.get('--log-l-min'));
    const high = Number(scheme.get('--log-l-max'));
    for (let r = 0; r <= 1; r += 0.125)
      for (let g = 0; g <= 1; g += 0.125)
        for (let b = 0; b <= 1; b += 0.125)
          expect(contrast(readable([r, g, b], low, high), bg), [r, g, b].join(' ')).toBeGreaterThanOrEqual(AA);
  });

  it('text fainter by 25% can be read', () => {
    expect(/\.log-dim \{\s*opacity: 0\.75;/.test(css)).toBe(true);
    expect(contrast(mix(of('--log-fg'), bg, 0.75), bg)).toBeGreaterThanOrEqual(AA);
  });
});

it('the dark scheme of the system is the one that can be chosen', () => {
  expect(blockOf(':root:not([data-theme])')).toEqual(dark);
});
