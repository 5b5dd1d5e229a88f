/**
 * Recordings of the real programs as events of a log, and items in a form that can be read.
 *
 * `NAME.jsonl` is what the program printed, `NAME-stdin.jsonl` what was written to it. The times
 * between the two were not recorded: a reply stands behind the question, a request behind the reply
 * to the one before, a message behind the turn before.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConversationEvent, Item, Summary } from '../../agent/index.ts';

type Line = { [key: string]: unknown };

const FOLDER = join(import.meta.dirname, 'transcripts');

/** All recordings of a program. */
export const recordings = (program: string): string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.startsWith(`${program}-`) && file.endsWith('.jsonl') && !file.endsWith('-stdin.jsonl'))
    .map((file) => file.replace('.jsonl', ''))
    .sort();

export const linesOf = (name: string): string[] =>
  readFileSync(join(FOLDER, `${name}.jsonl`), 'utf8')
    .split('\n')
    .filter(Boolean);

function stdinOf(name: string): Line[] {
  try {
    return linesOf(`${name}-stdin`).map((line) => JSON.parse(line) as Line);
  } catch {
    return [];
  }
}

const parsed = (line: string): Line | null => {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return null;
  }
};

/** Numbers the events from 1, one a second. */
export const asEvents = (events: readonly { type: string; data: Line }[]): ConversationEvent[] =>
  events.map(({ type, data }, index) => ({ offset: index + 1, type, at: (index + 1) * 1000, data }));

export const agentEvent = (data: Line): { type: string; data: Line } => ({ type: 'agent', data });

export const inputEvent = (...lines: Line[]): { type: string; data: Line } => ({
  type: 'input',
  data: { by: { kind: 'key', id: 'k1' }, bytes: 1, text: lines.map((line) => `${JSON.stringify(line)}\n`).join('') },
});

/** The log of a recorded run, with its end. */
export function recorded(name: string, exitCode = 0): ConversationEvent[] {
  const stdin = stdinOf(name);
  const events: { type: string; data: Line }[] = [];
  const lines = linesOf(name);
  const isReplayed = lines.some((line) => line.includes('"isReplay":true'));
  const send = (which: (line: Line) => boolean, onlyFirst = false): void => {
    for (let at = 0; at < stdin.length; ) {
      if (!which(stdin[at] as Line)) at += 1;
      else {
        events.push(inputEvent(...stdin.splice(at, 1)));
        if (onlyFirst) return;
      }
    }
  };
  const isMessage = ({ type }: Line): boolean => type === 'user';
  send(isMessage, !isReplayed);
  send(({ id, method }) => id === 0 && method !== undefined);
  for (const line of lines) {
    const data = parsed(line);
    if (!data) {
      events.push({ type: 'output', data: { stream: 'stdout', text: line, partial: true } });
      continue;
    }
    if ((data.result as Line | undefined)?.stopReason === 'cancelled') send(({ method }) => method === 'session/cancel');
    events.push(agentEvent(data));
    if (data.method !== undefined) send(({ id, method }) => id === data.id && method === undefined);
    else if (data.jsonrpc) send(({ id, method }) => method !== undefined && id === Number(data.id) + 1);
    if (data.type === 'control_request') send(({ response }) => (response as Line | undefined)?.request_id === data.request_id);
    if (data.type === 'result') send(isMessage, true);
  }
  events.push({ type: 'exit', data: { exitCode, signal: null } });
  return asEvents(events);
}

const oneLine = (text: string): string => JSON.stringify(text).slice(1, -1);
const cut = (text: string, chars = 160): string => (text.length > chars ? `${text.slice(0, chars)}…` : text);
const flag = (is: unknown, name: string): string => (is ? ` (${name})` : '');

/** One item in one line, and further lines for what it holds. */
export function shown(item: Item): string {
  const where = `${item.key}${item.to === item.from ? '' : `-${item.to}`}${item.parent ? ` in ${item.parent}` : ''}`.padEnd(8);
  const more = (lines: readonly string[]): string => lines.map((line) => `\n         ${line}`).join('');
  switch (item.type) {
    case 'message':
      return `${where} ${item.role}${flag(item.partial, 'partial')}: ${oneLine(item.markdown)}`;
    case 'reasoning':
      return `${where} reasoning${flag(item.partial, 'partial')}: ${oneLine(item.markdown)}`;
    case 'tool':
      return `${where} tool ${item.id} ${item.name}, ${item.state}: ${item.title}${more([
        `input ${cut(JSON.stringify(item.input))}`,
        ...(item.output === null ? [] : [`output ${cut(oneLine(item.output))}`]),
        ...(item.diff ?? []).flatMap(({ path, hunks }) => [
          `diff ${path}`,
          ...hunks.flatMap(({ oldStart, newStart, lines }) => [`@@ ${oldStart} ${newStart}`, ...lines]),
        ]),
      ])}`;
    case 'plan':
      return `${where} plan${more(item.entries.map(({ text, state }) => `${state}: ${text}`))}`;
    case 'question':
      return `${where} ${item.kind} ${item.id.slice(0, 8)}, ${item.state}: ${oneLine(item.text)}${more([
        ...item.options.map(
          ({ id, label, description, refuses }) =>
            `${id}: ${label}${description ? ` - ${description}` : ''}${flag(refuses, 'refuses')}`,
        ),
        `${item.tool ? `about ${item.tool}` : 'about no tool'}${flag(item.multiple, 'multiple')}${flag(item.freeText, 'text')}`,
        ...(item.answer ? [`answer ${JSON.stringify(item.answer)}`] : []),
      ])}`;
    case 'usage':
      return `${where} usage: ${item.inputTokens} in, ${item.outputTokens} out, $${item.costUsd}`;
    case 'turn_end':
      return `${where} end of turn, ${item.state}${item.text === null ? '' : `: ${oneLine(item.text)}`}`;
    case 'notice':
      return `${where} ${item.level}: ${oneLine(item.text)}`;
    case 'raw':
      return `${where} raw${item.stream ? ` ${item.stream}` : ''}: ${cut(oneLine(item.text))}`;
    default:
      return item satisfies never;
  }
}

export const shownAll = (items: readonly Item[], { format, sessionId, model, usage, asking }: Readonly<Summary>): string =>
  `${[
    ...items.map(shown),
    '',
    `${format} ${model ?? 'of unknown model'}, session ${sessionId ?? 'unknown'}`,
    `${usage.inputTokens} in, ${usage.outputTokens} out, $${usage.costUsd}${asking ? `, asks ${asking.id}` : ''}`,
  ].join('\n')}\n`;
