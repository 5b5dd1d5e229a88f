/**
 * Goal: the tables that repeat what protocol/ has are those of the code. Method: they are generated
 * again and compared with the pages.
 */

import { expect, test } from 'vitest';
import { GENERATED_PAGES, withTables } from '../../scripts/generate-docs.ts';
import { readPage } from '../support/rule-pages.ts';

test.each(GENERATED_PAGES)('the generated tables of %s are up to date', (page) => {
  const text = readPage(page);
  expect(text).toMatch(/<!-- generated: /);
  expect(text, `${page} is out of date: run npm run docs`).toBe(withTables(text));
});

test('a table that differs from the code is replaced, and an unknown one is an error', () => {
  const page = (name: string) => `# A page\n\n<!-- generated: ${name} (npm run docs) -->\nan outdated table\n<!-- /generated -->\n`;
  const written = withTables(page('problem-codes'));
  expect(written).not.toContain('an outdated table');
  expect(written).toContain('| `queue_full` | 429 | yes |');
  expect(withTables(written)).toBe(written);
  expect(() => withTables(page('of-nothing'))).toThrow('there is no table of-nothing');
});
