/** The pages that hold the rules of the protocol. A rule is on one of them as `**ING1**`. */

import { readFileSync } from 'node:fs';

export const RULE_PAGES = [
  'PROTOCOL.md',
  'docs/http-api.md',
  'docs/wrapper.md',
  'docs/directory.md',
  'docs/callbacks.md',
  'docs/terminals.md',
  'docs/runners.md',
  'docs/pools.md',
  'docs/agents.md',
  'docs/asking.md',
  'docs/acp.md',
  'docs/turns.md',
] as const;

/** The prefixes of the rule ids, each with its page. */
export const RULE_PREFIXES: Readonly<Record<string, (typeof RULE_PAGES)[number]>> = {
  ING: 'PROTOCOL.md',
  LIF: 'PROTOCOL.md',
  STR: 'PROTOCOL.md',
  CLS: 'PROTOCOL.md',
  LIM: 'PROTOCOL.md',
  VER: 'PROTOCOL.md',
  HTTP: 'docs/http-api.md',
  SPL: 'docs/wrapper.md',
  DIR: 'docs/directory.md',
  CB: 'docs/callbacks.md',
  TTY: 'docs/terminals.md',
  RNR: 'docs/runners.md',
  POOL: 'docs/pools.md',
  AGT: 'docs/agents.md',
  ASK: 'docs/asking.md',
  ACP: 'docs/acp.md',
  TRN: 'docs/turns.md',
};

const PREFIX = `(?:${Object.keys(RULE_PREFIXES).join('|')})`;
const DEFINED = new RegExp(`\\*\\*(${PREFIX}\\d+)\\*\\*`, 'g');
const CITED = new RegExp(`\\b${PREFIX}[1-9]\\d*\\b`, 'g');

export const readPage = (page: string): string => readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8');

/** The ids of the rules that a page defines, in its order. */
export const rulesOf = (page: string): string[] => [...readPage(page).matchAll(DEFINED)].map(([, rule]) => rule as string);

/** The ids of the rules that a text cites. */
export const rulesCitedBy = (text: string): string[] => [...text.matchAll(CITED)].map(([rule]) => rule);
