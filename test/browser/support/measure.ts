/** Times and memory, for a person to read. */

import type { Page } from 'playwright-core';

export class Timings {
  readonly #rows: [what: string, ms: number][] = [];

  async of<T>(what: string, action: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const result = await action();
    this.#rows.push([what, performance.now() - begun]);
    return result;
  }

  get longest(): number {
    return Math.max(0, ...this.#rows.map(([, ms]) => ms));
  }

  text(): string {
    return this.#rows.map(([what, ms]) => `  ${what.padEnd(36)} ${Math.round(ms).toString().padStart(6)} ms`).join('\n');
  }
}

/** Live JavaScript heap of the page, after a collection, workers left out. */
export async function heapBytes(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  await session.detach();
  return usedSize;
}
