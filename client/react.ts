/**
 * Hooks for React 18 and later, and for Preact through `preact/compat`.
 *
 * Components with the same options share one stream (stream-registry). Options are the same when
 * their data is equal and the client is identical. Functions are not compared, since many programs
 * create them again in every rendering; the functions of the newest rendering are called.
 */

import { useCallback, useEffect, useRef, useSyncExternalStore } from 'react';
import type { InputRequest, Status } from '../protocol/index.ts';
import type { EventsOptions, HoldfastClient } from './http/types.ts';
import { INITIAL_SNAPSHOT, type SessionSnapshot, type StreamHooks } from './react/session-store.ts';
import { StreamRegistry } from './react/stream-registry.ts';
import type { SessionStreamOptions } from './stream/options.ts';
import { connectSession, type SessionStream } from './stream/session-stream.ts';

export type { SessionSnapshot } from './react/session-store.ts';

/** A client, or the credential that `connectSession` needs. */
export type HookCredential =
  | { client: HoldfastClient; url?: never; getTicket?: never }
  | { client?: never; url: string; getTicket: NonNullable<SessionStreamOptions['getTicket']> };

export type UseSessionOptions = HookCredential &
  Omit<EventsOptions, 'signal' | 'onState' | 'onControl' | 'WebSocketImpl'> & {
    session: string;
    /** Default 5,000. Keeps the newest events; `dropped` counts the others. */
    maxEvents?: number;
    /** False: opens no stream and keeps none. Default true. */
    enabled?: boolean;
    /**
     * Separates streams that would be shared otherwise, for example those of two users on one page.
     */
    scope?: string;
  };

export type UseExecutionOptions = Omit<UseSessionOptions, 'execution'> & HookCredential & { execution: string };

export interface UseSession extends SessionSnapshot {
  /** Connects again at once, after a failure too. */
  reconnect(): void;
}

export interface UseExecution extends Omit<UseSession, 'statuses'> {
  /** Null while it is unknown. */
  status: Status | null;
  /** Only with `client`, as `send`. The server refuses it to a client with a ticket. */
  interrupt?: (request?: { reason?: string; force?: boolean }) => ReturnType<HoldfastClient['interrupt']>;
  /** Text for the job's stdin. */
  send?: (input: string | InputRequest) => Promise<void>;
}

/** A number for each client, assigned on its first use. */
const clientNumbers = new WeakMap<object, number>();
let clientsSeen = 0;

function numberOf(client: object): number {
  const known = clientNumbers.get(client);
  if (known !== undefined) return known;
  clientsSeen += 1;
  clientNumbers.set(client, clientsSeen);
  return clientsSeen;
}

/** Equal keys share a stream. */
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

/**
 * `newest` returns the options of the newest rendering. `fresh`: the options name a place in a log
 * that was deleted.
 */
function open(newest: () => UseSessionOptions, hooks: StreamHooks, fresh: boolean): SessionStream {
  const { client, url, getTicket, session, maxEvents: _max, enabled: _enabled, scope: _scope, ...rest } = newest();
  const options = { ...rest, ...hooks };
  if (fresh) {
    delete options.after;
    delete options.generation;
  }
  if (client) return client.events(session, options);
  return connectSession({ ...options, url, session, getTicket: () => (newest().getTicket ?? getTicket)() });
}

const registry = new StreamRegistry<UseSessionOptions>(open);

export function useSession(options: UseSessionOptions): UseSession {
  const key = options.enabled === false ? '' : keyOf(options);
  const latest = useRef(options);
  // Declared before the subscription, so that this effect runs first.
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
    async (request: { reason?: string; force?: boolean } = {}) => required(client).interrupt(session, execution, request),
    [client, session, execution],
  );
  const send = useCallback(
    async (input: string | InputRequest) => required(client).sendInput(session, execution, input),
    [client, session, execution],
  );
  return { ...rest, status: statuses.get(execution) ?? null, ...(client ? { interrupt, send } : {}) };
}

function required(client: HoldfastClient | undefined): HoldfastClient {
  if (!client) throw new TypeError('a client is needed');
  return client;
}
