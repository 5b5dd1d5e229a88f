/** What failed in a run of vitest, short enough to stand below everything else: of a long log people see the end first. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { ROOT } from './stack.ts';

/** Lines that are shown; the log above has all of them. */
const SHOWN = 12;
const LINE_LENGTH = 240;

/** The part of vitest's JSON report that is read here. */
interface Report {
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] | null }[];
  }[];
}

const firstLine = (text: string): string => stripVTControlCharacters(text).trim().split('\n', 1)[0] ?? '';

function failuresOf(report: Report): string[] {
  return report.testResults.flatMap((file) => {
    const path = relative(ROOT, file.name);
    const tests = file.assertionResults.filter(({ status }) => status === 'failed');
    if (tests.length === 0) return file.status === 'failed' ? [`${path}: ${firstLine(file.message)}`] : [];
    return tests.map(({ fullName, failureMessages }) => `${path} › ${fullName}: ${firstLine(failureMessages?.[0] ?? '')}`);
  });
}

/** One line for each failed test or file, from the JSON reports in `folder` of a run that failed. */
export function failureLines(folder: string): string[] {
  const reports = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
  const lines = reports.flatMap((name) => failuresOf(JSON.parse(readFileSync(join(folder, name), 'utf8')) as Report));
  if (lines.length === 0)
    return ['No test failed: an error outside of all tests, or a run that came to no end. It is in the log above.'];
  const shown = lines.slice(0, SHOWN).map((line) => (line.length > LINE_LENGTH ? `${line.slice(0, LINE_LENGTH - 1)}…` : line));
  return lines.length > SHOWN ? [...shown, `… and ${lines.length - SHOWN} more`] : shown;
}
