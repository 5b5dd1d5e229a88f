/**
 * What a page must not do, watched from before its first script: errors on the console, uncaught
 * errors, violations of the content security policy, requests to anywhere but the deployment. A
 * test that cuts the network names what the browser itself will then complain of; everything else
 * is a failure.
 */

import type { Page } from 'playwright-core';

const VIOLATION = 'content security policy: ';

/**
 * Chromium writes these itself when a connection is refused or broken; no page can keep it from
 * doing so.
 */
export const NETWORK_NOISE = [
  /^Failed to load resource: net::ERR_/,
  /^WebSocket connection to '.*' failed/,
  /^Failed to load resource: the server responded with a status of 50[0234]/,
];

/** A refused credential is an answer that the page acts on; the browser still writes it down. */
export const REFUSED_NOISE = [/^Failed to load resource: the server responded with a status of 40[13]/];

export class PageWatch {
  readonly problems: string[] = [];
  readonly #allowed: RegExp[] = [];

  private constructor() {}

  /** To be called before the page goes anywhere. `origins` are those that it may talk to. */
  static async begin(page: Page, origins: readonly string[]): Promise<PageWatch> {
    const watch = new PageWatch();
    page.on('console', (message) => {
      const text = message.text();
      if (message.type() === 'error' || text.startsWith(VIOLATION)) watch.#note(text);
    });
    page.on('pageerror', (error) => watch.#note(`uncaught: ${error.stack ?? error.message}`));
    page.on('crash', () => watch.#note('the page crashed'));
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (!['data:', 'blob:'].includes(protocol) && !origins.includes(origin)) watch.#note(`a request to ${request.url()}`);
    });
    await page.addInitScript((prefix) => {
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile, lineNumber }) => {
        console.warn(`${prefix}${violatedDirective} ${blockedURI} ${sourceFile}:${lineNumber}`);
      });
    }, VIOLATION);
    return watch;
  }

  /** From here on, and for what was noted before: the test brings these about itself. */
  allow(patterns: readonly RegExp[]): void {
    this.#allowed.push(...patterns);
  }

  get unexpected(): string[] {
    return this.problems.filter((text) => !this.#allowed.some((pattern) => pattern.test(text)));
  }

  #note(text: string): void {
    this.problems.push(text);
  }
}
