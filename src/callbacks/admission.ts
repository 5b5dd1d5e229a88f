/** Whether a start may ask for a callback. One that cannot be delivered is refused (CB8, CB9). */

import type { Failure } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { checkCallbackUrl } from './address.ts';

export function checkCallback(
  { CALLBACKS }: Pick<Env, 'CALLBACKS'>,
  { callbacks }: Pick<Config, 'callbacks'>,
  tenant: string,
  url: string,
): Failure | null {
  const refusal = checkCallbackUrl(url, callbacks.allowPrivate);
  if (refusal) return failure('bad_request', `callback.url: ${refusal}`, { field: 'callback.url' });
  if (!callbacks.keys.some((key) => key.tenant === tenant)) {
    return failure('bad_request', 'callback: this tenant has no key in HOLDFAST_CALLBACK_KEYS to sign it with', {
      field: 'callback',
    });
  }
  if (!CALLBACKS) return failure('bad_request', 'callback: this deployment has no queue for it (CALLBACKS)', { field: 'callback' });
  return null;
}
