/** The dashboard as a person uses it: by the roles and names that a screen reader would tell. */

import { deepEqual } from 'node:assert/strict';
import type { Locator, Page } from 'playwright-core';
import type { LoggedEvent } from '../../../protocol/index.ts';
import { until } from '../../support/real-stack.ts';
import type { PageWatch } from './page-watch.ts';
import type { Job, PageOptions, Stage } from './stage.ts';

/** A line of the log as it is drawn. */
export interface DrawnLine {
  /** Of output lines, when known. */
  number: number | null;
  text: string;
}

export class Dashboard {
  readonly stage: Stage;
  readonly page: Page;
  readonly watch: PageWatch;

  private constructor(stage: Stage, page: Page, watch: PageWatch) {
    this.stage = stage;
    this.page = page;
    this.watch = watch;
  }

  /** A new page at this path, signed in with the API key. */
  static async signedIn(stage: Stage, path = '/', options?: PageOptions): Promise<Dashboard> {
    const dashboard = await Dashboard.at(stage, path, options);
    await dashboard.page.getByLabel('API key', { exact: true }).fill(stage.apiKey);
    await dashboard.page.getByRole('button', { name: 'Sign in' }).click();
    await dashboard.page.getByRole('button', { name: 'Sign out' }).waitFor();
    return dashboard;
  }

  static async at(stage: Stage, path: string, options?: PageOptions): Promise<Dashboard> {
    const { page, watch } = await stage.open(options);
    await page.goto(`${stage.url}${path}`);
    return new Dashboard(stage, page, watch);
  }

  get log(): Locator {
    return this.page.getByRole('log', { name: 'Log lines' });
  }

  get search(): Locator {
    return this.page.getByRole('searchbox', { name: 'Search in the log' });
  }

  /** What the search says it found, or another note over the log. */
  get outcome(): Locator {
    return this.page.getByRole('search').getByRole('status');
  }

  /** Waits until the search says this. */
  finds(text: string | RegExp): Promise<void> {
    return this.outcome.filter({ hasText: text }).waitFor();
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name, exact: typeof name === 'string' });
  }

  /** The state of the page's own connection: `Live`, `Reconnecting`, … */
  connection(state: string): Promise<void> {
    return this.page.getByRole('group', { name: 'Connection' }).getByText(state, { exact: true }).waitFor();
  }

  /** The status of the run, in the heading's words. */
  status(word: string): Promise<void> {
    return this.page.getByRole('main').getByText(word, { exact: true }).first().waitFor();
  }

  /** The lines that are drawn now: those in view and some around. */
  drawn(): Promise<DrawnLine[]> {
    return this.log.evaluate((log) =>
      [...log.querySelectorAll('[data-id]')].map((row) => {
        const number = row.querySelector('a[href^="#L"]')?.textContent;
        return { number: number ? Number(number) : null, text: row.children[1]?.textContent ?? '' };
      }),
    );
  }

  /** The lines in view, of which something at least can be seen. */
  inView(): Promise<DrawnLine[]> {
    return this.log.evaluate((log) => {
      const frame = log.getBoundingClientRect();
      return [...log.querySelectorAll('[data-id]')]
        .filter((row) => {
          const { top, bottom } = row.getBoundingClientRect();
          return bottom > frame.top && top < frame.bottom;
        })
        .map((row) => {
          const number = row.querySelector('a[href^="#L"]')?.textContent;
          return { number: number ? Number(number) : null, text: row.children[1]?.textContent ?? '' };
        });
    });
  }

  /** Waits until a line with this text is in view. */
  async shows(text: string, ms = 60_000): Promise<void> {
    await until(async () => (await this.inView()).some((line) => line.text.includes(text)), `a line with "${text}" in view`, ms);
  }

  /** Waits until the last line in view is one of so high a number. */
  async reaches(number: number, ms = 60_000): Promise<number> {
    return until(
      async () => {
        const last = (await this.inView()).findLast((line) => line.number !== null)?.number ?? 0;
        return last >= number ? last : null;
      },
      `line ${number} in view`,
      ms,
    );
  }

  /** Every output line, read by scrolling from the first to the last. */
  async everyLine(): Promise<DrawnLine[]> {
    await this.log.focus();
    await this.page.keyboard.press('Home');
    await until(
      async () => (await this.inView())[0]?.number === 1 || (await this.inView()).some(({ number }) => number === 1),
      'the first line',
    );
    const lines = new Map<number, string>();
    for (;;) {
      for (const { number, text } of await this.drawn()) {
        if (number === null) continue;
        // A line that was drawn twice with two texts would be one shown wrongly.
        if (lines.has(number) && lines.get(number) !== text)
          throw new Error(`line ${number} is both ${lines.get(number)} and ${text}`);
        lines.set(number, text);
      }
      const more = await this.log.evaluate((log) => {
        const before = log.scrollTop;
        log.scrollTop += log.clientHeight;
        return log.scrollTop > before;
      });
      if (!more) break;
      await this.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    }
    return [...lines].map(([number, text]) => ({ number, text })).sort((a, b) => a.number - b.number);
  }

  /**
   * The log on the page is the log of the coordinator: each line once, in order, at its own number.
   * For jobs whose output has no escapes.
   */
  async expectWholeLog(job: Job): Promise<number> {
    const truth = outputLines(await this.stage.real.read(job.session, job.id));
    const seen = await this.everyLine();
    deepEqual(
      seen.map(({ number, text }) => `${number} ${text}`),
      truth.map((text, at) => `${at + 1} ${text}`),
    );
    return truth.length;
  }
}

/**
 * The lines of stdout and stderr in the order of the log, for output in which each event ends its
 * line.
 */
export const outputLines = (events: LoggedEvent[]): string[] =>
  events.filter(({ type }) => type === 'output').flatMap(({ data }) => String(data.text).replace(/\n$/, '').split('\n'));
