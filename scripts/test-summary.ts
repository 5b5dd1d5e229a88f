/**
 * The last lines of a test run. People see the end of a long log first: what failed, in which
 * files, how many passed, how long it took.
 */

import { stripVTControlCharacters } from 'node:util';
import type { TestRunResult } from './test-run.ts';

/** Lines that are shown; the log above has all of them. */
const SHOWN = 12;
const LINE_LENGTH = 240;

const firstLine = (text: string): string => stripVTControlCharacters(text).trim().split('\n', 1)[0] ?? '';

/** `2 failed | 10 passed (12)`, the form of vitest's last lines. */
function counts(failed: number, passed: number, skipped: number): string {
  const parts = [failed > 0 && `${failed} failed`, passed > 0 && `${passed} passed`, skipped > 0 && `${skipped} skipped`];
  return `${parts.filter(Boolean).join(' | ') || 'none'} (${failed + passed + skipped})`;
}

export function summaryLines(results: readonly TestRunResult[], ms: number): string[] {
  const failures = results.flatMap((result) => result.failures);
  const files = results.flatMap((result) => result.files);
  const sum = (of: (result: TestRunResult) => number): number => results.reduce((total, result) => total + of(result), 0);
  const failed = results.some(({ code }) => code !== 0);

  const lines = failures.map(({ file, test, message }) => {
    const line = `  FAILED  ${file}${test === null ? '' : ` › ${test}`}: ${firstLine(message)}`;
    return line.length > LINE_LENGTH ? `${line.slice(0, LINE_LENGTH - 1)}…` : line;
  });
  if (lines.length > SHOWN)
    lines.splice(SHOWN, lines.length, `  … and ${failures.length - SHOWN} more failures; the log above has all of them`);
  if (failed && lines.length === 0) lines.push('  FAILED  vitest did not end with 0, but no test failed. The log above says more.');

  const badFiles = files.filter(({ passed }) => !passed).length;
  const badTests = failures.filter(({ test }) => test !== null).length;
  lines.push(` Test Files  ${counts(badFiles, files.length - badFiles, 0)}`);
  lines.push(
    `      Tests  ${counts(
      badTests,
      sum(({ passed }) => passed),
      sum(({ skipped }) => skipped),
    )}`,
  );
  lines.push(`   Duration  ${(ms / 1000).toFixed(1)} s, ${failed ? 'FAILED' : 'passed'}`);
  return lines;
}
