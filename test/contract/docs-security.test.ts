/**
 * Goal: every test that docs/security.md names exists. Method: each named test must stand in its
 * file under that title, every threat must name one, every rule that the page cites must exist, and
 * every secret of the deployment must have a row that says how it is replaced.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Coverage, covers, type Line } from '../support/covered.ts';
import { RULE_PAGES, rulesCitedBy, rulesOf } from '../support/rule-pages.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const page = read('docs/security.md');

/** Rows of the table below a heading, cell by cell, without its head. */
function rows(heading: string): string[][] {
  const [, section] = page.split(`## ${heading}\n`);
  if (section === undefined) throw new Error(`there is no section ${heading}`);
  const lines = (section.split(/^## /m)[0] as string).split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const named = (text: string): Coverage[] =>
  [...text.matchAll(/`([^`]+\.test\.ts › [^`]+)`/g)].map(([, coverage]) => coverage as Coverage);

const THREATS = rows('Threats and measures').map(([threat = '', , tests = '']): Line => {
  const [first, ...more] = named(tests);
  if (!first) throw new Error(`no test is named against: ${threat}`);
  return [threat, first, ...more];
});
const [first, ...more] = named(page.slice(page.indexOf('## Replacing a secret')));

describe('every threat has tests, and they exist', () => {
  covers('security', [...THREATS, ['replacing a secret', first as Coverage, ...more]]);
});

it('is about what can happen: threats are there, each once', () => {
  expect(THREATS.length).toBeGreaterThanOrEqual(20);
  expect(new Set(THREATS.map(([threat]) => threat)).size).toBe(THREATS.length);
});

it('every test on the page is in a table or sentence that was looked at', () => {
  const checked = THREATS.flatMap(([, ...tests]) => tests).length + more.length + 1;
  expect([...page.matchAll(/\.test\.ts › /g)]).toHaveLength(checked);
});

it('every rule it cites is a rule', () => {
  const rules = RULE_PAGES.flatMap(rulesOf);
  const cited = rulesCitedBy(page);
  expect(cited.length).toBeGreaterThan(10);
  for (const rule of cited) expect(rules).toContain(rule);
});

it('every secret of the deployment has a way to be replaced', () => {
  const secrets = [...read('src/platform/env.ts').matchAll(/\/\*\* Secret: [^*]*\*\/\s+(HOLDFAST_\w+)\?/g)].map(([, name]) => name);
  expect(secrets.length).toBeGreaterThanOrEqual(3);
  const told = rows('Replacing a secret without downtime').map(([secret = '']) => secret.replaceAll('`', ''));
  expect(told.sort()).toEqual(secrets.sort());
});

it('every link leads to a page that is there, and README leads here', () => {
  for (const [, to = ''] of page.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) expect(existsSync(join(ROOT, 'docs', to)), to).toBe(true);
  expect(read('README.md')).toContain('docs/security.md');
});
