/**
 * The consumer of the callback queue: makes the request and settles the queue message. Shell only;
 * attempts.ts decides.
 *
 * A message that keeps failing reaches the dead-letter queue by the platform's rules, when its
 * retries run out. A message whose receiver is gone (410) is logged and acked. Messages are settled
 * separately, so one never repeats another, and sent concurrently, so no message waits for another.
 */

import { retryAfterMs } from '../../protocol/index.ts';
import type { CallbackMessage } from '../core/callback-message.ts';
import { type Config, readConfig } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { type LogFields, logLine } from '../platform/log.ts';
import { checkCallbackUrl } from './address.ts';
import { type AttemptOutcome, afterAttempt, CALLBACK_TIMEOUT_MS } from './attempts.ts';
import { isCallbackMessage, signedHeaders } from './message.ts';

export type SendCallback = (url: string, init: RequestInit) => Promise<Response>;

export async function deliverCallbacks(
  batch: Pick<MessageBatch<unknown>, 'messages'>,
  env: Env,
  send: SendCallback = (url, init) => fetch(url, init),
): Promise<void> {
  const configured = readConfig(env);
  const config = configured.ok ? configured.config : null;
  await Promise.all(batch.messages.map((message) => deliver(message, config, send)));
}

async function deliver(message: Message<unknown>, config: Config | null, send: SendCallback): Promise<void> {
  const { body, attempts } = message;
  const outcome: AttemptOutcome = isCallbackMessage(body) ? await attempt(body, config, send) : { kind: 'unreadable' };
  const next = afterAttempt(outcome, attempts);
  const fields = { ...namesOf(body), attempt: attempts, outcome: describe(outcome) };
  switch (next.kind) {
    case 'done':
      logLine('info', 'callback_delivered', fields);
      return message.ack();
    case 'retry':
      logLine('warn', 'callback_failed', { ...fields, retryInSeconds: next.delaySeconds });
      return message.retry({ delaySeconds: next.delaySeconds });
    case 'give_up':
      logLine('error', 'callback_given_up', { ...fields, reason: next.reason });
      return message.ack();
    default:
      next satisfies never;
  }
}

async function attempt(message: CallbackMessage, config: Config | null, send: SendCallback): Promise<AttemptOutcome> {
  const keys = (config?.callbacks.keys ?? []).filter(({ tenant }) => tenant === message.tenant).map(({ key }) => key);
  if (!config || keys.length === 0) return { kind: 'unsigned' };
  const refusal = checkCallbackUrl(message.url, config.callbacks.allowPrivate);
  if (refusal) return { kind: 'refused', reason: refusal };
  try {
    const response = await send(message.url, {
      method: 'POST',
      headers: signedHeaders(message, keys, Date.now()),
      body: message.body,
      // A redirect would lead to an address that was not checked.
      redirect: 'manual',
      signal: AbortSignal.timeout(CALLBACK_TIMEOUT_MS),
    });
    // Only the status is used. A failed cancel of the body must not fail the attempt.
    response.body?.cancel().catch(() => {});
    const { status, headers } = response;
    return { kind: 'answered', status, retryAfterMs: retryAfterMs(headers.get('retry-after'), Date.now()) };
  } catch (error) {
    // Without the message, because the platform's may hold the address.
    return { kind: 'unreachable', reason: (error as Error)?.name === 'TimeoutError' ? 'timeout' : 'connection_failed' };
  }
}

const namesOf = (body: unknown): LogFields => {
  if (!isCallbackMessage(body)) return {};
  const { id, tenant, session, execution } = body;
  return { callback: id, tenant, session, execution };
};

/** For the log. Without the address, whose path may hold a secret. */
function describe(outcome: AttemptOutcome): string {
  switch (outcome.kind) {
    case 'answered':
      return `answered ${outcome.status}`;
    case 'unreachable':
      return outcome.reason;
    case 'refused':
      return `refused: the address ${outcome.reason}`;
    case 'unsigned':
    case 'unreadable':
      return outcome.kind;
    default:
      return outcome satisfies never;
  }
}
