/**
 * The line of an event other than `output`: a sentence for reports of the coordinator and the
 * wrapper, the text or compact JSON of an agent event. The reason of an abnormal end is in the log
 * itself, where readers look first.
 */

import { gapText, type LoggedEvent } from '../../../client/index.ts';
import { isAgentPart, waitReasonText } from '../../../protocol/index.ts';
import { AGENT, type Kind, STATUS } from './chunk.ts';

type JsonObject = LoggedEvent['data'];

export interface EventLine {
  kind: Kind;
  text: string;
}

/**
 * The text of an `output` event; null without one. In the place of output that is not UTF-8 it says
 * how many bytes there are.
 */
export function outputText({ text, base64, partial }: JsonObject): string | null {
  if (typeof base64 !== 'string') return typeof text === 'string' ? text : null;
  const bytes = (base64.length / 4) * 3 - (base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0);
  if (bytes <= 0) return '';
  const count = bytes === 1 ? '1 byte that is' : `${bytes.toLocaleString('en')} bytes that are`;
  return `[${count} not UTF-8]${partial === true ? '' : '\n'}`;
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const also = (value: unknown, before = ': '): string => (text(value) === null ? '' : `${before}${value}`);

function ended(data: JsonObject): string {
  if (text(data.signal) !== null) return `The job was ended by ${data.signal}`;
  return `The job exited with code ${typeof data.exitCode === 'number' ? data.exitCode : 'unknown'}`;
}

/** What the coordinator waits for until that deadline. */
const waited = (deadline: unknown): string => (deadline === 'interrupt' ? 'answer to the interrupt' : 'wrapper');

const SENTENCES: Readonly<Record<string, (data: JsonObject) => string | null>> = {
  status: (data) => text(data.message) ?? JSON.stringify(data),
  // The bar shows it. A job that reports it four times a second would bury its output.
  progress: () => null,
  error: ({ error, code }) => `error${text(code) === null ? '' : ` ${code}`}: ${text(error) ?? 'unknown'}`,
  interrupted: ({ reason }) => `interrupted${also(reason)}`,
  exit: ended,
  started: ({ command, pid }) => {
    const words = Array.isArray(command) ? command.filter((word) => typeof word === 'string').join(' ') : text(command);
    return `started${words ? `: ${words}` : ''}${typeof pid === 'number' ? ` (pid ${pid})` : ''}`;
  },
  gap: (data) => {
    const gap = gapText(data);
    return gap === null ? null : `${gap}${also(data.reason)}`;
  },
  asking: ({ text: question, options }) => {
    const labels = Array.isArray(options) ? options.map((option) => text((option as JsonObject | null)?.label) ?? '') : [];
    return `asks: ${text(question) ?? ''}${labels.length > 0 ? ` (${labels.join(' / ')})` : ''}`;
  },
  asking_ended: ({ reason }) => `the question was ${reason === 'cancelled' ? 'withdrawn' : 'left without an answer'}`,
  answered: ({ option, options, text: said, by }) => {
    const who = (by as { name?: unknown; id?: unknown } | undefined) ?? {};
    const choice = text(said) ?? (Array.isArray(options) ? options.join(', ') : (text(option) ?? ''));
    return `answered: ${choice}${also(who.name ?? who.id, ' by ')}`;
  },
  interrupt_requested: ({ reason, force }) => `${force === true ? 'stop by force' : 'interrupt'} requested${also(reason)}`,
  wrapper_connected: () => 'wrapper connected',
  wrapper_reconnected: () => 'wrapper connected again',
  wrapper_disconnected: ({ reason, wsCloseCode, wsCloseReason }) => {
    const why = (text(reason) ?? text(wsCloseReason))?.replaceAll('_', ' ') ?? null;
    return `wrapper disconnected${why === null ? '' : `: ${why}`}${typeof wsCloseCode === 'number' ? ` (close code ${wsCloseCode})` : ''}`;
  },
  execution_queued: () => 'queued',
  execution_pending: () => 'preparing',
  execution_waiting: ({ pool, reason }) => `waiting in pool ${text(pool) ?? ''}: ${waitReasonText(reason)}`,
  execution_assigned: ({ name, runner }) => `assigned to runner ${text(name) ?? text(runner) ?? ''}`,
  execution_recalled: ({ message, cause }) =>
    `${text(message) ?? text(cause) ?? 'the assignment ended'}; it waits for another runner`,
  execution_running: () => 'running',
  execution_deadline_renewed: ({ deadline }) => `the coordinator was away; its wait for the ${waited(deadline)} starts again`,
  execution_completed: () => 'completed',
  execution_failed: ({ error, code, reason }) =>
    `failed: ${text(error) ?? text(reason) ?? 'no reason was given'}${text(code) === null ? '' : ` (${code})`}`,
  execution_interrupted: ({ reason, forced }) => `interrupted${also(reason)}${forced === true ? ' (by force)' : ''}`,
};

/** Null: the event is not a line of the log. Total: any data gives a text or null. */
export function describeEvent(event: LoggedEvent): EventLine | null {
  const { type, data } = event;
  const sentence = Object.hasOwn(SENTENCES, type) ? SENTENCES[type] : undefined;
  if (sentence !== undefined) {
    const line = sentence(data);
    return line === null ? null : { kind: STATUS, text: line };
  }
  if (type === 'agent') return { kind: AGENT, text: text(data.text) ?? text(data.message) ?? JSON.stringify(data) };
  if (type === 'agent_part' && isAgentPart(data)) return { kind: AGENT, text: `[part ${data.part} of ${data.parts}] ${data.text}` };
  // A key typed into a terminal would be a line each, and says nothing.
  if (type === 'input' && data.text === undefined && data.sha256 === undefined && data.secret !== true) return null;
  if (type === 'command_ack' || type === 'screen' || type === 'resize') return null;
  return { kind: AGENT, text: `${type} ${JSON.stringify(data)}` };
}
