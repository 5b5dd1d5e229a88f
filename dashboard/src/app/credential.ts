/**
 * Credentials and their storage: only the tab's session storage. It ends with the tab, no other
 * origin sees it, and it is not sent automatically as a cookie would be.
 *
 * K1  A ticket is used only for the session that it was opened for, and there it has priority over
 *     the key: a ticket link asks for what it shows.
 * K2  A ticket is in the address bar only until it is read: the address is shared and kept in the
 *     history.
 * K3  A ticket shows another person's session in place of the user's own. So with a key in the tab
 *     it is dropped when its session is left, and entering a key drops every ticket.
 */

export type Credential = { kind: 'key'; apiKey: string } | { kind: 'ticket'; ticket: string; session: string };

/** The used part of a Storage. */
export type CredentialStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

const KEY_ITEM = 'holdfast.apiKey';
const TICKET_ITEMS = 'holdfast.ticket.';
const ticketItem = (session: string): string => TICKET_ITEMS + session;

/** `session`: the session of the page, if any. */
export function readCredential(storage: CredentialStorage, session: string | null): Credential | null {
  const ticket = session === null ? null : storage.getItem(ticketItem(session));
  if (ticket && session !== null) return { kind: 'ticket', ticket, session }; // K1
  const apiKey = storage.getItem(KEY_ITEM);
  return apiKey ? { kind: 'key', apiKey } : null;
}

export function keepCredential(storage: CredentialStorage, credential: Credential): void {
  if (credential.kind === 'key') storage.setItem(KEY_ITEM, credential.apiKey);
  else storage.setItem(ticketItem(credential.session), credential.ticket);
}

export function dropCredential(storage: CredentialStorage, credential: Credential): void {
  if (credential.kind === 'key') storage.removeItem(KEY_ITEM);
  else storage.removeItem(ticketItem(credential.session));
}

/** K3: `left` is the credential of the previous page. */
export function dropLeftTicket(storage: CredentialStorage, left: Credential | null, session: string | null): void {
  if (left?.kind === 'ticket' && left.session !== session && hasKey(storage)) dropCredential(storage, left);
}

/** K3. */
export function dropTickets(storage: CredentialStorage): void {
  const names = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? '');
  for (const name of names) if (name.startsWith(TICKET_ITEMS)) storage.removeItem(name);
}

/** The tab's user has an API key, too. */
export const hasKey = (storage: CredentialStorage): boolean => storage.getItem(KEY_ITEM) !== null;

export const sameCredential = (a: Credential | null, b: Credential | null): boolean => JSON.stringify(a) === JSON.stringify(b);

/** K2: the ticket of `#ticket=…`, and the hash without it (`#ticket=…&L120` keeps `#L120`). */
export function takeTicket(hash: string): { ticket: string; hash: string } | null {
  const parts = hash.replace(/^#/, '').split('&');
  const found = parts.find((part) => part.startsWith('ticket='));
  const ticket = found?.slice('ticket='.length) ?? '';
  if (ticket === '') return null;
  const rest = parts.filter((part) => part !== found).join('&');
  return { ticket, hash: rest === '' ? '' : `#${rest}` };
}

/** Removes what a pasted key may include: spaces, quotes, the name of the variable. */
export function cleanKey(text: string): string {
  const unquoted = text.trim().replace(/^(?:export\s+)?HOLDFAST_API_KEY=/, '');
  return unquoted.replace(/^(["'])(.*)\1$/, '$2').trim();
}

/** A key is sent in a header, which takes visible ASCII only. */
export const isSendableKey = (key: string): boolean => /^[\x21-\x7e]+$/.test(key);

/** A browser may forbid storage; a credential then lasts as long as the page. */
export function sessionStorageOr(make: () => CredentialStorage): CredentialStorage {
  try {
    const storage = window.sessionStorage;
    storage.getItem(KEY_ITEM);
    return storage;
  } catch {
    return make();
  }
}

export function memoryStorage(): CredentialStorage {
  const items = new Map<string, string>();
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => void items.set(name, value),
    removeItem: (name) => void items.delete(name),
    key: (index) => [...items.keys()][index] ?? null,
    get length() {
      return items.size;
    },
  };
}
