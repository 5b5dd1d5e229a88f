/**
 * The callback of Holdfast, signed according to Standard Webhooks 1.0. It is accepted only after
 * its signature is verified. Only known fields are read.
 */

import type { CallbackPayload } from '@holdfast/client/protocol';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import * as z from 'zod';

type Execution = CallbackPayload['data']['execution'];

/** The fields that are read here. The compiler checks them against the type that Holdfast sends. */
type Read = Pick<CallbackPayload, 'type' | 'timestamp'> & {
  data: Pick<CallbackPayload['data'], 'session'> & { execution: Pick<Execution, 'id' | 'session'> };
};

const ended = z.object({
  type: z.enum(['execution.completed', 'execution.failed', 'execution.interrupted']),
  timestamp: z.string(),
  data: z.object({ session: z.string(), execution: z.object({ id: z.string(), session: z.string() }) }),
}) satisfies z.ZodType<Read>;

export interface Notice {
  /** The same for every delivery attempt. */
  id: string;
  type: CallbackPayload['type'];
  at: string;
}

export type ReadNotice =
  | { kind: 'forged' }
  | { kind: 'other' }
  | { kind: 'ended'; notice: Notice; execution: Pick<Execution, 'id' | 'session'> };

/** Also refuses a signature older than five minutes, so a stolen copy is of little use. */
export function readNotice(secret: string, headers: Record<string, string>, body: string): ReadNotice {
  let payload: unknown;
  try {
    payload = new Webhook(secret).verify(body, headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return { kind: 'forged' };
    throw error;
  }
  const parsed = ended.safeParse(payload);
  if (!parsed.success) return { kind: 'other' };
  const { type, timestamp, data } = parsed.data;
  return { kind: 'ended', notice: { id: headers['webhook-id'] ?? '', type, at: timestamp }, execution: data.execution };
}
