/**
 * Goal: the pages with rules and protocol/ say the same. Method: the examples of PROTOCOL.md go
 * through the parsers, tables are compared with the constants, and every rule that a contract test
 * cites is on one page, once.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as protocol from '../../protocol/index.ts';
import * as attempts from '../../src/callbacks/attempts.ts';
import * as message from '../../src/callbacks/message.ts';
import { RETENTION_MS } from '../../src/core/deadlines.ts';
import { LEASE_MS, RETRY_CAP_MS } from '../../src/core/leased-row.ts';
import { RULE_PAGES, RULE_PREFIXES, readPage, rulesCitedBy, rulesOf } from '../support/rule-pages.ts';

const page = readPage('PROTOCOL.md');
const here = new URL('.', import.meta.url);
const rules = RULE_PAGES.flatMap(rulesOf);

/** The text of a page from one mark to another. Both must be there, in this order. */
const between = (text: string, begin: string, end: string): string => {
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from + 1);
  if (from === -1 || to === -1) throw new Error(`there is no ${begin} before ${end}`);
  return text.slice(from, to);
};

/** The messages of a fenced block: `→ ` and `← ` begin one, two spaces continue it. */
const examples = (fence: string): { arrow: string; text: string }[] => {
  const block = page.match(new RegExp(`\`\`\`${fence}\\n([\\s\\S]*?)\`\`\``))?.[1] ?? '';
  return [...block.matchAll(/^([→←]) (.*(?:\n {2}.*)*)/gm)].map(([, arrow, text]) => ({
    arrow: arrow as string,
    text: (text as string).replaceAll('\n  ', '\n'),
  }));
};

describe('rules', () => {
  it('each id stands once, and each family counts from 1 without holes', () => {
    expect(new Set(rules).size).toBe(rules.length);
    for (const prefix of Object.keys(RULE_PREFIXES)) {
      const numbers = rules
        .filter((rule) => rule.replace(/\d+$/, '') === prefix)
        .map((rule) => Number(rule.slice(prefix.length)))
        .sort((one, other) => one - other);
      expect(numbers, prefix).toEqual(numbers.map((_, index) => index + 1));
      expect(numbers.length, prefix).toBeGreaterThan(0);
    }
  });

  it('each family is on its page, and PROTOCOL.md links to that page', () => {
    for (const on of RULE_PAGES) for (const rule of rulesOf(on)) expect(RULE_PREFIXES[rule.replace(/\d+$/, '')], rule).toBe(on);
    for (const [prefix, on] of Object.entries(RULE_PREFIXES)) {
      const row = new RegExp(`^\\| ${prefix} \\|.*\\|$`, 'm').exec(page)?.[0];
      expect(row, prefix).toContain(on === 'PROTOCOL.md' ? 'this page' : `(${on}`);
    }
  });

  it('every rule that a contract test cites is on a page, and so is every rule that a page refers to', () => {
    const tests = readdirSync(here).map((name) => readFileSync(new URL(name, here), 'utf8'));
    const docs = readdirSync(new URL('../../docs', here)).filter((name) => name.endsWith('.md'));
    const pages = [...new Set<string>([...RULE_PAGES, ...docs.map((name) => `docs/${name}`)])];
    for (const text of [...pages.map(readPage), ...tests]) {
      for (const cited of rulesCitedBy(text)) expect(rules).toContain(cited);
    }
  });
});

describe('examples', () => {
  it('[ING1] every ingest message of the page is a frame, of every type there is', () => {
    const seen = examples('ingest').map(({ arrow, text }) => {
      const answer = arrow === '→' ? protocol.parseWrapperFrame(text) : protocol.parseCoordinatorFrame(text);
      return answer.ok ? answer.frame.type : `${answer.detail}: ${text}`;
    });
    expect(seen).toEqual([
      'hello',
      'welcome',
      'events',
      'ack',
      'nack',
      'command',
      'command',
      'command',
      'command',
      'command',
      'command_ack',
    ]);
  });

  it('[STR2] every stream message of the page is a frame, of every type there is', () => {
    const seen = examples('stream').map(
      ({ arrow, text }) => (arrow === '→' ? protocol.parseViewerFrame(text) : protocol.parseStreamFrame(text))?.type,
    );
    expect(seen).toEqual(['hello', 'events', 'events', 'caught_up', 'ack', 'end']);
  });

  it('[ING3] the welcome of the page has the default policy and the real limits', () => {
    const text = examples('ingest').find((one) => one.text.includes('"welcome"'))?.text ?? '';
    const answer = protocol.parseCoordinatorFrame(text);
    expect(answer).toMatchObject({
      frame: {
        policy: protocol.POLICY_DEFAULTS,
        limits: { frameBytes: protocol.FRAME_BYTES_MAX, windowBytes: protocol.WINDOW_BYTES },
      },
    });
  });
});

