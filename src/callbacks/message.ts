/** One callback: the queue message, and the signed request made of it (Standard Webhooks 1.0). */

import { Webhook } from 'standardwebhooks';
import { type CallbackPayload, type Execution, isTerminal, type TerminalStatus, utf8Bytes } from '../../protocol/index.ts';
import type { CallbackFacts } from '../core/callback.ts';
import type { CallbackMessage } from '../core/callback-message.ts';

/**
 * The platform accepts 128 KB (128,000 bytes or more), including some overhead of its own. A larger
 * message could never be sent. Command, labels and the last output of a job can exceed it together,
 * since escaping doubles them in the worst case.
 */
export const CALLBACK_MESSAGE_BYTES_MAX = 120_000;

/** Length of a text after it was cut. */
export const CALLBACK_TEXT_CHARS_MAX = 1024;

export function callbackMessage(callback: CallbackFacts, tenant: string, execution: Execution): CallbackMessage {
  const whole = compose(callback, tenant, execution, []);
  if (fits(whole)) return whole;
  const shorter = shorten(execution);
  const short = compose(callback, tenant, shorter.execution, shorter.cut);
  if (fits(short)) return short;
  const { execution: emptied, cut } = empty(shorter.execution);
  return compose(callback, tenant, emptied, [...shorter.cut, ...cut]);
}

/** As the platform counts it: the body is a string within JSON. */
const fits = (message: CallbackMessage): boolean => utf8Bytes(JSON.stringify(message)) <= CALLBACK_MESSAGE_BYTES_MAX;

function compose(
  { id, url, event, offset, createdAt }: CallbackFacts,
  tenant: string,
  execution: Execution,
  cut: readonly string[],
): CallbackMessage {
  const { session } = execution;
  const happened = event === 'settled' ? verdictOf(execution) : { type: event, at: createdAt };
  const payload: CallbackPayload = {
    type: `execution.${happened.type}`,
    timestamp: new Date(happened.at).toISOString(),
    data: { tenant, session, execution, offset, ...(cut.length > 0 ? { cut: [...cut] } : {}) },
  };
  return { version: 1, id, tenant, session, execution: execution.id, url, body: JSON.stringify(payload) };
}

function verdictOf({ id, status, endedAt, createdAt }: Execution): { type: TerminalStatus; at: number } {
  if (!isTerminal(status)) throw new Error(`${id} is ${status}: it has no verdict to report`);
  return { type: status, at: endedAt ?? createdAt };
}

/** Cuts long texts: the folder, and what the job or its wrapper reported. */
function shorten(execution: Execution): { execution: Execution; cut: string[] } {
  const cut: string[] = [];
  const fields = Object.entries(execution).map(([name, value]) => {
    if (typeof value !== 'string' || value.length <= CALLBACK_TEXT_CHARS_MAX) return [name, value];
    cut.push(name);
    // Not between the halves of a surrogate pair.
    return [name, value.slice(0, CALLBACK_TEXT_CHARS_MAX).replace(/[\uD800-\uDBFF]$/, '')];
  });
  return { execution: Object.fromEntries(fields) as Execution, cut };
}

/** A question has up to 16 KiB, which escaping can multiply. */
function empty({ asking, ...execution }: Execution): { execution: Execution; cut: string[] } {
  return {
    execution: { ...execution, command: [], labels: {} },
    cut: ['command', 'labels', ...(asking ? ['asking'] : [])],
  };
}

/** Whether a value from the queue is a callback message of a known version. */
export function isCallbackMessage(value: unknown): value is CallbackMessage {
  if (typeof value !== 'object' || value === null) return false;
  const message = value as Record<string, unknown>;
  const texts = ['id', 'tenant', 'session', 'execution', 'url', 'body'];
  return message.version === 1 && texts.every((name) => typeof message[name] === 'string');
}

/**
 * `keys`: all valid keys, newest first. The receiver may know any of them, which allows rotation.
 * `now`: milliseconds.
 */
export function signedHeaders({ id, body }: CallbackMessage, keys: readonly string[], now: number): Record<string, string> {
  const at = new Date(now);
  return {
    'content-type': 'application/json',
    'user-agent': 'Holdfast-Callback/1',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now / 1000)),
    'webhook-signature': keys.map((key) => new Webhook(key).sign(id, at, body)).join(' '),
  };
}
