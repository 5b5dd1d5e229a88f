/** The client of a credential, and the meaning of a refusal. */

import { createClient, type HoldfastClient, HoldfastError, readTicket } from '../../../client/index.ts';
import type { Credential } from './credential.ts';

/** The coordinator decides; the page offers only what it would not refuse. */
export function rightsOn(credential: Credential): { input: boolean; interrupt: boolean } {
  if (credential.kind === 'key') return { input: true, interrupt: true };
  const { can } = readTicket(credential.ticket);
  return { input: can.includes('input'), interrupt: can.includes('interrupt') };
}

export type RefusalReason = 'expired' | 'refused';

/** A person is waiting: report an outage soon; a button retries. */
const RETRY_BUDGET_MS = 8_000;

/**
 * A stream requests a ticket in each of its own attempts, so one try is enough: retries in here
 * would hide from it that the network is back. A ticket is a small answer; if it takes longer, the
 * connection is dead.
 */
export const ONE_QUICK_TRY = { retryBudgetMs: 0, attemptTimeoutMs: 8_000 };

/** `ticket_scope`: the ticket is valid, but not for this. Null: the credential is not the cause. */
export function refusalReason(status: number, problem: unknown): RefusalReason | null {
  if (status !== 401) return null;
  const reason = (problem as { reason?: unknown } | null)?.reason;
  if (reason === 'ticket_scope') return null;
  return reason === 'ticket_expired' ? 'expired' : 'refused';
}

export function createPageClient(
  credential: Credential,
  onRefused: (reason: RefusalReason) => void,
  fetch: typeof globalThis.fetch = (...call) => globalThis.fetch(...call),
  attempts: { retryBudgetMs: number; attemptTimeoutMs?: number } = { retryBudgetMs: RETRY_BUDGET_MS },
): HoldfastClient {
  const watched: typeof globalThis.fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (response.status === 401) {
      const problem: unknown = await response
        .clone()
        .json()
        .catch(() => null);
      const reason = refusalReason(response.status, problem);
      if (reason) onRefused(reason);
    }
    return response;
  };
  return createClient({
    url: window.location.origin,
    ...(credential.kind === 'key' ? { apiKey: credential.apiKey } : { ticket: credential.ticket }),
    fetch: watched,
    ...attempts,
  });
}

/** Null: the key is valid. Otherwise the reason, for a person. */
export async function tryKey(
  apiKey: string,
  fetch: typeof globalThis.fetch = (...call) => globalThis.fetch(...call),
): Promise<string | null> {
  try {
    await createClient({ url: window.location.origin, apiKey, fetch, retryBudgetMs: 0, attemptTimeoutMs: 10_000 }).sessions({
      limit: 1,
    });
    return null;
  } catch (error) {
    return signInProblem(error);
  }
}

/** Why a call failed, as the end of a sentence. */
export function callFailureText({ code, message }: HoldfastError): string {
  if (code === 'unreachable') return 'no connection to the deployment';
  if (code === 'timeout') return 'the deployment did not answer in time';
  return message.replace(/\.$/, '');
}

export function signInProblem(error: unknown): string {
  if (!(error instanceof HoldfastError)) return 'Something went wrong in this page. Reload it and try again.';
  switch (error.code) {
    case 'unauthorized':
      return 'This deployment does not know that key. Check that it is complete, and meant for this address.';
    case 'not_configured':
      return 'This deployment has no API keys yet: its HOLDFAST_API_KEYS is not set.';
    case 'unreachable':
      return 'The deployment could not be reached. Check your network, then try again.';
    case 'timeout':
      return 'The deployment did not answer in time. Try again.';
    default:
      return `The key could not be checked: ${callFailureText(error)}.`;
  }
}
