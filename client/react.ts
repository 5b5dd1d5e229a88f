/**
 * Hooks for React 18 and later, and for Preact by way of `preact/compat`.
 *
 * Components that ask for the same share one stream (stream-registry): what makes two askings the same is their data, and the client by identity,
 * never the identity of a function, since those are often made anew with every rendering. The functions of the newest rendering are used.
 */

import { useCallback, useEffect, useRef, useSyncExternalStore } from 'react';
import type { Status } from '../protocol/index.ts';
import type { EventsOptions, HoldfastClient } from './http/types.ts';
import { INITIAL_SNAPSHOT, type SessionSnapshot, type StreamHooks } from './react/session-store.ts';
import { StreamRegistry } from './react/stream-registry.ts';
import type { SessionStreamOptions } from './stream/options.ts';
import { connectSession, type SessionStream } from './stream/session-stream.ts';

export type { SessionSnapshot } from './react/session-store.ts';

/** A client, or what `connectSession` needs to connect by itself. */
export type HookCredential =
  | { client: HoldfastClient; url?: never; getTicket?: never }
  | { client?: never; url: string; getTicket: NonNullable<SessionStreamOptions['getTicket']> };

export type UseSessionOptions = HookCredential &
  Omit<EventsOptions, 'signal' | 'onState' | 'onControl' | 'WebSocketImpl'> & {
    session: string;
    /** Default 5,000. The newest ones are kept; `dropped` counts the others. */
    maxEvents?: number;
    /** False: no stream is opened or held. Default true. */
    enabled?: boolean;
    /** Sets streams apart that would be shared otherwise: two users on one page, for example. */
    scope?: string;
  };

export type UseExecutionOptions = Omit<UseSessionOptions, 'execution'> & HookCredential & { execution: string };

export interface UseSession extends SessionSnapshot {
  /** Makes a new connection at once, after a failure too. */
  reconnect(): void;
}

export interface UseExecution extends Omit<UseSession, 'statuses'> {
  /** Null until it is known. */
  status: Status | null;
  /** Only with `client`, as the two below. Refused for a client that has a ticket. */
  interrupt?: (request?: { reason?: string; force?: boolean }) => ReturnType<HoldfastClient['interrupt']>;
  /** Text for the job's stdin. */
  send?: (data: string) => Promise<void>;
}

/** Every client gets a number with its first use. */
const clientNumbers = new WeakMap<object, number>();
let clientsSeen = 0;

function numberOf(client: object): number {
  const known = clientNumbers.get(client);
  if (known !== undefined) return known;
  clientsSeen += 1;
  clientNumbers.set(client, clientsSeen);
  return clientsSeen;
}

/** What decides whether two askings are the same. */
function keyOf({
  client,
  url,
  session,
  execution,
  types,
  after,
  tail,
  generation,
  flow,
  maxEvents,
  scope,
}: UseSessionOptions): string {
  return JSON.stringify([
    client ? numberOf(client) : url,
    session,
    execution === undefined ? [] : [execution].flat(),
    types ?? [],
    after ?? null,
    tail ?? null,
    generation ?? null,
    flow ?? null,
    maxEvents ?? null,
    scope ?? null,
  ]);
}

/** The credential is asked of whoever asked last. `fresh`: the place that was asked for is one of a log that is gone. */
function open(asked: () => UseSessionOptions, hooks: StreamHooks, fresh: boolean): SessionStream {
  const { client, url, getTicket, session, maxEvents: _max, enabled: _enabled, scope: _scope, ...rest } = asked();
  const options = { ...rest, ...hooks };
  if (fresh) {
    delete options.after;
    delete options.generation;
  }
  if (client) return client.events(session, options);
  return connectSession({ ...options, url, session, getTicket: () => (asked().getTicket ?? getTicket)() });
}

const registry = new StreamRegistry<UseSessionOptions>(open);

export function useSession(options: UseSessionOptions): UseSession {
  const key = options.enabled === false ? '' : keyOf(options);
  const latest = useRef(options);
  // Before the subscription below, whose effect runs after this one.
  useEffect(() => {
    latest.current = options;
    registry.renew(key, options);
  });
  const subscribe = useCallback(
    (listener: () => void) => (key === '' ? () => {} : registry.hold(key, latest.current, listener)),
    [key],
  );
  const snapshot = useSyncExternalStore(
    subscribe,
    () => registry.snapshot(key),
    () => INITIAL_SNAPSHOT,
  );
  const reconnect = useCallback(() => registry.store(key)?.reconnect(), [key]);
  return { ...snapshot, reconnect };
}

export function useExecution(options: UseExecutionOptions): UseExecution {
  const { statuses, ...rest } = useSession(options as UseSessionOptions);
  const { client, session, execution } = options;
  const interrupt = useCallback(
    async (request: { reason?: string; force?: boolean } = {}) => needed(client).interrupt(session, execution, request),
    [client, session, execution],
  );
  const send = useCallback(
    async (data: string) => needed(client).sendInput(session, execution, data),
    [client, session, execution],
  );
  return { ...rest, status: statuses.get(execution) ?? null, ...(client ? { interrupt, send } : {}) };
}

function needed(client: HoldfastClient | undefined): HoldfastClient {
  if (!client) throw new TypeError('a client is needed');
  return client;
}
