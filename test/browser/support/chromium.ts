/**
 * Chromium for the tests and the screenshots: started with a profile of its own, and gone
 * afterwards.
 *
 * Every browser carries a mark among its arguments. When `close()` does not end it, it is ended by
 * the pid that has the mark, so a failed test leaves nothing behind; when this process is killed,
 * Chromium ends itself because the pipe to it is closed.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Browser, chromium } from 'playwright-core';
import { findBrowser } from '../../../scripts/browser.ts';
import { processesWith } from '../../support/real-stack.ts';

const CLOSE_TIMEOUT_MS = 10_000;

/**
 * No GPU, no updates, no phoning home; the sandbox needs a kernel feature that containers often
 * lack, and the pages are our own.
 */
const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

export interface OwnBrowser {
  browser: Browser;
  /** SIGSTOP and SIGCONT for every process of it, as a laptop that is closed and opened. */
  sleep(): void;
  wake(): void;
  /** Idempotent. Resolves when no process of it is left. */
  close(): Promise<void>;
}

export async function launchChromium(extraArguments: readonly string[] = []): Promise<OwnBrowser> {
  const mark = `--holdfast-test=${randomUUID()}`;
  const { path, env } = findBrowser();
  const browser = await chromium.launch({
    executablePath: path,
    env: { ...process.env, ...env },
    headless: true,
    args: [...ARGUMENTS, ...extraArguments, mark],
    // The test runner handles signals; vitest ends its files in order.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
  const close = async (): Promise<void> => {
    const late = sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false });
    await Promise.race([browser.close().catch(() => {}), late]);
    const end = Date.now() + CLOSE_TIMEOUT_MS;
    for (let left = processesWith(mark); left.length > 0; left = processesWith(mark)) {
      if (Date.now() > end) throw new Error(`Chromium does not end: ${left.map(({ pid }) => pid).join(', ')}`);
      for (const { pid } of left) kill(pid);
      await sleep(50);
    }
  };
  // Playwright starts it as the leader of a process group.
  const group = processesWith(mark).find((candidate) => candidate.pid === candidate.group)?.pid;
  if (group === undefined) throw new Error('Chromium does not lead a process group');
  return { browser, close, sleep: () => kill(-group, 'SIGSTOP'), wake: () => kill(-group, 'SIGCONT') };
}

function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It just ended.
  }
}