describe('tables', () => {
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const limits = new Map(
    between(page, '\n## Limits\n', '\n## Versions\n')
      .split('\n')
      .filter((line) => /^\| .*`/.test(line))
      .map((line) => [/`(\w+)`/.exec(cells(line)[1] ?? '')?.[1] ?? '', (cells(line)[2] ?? '').replaceAll('`', '')]),
  );

  it('[LIM1] every bound of protocol/ is in the table with its value', () => {
    const bounds = Object.entries(protocol).filter(
      ([name]) => /_(MAX|BYTES|DEFAULT|MS|PATTERN)$/.test(name) && !name.startsWith('FEATURE_'),
    );
    expect(bounds.length).toBeGreaterThan(30);
    for (const [name, value] of bounds)
      expect(limits.get(name), name).toBe(value instanceof RegExp ? value.source.replaceAll('\\/', '/') : String(value));
  });

  it('[LIM9] every policy bound is in the table', () => {
    for (const key of protocol.POLICY_KEYS) {
      const { min: minMs, max: maxMs } = protocol.POLICY_BOUNDS[key];
      expect(limits.get(key), key).toBe(`${minMs} to ${maxMs}`);
    }
  });

  it('[LIF16] every policy default is on the page', () => {
    const line = between(page, '**LIF16**', '**LIF17**').replaceAll(/\s+/g, ' ');
    for (const key of protocol.POLICY_KEYS) expect(line).toContain(`\`${key}\` ${protocol.POLICY_DEFAULTS[key]}`);
  });

  it('[HTTP1] every problem code is in the table with its status', () => {
    const api = readPage('docs/http-api.md');
    for (const [code, { status, retryable }] of Object.entries(protocol.PROBLEMS)) {
      expect(api, code).toContain(`| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} |`);
    }
  });

  it('[CB5] [CB10] the times and bounds of callbacks are those of the code', () => {
    const section = between(readPage('docs/callbacks.md'), '**CB1**', '**CB11**').replaceAll(/\s+/g, ' ');
    for (const phrase of [
      `2xx within ${attempts.CALLBACK_TIMEOUT_MS / 1000} s ends it`,
      `after ${attempts.CALLBACK_RETRY_BASE_SECONDS} s, then after twice as long each time, up to ${attempts.CALLBACK_RETRY_CAP_SECONDS / 60} minutes`,
      `After ${attempts.CALLBACK_RETRIES_MAX} retries`,
      `${message.CALLBACK_MESSAGE_BYTES_MAX} bytes`,
      `${message.CALLBACK_TEXT_CHARS_MAX} characters`,
      `${LEASE_MS / 1000} s after the event, then after twice as long each time, up to ${RETRY_CAP_MS / 60_000} minutes`,
      `did not accept for ${RETENTION_MS / 86_400_000} days`,
    ])
      expect(section).toContain(phrase);
  });

  it('[CB12] the events of a callback are those of the code', () => {
    const page = readPage('docs/callbacks.md');
    const names = [...between(page, '## Events', '## Local').matchAll(/^\| `([a-z]+)` \|/gm)].map(([, name]) => name);
    expect(names).toEqual(['events', ...protocol.CALLBACK_EVENTS]);
  });

  it('[CLS11] every close code is in the section', () => {
    const section = between(page, '\n## Close codes\n', '\n## Limits\n');
    for (const code of Object.values(protocol.CLOSE)) expect(section).toContain(String(code));
    for (const [, code] of section.matchAll(/\*\*CLS\d+\*\* \| (\d{4}) \|/g))
      expect(Object.values(protocol.CLOSE)).toContain(Number(code));
  });
});
