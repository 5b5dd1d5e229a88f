/** Changed lines of files. A sign says what a line is, not only its colour. */

import type { DiffHunk, FileDiff } from '../../../agent/index.ts';
import { formatCount } from '../ui/index.ts';
import type { Folds } from './folds.ts';
import { ScrollBox } from './scroll-box.tsx';
import { readable } from './text-blocks.tsx';

const SHOWN_LINES = 24;

export interface DiffLine {
  readonly sign: '+' | '-' | ' ' | '@';
  readonly number: number | null;
  readonly text: string;
}

/** The lines of a file's hunks; where lines are left out stands a line with the sign `@`. */
export function diffLines(hunks: readonly DiffHunk[]): DiffLine[] {
  const lines: DiffLine[] = [];
  for (const [i, { oldStart, newStart, lines: changed }] of hunks.entries()) {
    if (i > 0) lines.push({ sign: '@', number: null, text: '' });
    let old = oldStart;
    let now = newStart;
    for (const line of changed) {
      const sign = line[0] === '+' || line[0] === '-' ? line[0] : ' ';
      lines.push({ sign, number: sign === '-' ? old : now, text: line.slice(1) });
      if (sign !== '+') old += 1;
      if (sign !== '-') now += 1;
    }
  }
  return lines;
}

export const countOf = (lines: readonly DiffLine[], sign: DiffLine['sign']): number =>
  lines.filter((line) => line.sign === sign).length;

const WORDS = { '+': 'added', '-': 'removed', ' ': '', '@': '' } as const;
const CLASSES = { '+': 'diff-added', '-': 'diff-removed', ' ': 'diff-same', '@': 'diff-gap' } as const;

export function Diff({ diff: { path, hunks }, name, folds }: { diff: FileDiff; name: string; folds: Folds }) {
  const lines = diffLines(hunks);
  const isAll = folds.isOpen(name, false) || lines.length <= SHOWN_LINES + 6;
  const shown = isAll ? lines : lines.slice(0, SHOWN_LINES);
  const width = String(lines.reduce((most, { number }) => Math.max(most, number ?? 0), 0)).length;
  return (
    <figure class="diff">
      <figcaption class="diff-head">
        <span class="diff-path">{readable(path)}</span>
        <span class="diff-count">
          <span class="diff-plus">+{formatCount(countOf(lines, '+'))}</span>{' '}
          <span class="diff-minus">−{formatCount(countOf(lines, '-'))}</span>
        </span>
      </figcaption>
      {lines.length === 0 ? (
        <p class="diff-none">No line changed.</p>
      ) : (
        <ScrollBox class="diff-lines" label={`Changes of ${path}`} style={{ '--diff-digits': width }}>
          <div class="diff-wide">
            {shown.map(({ sign, number, text }, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: lines do not move
              <div key={i} class={`diff-line ${CLASSES[sign]}`}>
                <span class="diff-number" aria-hidden="true">
                  {number ?? '⋯'}
                </span>
                <span class="diff-sign" aria-hidden="true">
                  {sign === '-' ? '−' : sign === '@' ? '' : sign}
                </span>
                {WORDS[sign] === '' ? null : <span class="visually-hidden">{WORDS[sign]}: </span>}
                <span class="diff-text">{readable(text) || ' '}</span>
              </div>
            ))}
          </div>
        </ScrollBox>
      )}
      {isAll ? null : (
        <button type="button" class="talk-inline" onClick={() => folds.set(name, true)}>
          Show all {formatCount(lines.length)} lines
        </button>
      )}
    </figure>
  );
}
