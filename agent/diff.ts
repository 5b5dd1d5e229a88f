/** Differences between two texts, in one form for all agents. */

import { isObject } from '../protocol/json.ts';
import type { DiffHunk, FileDiff } from './items.ts';
import { list, number, object, objects, text } from './values.ts';

/** Unchanged lines around a change. */
const CONTEXT = 3;

const linesOf = (content: string): string[] => {
  if (content === '') return [];
  return (content.endsWith('\n') ? content.slice(0, -1) : content).split('\n');
};

/**
 * One hunk from the first changed line to the last. It takes time proportional to the length; lines
 * between two changes appear as removed and added.
 */
export function diffOfTexts(path: string, before: string | null, after: string): FileDiff {
  const old = linesOf(before ?? '');
  const now = linesOf(after);
  let same = 0;
  while (same < old.length && same < now.length && old[same] === now[same]) same += 1;
  let tail = 0;
  while (tail < old.length - same && tail < now.length - same && old[old.length - 1 - tail] === now[now.length - 1 - tail])
    tail += 1;
  const oldEnd = old.length - tail;
  const nowEnd = now.length - tail;
  if (same === oldEnd && same === nowEnd) return { path, hunks: [] };
  const begin = Math.max(0, same - CONTEXT);
  const lines = [
    ...old.slice(begin, same).map((line) => ` ${line}`),
    ...old.slice(same, oldEnd).map((line) => `-${line}`),
    ...now.slice(same, nowEnd).map((line) => `+${line}`),
    ...old.slice(oldEnd, oldEnd + CONTEXT).map((line) => ` ${line}`),
  ];
  return { path, hunks: [{ oldStart: old.length === 0 ? 0 : begin + 1, newStart: now.length === 0 ? 0 : begin + 1, lines }] };
}

/** The hunks of Claude's `structuredPatch`. */
export const hunksOf = (patch: unknown): DiffHunk[] =>
  objects(patch).map(({ oldStart, newStart, lines }) => ({
    oldStart: number(oldStart) ?? 1,
    newStart: number(newStart) ?? 1,
    lines: list(lines).filter((line) => typeof line === 'string'),
  }));

/** A unified diff of one file. */
export function diffOfPatch(path: string, patch: string): FileDiff {
  const hunks: DiffHunk[] = [];
  for (const line of linesOf(patch)) {
    const head = /^@@ -(\d{1,9})(?:,\d+)? \+(\d{1,9})(?:,\d+)? @@/.exec(line);
    if (head) hunks.push({ oldStart: Number(head[1]), newStart: Number(head[2]), lines: [] });
    else if (/^[ +-]/.test(line)) hunks.at(-1)?.lines.push(line);
  }
  return { path, hunks };
}

/** Of the `content` of an ACP tool call; null when it holds no difference. */
export function diffsOfContent(content: unknown): FileDiff[] | null {
  const found = list(content).filter((each) => isObject(each) && each.type === 'diff');
  if (found.length === 0) return null;
  return found.map(object).map(({ path, oldText, newText }) => diffOfTexts(text(path) ?? '', text(oldText), text(newText) ?? ''));
}
