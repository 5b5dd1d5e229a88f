// @vitest-environment node
/**
 * Goal: the page stays small, and is what its Content-Security-Policy allows.
 * Method: a real build, measured as a browser would load it: every script and style sheet, gzip at
 * the level that servers use.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUDGET_BYTES = 120_000;
/** The terminal, which only the page of a run with one loads. */
const TERMINAL_BUDGET_BYTES = 110_000;

/** The conversation, which only the page of an agent's run loads. */
const CONVERSATION_BUDGET_BYTES = 46_000;
/** The turns of a session, beside that. */
const TURNS_BUDGET_BYTES = 3_000;

/** The page of the runners. */
const RUNNERS_BUDGET_BYTES = 8_000;

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-dashboard-'));
  await build({
    configFile: join(ROOT, 'dashboard', 'vite.config.ts'),
    logLevel: 'error',
    // Vitest's own mode would build the development parts in.
    mode: 'production',
    build: { outDir: folder, emptyOutDir: true },
  });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const files = (): string[] => readdirSync(folder, { recursive: true }).map(String);
const text = (file: string): string => readFileSync(join(folder, file), 'utf8');

describe('the built page', () => {
  /** By file, gzip. */
  const sizes = (): Map<string, number> =>
    new Map(
      files()
        .filter((file) => /\.(js|css)$/.test(file))
        .map((file) => [file, gzipSync(readFileSync(join(folder, file)), { level: 6 }).length]),
    );
  const report = (title: string, part: [string, number][]): number => {
    const total = part.reduce((sum, [, bytes]) => sum + bytes, 0);
    const lines = [...part, [title, total] as const].map(([file, bytes]) => `${file}  ${(bytes / 1000).toFixed(1)} kB gzip`);
    console.log(lines.join('\n'));
    return total;
  };
  const isOfRunners = ([file]: [string, number]): boolean => /^assets\/runners-page-/.test(file);
  const isOfConversation = ([file]: [string, number]): boolean => /^assets\/conversation-panel-/.test(file);
  const isOfTurns = ([file]: [string, number]): boolean => /^assets\/session-conversation-/.test(file);
  const isOfTerminal = ([file]: [string, number]): boolean => /^assets\/panel-/.test(file);

  it(`has at most ${BUDGET_BYTES / 1000} kB of scripts and styles, compressed`, () => {
    const first = [...sizes()].filter(
      (entry) => !isOfTerminal(entry) && !isOfRunners(entry) && !isOfConversation(entry) && !isOfTurns(entry),
    );
    expect(report('all', first)).toBeLessThanOrEqual(BUDGET_BYTES);
    expect(first.some(([file]) => file.endsWith('.js'))).toBe(true);
    expect(first.some(([file]) => file.endsWith('.css'))).toBe(true);
    expect(first.map(([file]) => text(file)).join('')).not.toContain('xterm-helper-textarea');
  });

  it(`loads the terminal apart, with at most ${TERMINAL_BUDGET_BYTES / 1000} kB`, () => {
    const terminal = [...sizes()].filter(isOfTerminal);
    expect(terminal.map(([file]) => file.replace(/-[\w-]{8,}\./, '.')).sort()).toEqual(['assets/panel.css', 'assets/panel.js']);
    expect(report('the terminal', terminal)).toBeLessThanOrEqual(TERMINAL_BUDGET_BYTES);
    expect(text('index.html')).not.toMatch(/panel-/);
  });

  it(`loads the conversation apart, with at most ${CONVERSATION_BUDGET_BYTES / 1000} kB`, () => {
    const conversation = [...sizes()].filter(isOfConversation);
    expect(conversation.map(([file]) => file.replace(/-[\w-]{8}\./, '.')).sort()).toEqual([
      'assets/conversation-panel.css',
      'assets/conversation-panel.js',
    ]);
    expect(report('the conversation', conversation)).toBeLessThanOrEqual(CONVERSATION_BUDGET_BYTES);
    expect(text('index.html')).not.toMatch(/conversation-panel-/);
  });

  it(`loads the turns of a session apart, with at most ${TURNS_BUDGET_BYTES / 1000} kB`, () => {
    const turns = [...sizes()].filter(isOfTurns);
    expect(turns).toHaveLength(1);
    expect(report('the turns', turns)).toBeLessThanOrEqual(TURNS_BUDGET_BYTES);
    expect(text('index.html')).not.toMatch(/session-conversation-/);
  });

  it(`loads the page of the runners apart, with at most ${RUNNERS_BUDGET_BYTES / 1000} kB`, () => {
    const runners = [...sizes()].filter(isOfRunners);
    expect(runners.map(([file]) => file.replace(/-[\w-]{8}\./, '.')).sort()).toEqual([
      'assets/runners-page.css',
      'assets/runners-page.js',
    ]);
    expect(report('the runners', runners)).toBeLessThanOrEqual(RUNNERS_BUDGET_BYTES);
    expect(text('index.html')).not.toMatch(/runners-page-/);
  });

  it('has nothing inline, and loads nothing from elsewhere', () => {
    const html = text('index.html');
    expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:/i);
    for (const [, attributes, body] of html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)) {
      expect(attributes).toMatch(/\ssrc="\//);
      expect(body).toBe('');
    }
    for (const [, url] of html.matchAll(/\s(?:src|href)="([^"]*)"/g)) expect(url).toMatch(/^\/[^/]/);
    for (const file of files().filter((name) => name.endsWith('.css')))
      expect(text(file)).not.toMatch(/@import|url\((?!["']?(data:image|\/))/);
  });

  it('evaluates no text as code', () => {
    for (const file of files().filter((name) => name.endsWith('.js'))) {
      expect(text(file)).not.toMatch(/\beval\(|new Function\(|document\.write\(|insertAdjacentHTML/);
    }
  });

  it('everything under assets/ has a hash in its name, so that it may be cached forever; the rest is revalidated each time', () => {
    for (const file of files().filter((name) => name.startsWith('assets/'))) expect(file).toMatch(/-[\w-]{8,}\.(js|css)$/);
    const headers = text('_headers');
    expect(headers).toMatch(/\/\*\n(?: {2}.*\n)* {2}Cache-Control: no-cache/);
    expect(headers).toMatch(/\/assets\/\*\n {2}! Cache-Control\n {2}Cache-Control: public, max-age=31536000, immutable/);
    expect(headers).toContain("default-src 'none'; script-src 'self'; style-src 'self';");
  });
});
