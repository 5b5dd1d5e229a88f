/** Goal: a credential is found where it was put, counts where it should, and is nowhere else. */

import { beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError, readTicket } from '../../../client/index.ts';
import { refusalReason, signInProblem } from '../../../dashboard/src/app/access.ts';
import {
  cleanKey,
  dropCredential,
  dropLeftTicket,
  dropTickets,
  hasKey,
  isSendableKey,
  keepCredential,
  memoryStorage,
  readCredential,
  takeTicket,
} from '../../../dashboard/src/app/credential.ts';

const key = { kind: 'key', apiKey: 'hf_1' } as const;
const ticket = { kind: 'ticket', ticket: 'a.b.c', session: 's1' } as const;

describe('keeping', () => {
  let storage = memoryStorage();
  beforeEach(() => {
    storage = memoryStorage();
  });

  it('[K1] a ticket counts for its session, before the key; elsewhere the key does', () => {
    expect(readCredential(storage, 's1')).toBeNull();
    keepCredential(storage, key);
    keepCredential(storage, ticket);
    expect(readCredential(storage, 's1')).toEqual(ticket);
    expect(readCredential(storage, 's2')).toEqual(key);
    expect(readCredential(storage, null)).toEqual(key);
  });

  it('[K3] a ticket goes when its session is left, where a key is there to read on with', () => {
    keepCredential(storage, ticket);
    dropLeftTicket(storage, ticket, null);
    expect(readCredential(storage, 's1')).toEqual(ticket);
    keepCredential(storage, key);
    dropLeftTicket(storage, key, null);
    dropLeftTicket(storage, null, null);
    dropLeftTicket(storage, ticket, 's1');
    expect(readCredential(storage, 's1')).toEqual(ticket);
    dropLeftTicket(storage, ticket, 's2');
    expect(readCredential(storage, 's1')).toEqual(key);
    expect(hasKey(storage)).toBe(true);
  });

  it('[K3] all tickets go together, and nothing else does', () => {
    storage.setItem('other', 'x');
    keepCredential(storage, key);
    for (const session of ['s1', 's2', 's3']) keepCredential(storage, { ...ticket, session });
    dropTickets(storage);
    expect(['s1', 's2', 's3'].map((session) => readCredential(storage, session))).toEqual([key, key, key]);
    expect(storage.getItem('other')).toBe('x');
  });

  it('a ticket names whose session it shows', () => {
    const of = (claims: object): string => `a.${btoa(JSON.stringify(claims))}.c`;
    expect([of({ sub: 'globex' }), of({}), 'x'].map((ticket) => readTicket(ticket).tenant)).toEqual(['globex', null, null]);
  });

  it('dropping one leaves the other', () => {
    keepCredential(storage, key);
    keepCredential(storage, ticket);
    dropCredential(storage, ticket);
    expect(readCredential(storage, 's1')).toEqual(key);
    dropCredential(storage, key);
    expect(readCredential(storage, 's1')).toBeNull();
  });
});

describe('[K2] takeTicket', () => {
  it.each([
    ['#ticket=a.b-_c', { ticket: 'a.b-_c', hash: '' }],
    ['#ticket=a.b.c&L120', { ticket: 'a.b.c', hash: '#L120' }],
    ['#L120&ticket=a.b.c', { ticket: 'a.b.c', hash: '#L120' }],
    ['#L120', null],
    ['#ticket=', null],
    ['', null],
  ])('%s', (hash, expected) => {
    expect(takeTicket(hash)).toEqual(expected);
  });
});

it('readTicket reads exp of a JWT, and returns null for anything else', () => {
  const jwt = `e30.${btoa(JSON.stringify({ exp: 1_763_650_000, sid: 'ü?>' }))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')}.x`;
  expect(readTicket(jwt).expiresAt).toBe(1_763_650_000_000);
  for (const none of ['', 'abc', 'a.b.c', `a.${btoa('{}')}.c`, `a.${btoa('null')}.c`])
    expect(readTicket(none).expiresAt).toBeNull();
});

it('readTicket reads what a link is bound to, and nothing from one that reads all of its session', () => {
  const ticketOf = (claims: unknown): string => `e30.${btoa(JSON.stringify(claims))}.x`;
  expect(readTicket(ticketOf({ sid: 's', eid: 'e1' })).execution).toBe('e1');
  for (const none of ['', 'a.b.c', ticketOf({ sid: 's' }), ticketOf({ eid: 7 }), ticketOf(null), ticketOf('eid')])
    expect(readTicket(none).execution).toBeNull();
});

it('a pasted key is freed of what came along', () => {
  for (const pasted of [' hf_1\n', '"hf_1"', "'hf_1'", 'HOLDFAST_API_KEY=hf_1', 'export HOLDFAST_API_KEY="hf_1"'])
    expect(cleanKey(pasted)).toBe('hf_1');
  expect(['hf_1', 'a=b', 'a b', 'schlüssel', 'a\nb'].map(isSendableKey)).toEqual([true, true, false, false, false]);
});

it('only a refusal of the credential itself ends it', () => {
  expect(refusalReason(401, { reason: 'ticket_expired' })).toBe('expired');
  expect(refusalReason(401, { reason: 'ticket_invalid' })).toBe('refused');
  expect(refusalReason(401, null)).toBe('refused');
  expect(refusalReason(401, { reason: 'ticket_scope' })).toBeNull();
  expect(refusalReason(403, { reason: 'ticket_expired' })).toBeNull();
});

it('each cause of an unusable key has its own message', () => {
  const words = (['unauthorized', 'not_configured', 'unreachable', 'timeout', 'bad_answer'] as const).map((code) =>
    signInProblem(new HoldfastError({ code, message: 'the answer is not JSON', retryable: false, status: 0 })),
  );
  expect(new Set(words).size).toBe(5);
  expect(words[0]).toContain('does not know that key');
  expect(words[2]).toContain('could not be reached');
  expect(words[4]).toContain('the answer is not JSON');
});
