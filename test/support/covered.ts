/**
 * Lines of a page, each with the tests that cover it. A line is covered when every test that it
 * names is in its file under that title. A renamed or removed test fails here.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');

/** `file › part of the title`, the file relative to test/. */
export type Coverage = `${string}.test.ts › ${string}`;

export type Line = [line: string, ...tests: [Coverage, ...Coverage[]]];

const sources = new Map<string, string>();

function sourceOf(file: string): string {
  const known = sources.get(file) ?? readFileSync(join(ROOT, 'test', file), 'utf8');
  sources.set(file, known);
  return known;
}

/** Titles as written in the source, with any kind of quotes. */
const TITLE = /(?:\b(?:it|test|describe)\b[^'"`\n]*|\)\()\(?\s*(['"`])((?:\\.|(?!\1).)*)\1/g;

function titlesOf(file: string): string[] {
  return [...sourceOf(file).matchAll(TITLE)].map(([, , title]) => title as string);
}

export function covers(system: string, lines: readonly Line[]): void {
  test.each(lines)(`[${system}] %s`, (_, ...tests) => {
    for (const coverage of tests) {
      const [file = '', title = ''] = coverage.split(' › ');
      expect(
        titlesOf(file).some((one) => one.includes(title)),
        `${file} has no test whose title contains: ${title}`,
      ).toBe(true);
    }
  });
}
