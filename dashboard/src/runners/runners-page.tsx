/**
 * The pools of the tenant: who is connected, what runs where, and what waits for what. A chunk of
 * its own; its heading is in `app/runners-route.tsx`.
 *
 *   describe    words and order (pure)
 *   pool        one pool: figures, runners, the first that wait
 *   join        the commands that make a key and join a machine
 *
 * A read of a pool wakes it and has all of its runners. So only the pools that are open are read
 * whole; of all others the list has the figures.
 */

import './runners.css';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { HoldfastClient, HoldfastError } from '../../../client/index.ts';
import type { PoolSummary, PoolView } from '../../../protocol/index.ts';
import { callFailureText } from '../app/access.ts';
import { useApp } from '../app/context.ts';
import { useListKeys } from '../app/list-frame.tsx';
import type { ListOf } from '../app/list-state.ts';
import { useLive } from '../app/preferences.ts';
import { asHoldfastError, useList } from '../app/use-list.ts';
import { Button, Icon } from '../ui/index.ts';
import { FirstMachine, JoinMachine } from './join.tsx';
import { Pool } from './pool.tsx';

/** So many pools are open at first. */
const OPEN_MAX = 4;

export interface PoolItem {
  summary: PoolSummary;
  /** Null while the pool is closed, and when its read failed. */
  view: PoolView | null;
  error: HoldfastError | null;
}

/** Which pools the reader has opened or closed. */
type Choices = ReadonlyMap<string, boolean>;

const isOpen = (choices: Choices, pool: string, index: number): boolean => choices.get(pool) ?? index < OPEN_MAX;

const OF: ListOf<PoolItem> = { idOf: ({ summary }) => summary.id, orderOf: () => 0 };

/** Nothing is connected and nothing waits: what can change is a machine that joins. */
const isQuiet = (items: readonly PoolItem[]): boolean =>
  items.every(({ summary: { runners, busy, waiting } }) => runners + busy + waiting === 0);

export async function readPools(
  client: HoldfastClient,
  choices: Choices,
  signal: AbortSignal,
): Promise<{ data: PoolItem[]; next: null }> {
  const pools = await client.pools({ signal });
  const data = pools.map(async (summary, index): Promise<PoolItem> => {
    if (!isOpen(choices, summary.id, index)) return { summary, view: null, error: null };
    try {
      return { summary, view: await client.pool(summary.id, { signal }), error: null };
    } catch (error) {
      return { summary, view: null, error: asHoldfastError(error) };
    }
  });
  return { data: await Promise.all(data), next: null };
}

export default function RunnersPage() {
  const { client, registerKeys } = useApp();
  const [live, setLive] = useLive();
  const [choices, setChoices] = useState<Choices>(new Map());
  const chosen = useRef(choices);
  chosen.current = choices;
  const root = useRef<HTMLDivElement>(null);
  const { list, error, refreshing, refresh } = useList<PoolItem>({
    client,
    name: 'pools',
    of: OF,
    fetchPage: useCallback(({ signal }) => readPools(client, chosen.current, signal), [client]),
    live,
    isBusy: () => false,
    isQuiet,
  });
  useListKeys(root, refresh, '.run-link');
  useEffect(
    () => registerKeys([{ keys: ['l'], label: 'Live refresh on or off', run: () => setLive(!live) }]),
    [registerKeys, setLive, live],
  );

  const toggle = (pool: string, open: boolean): void => {
    chosen.current = new Map(chosen.current).set(pool, open);
    setChoices(chosen.current);
    if (open) refresh();
  };
  const pools = list?.items ?? [];
  return (
    <div class="pools" ref={root}>
      <div class="list-bar">
        <p class="muted pools-intro">Machines of yours that dial in and run what is started in their pool.</p>
        <div class="list-tools">
          <Button size="small" kind="ghost" pressed={live} icon={live ? 'play' : 'pause'} onClick={() => setLive(!live)}>
            Live
          </Button>
          <Button size="small" kind="ghost" icon="refresh" aria-label="Refresh (r)" disabled={refreshing} onClick={refresh} />
        </div>
      </div>
      {error && list ? (
        <p class="notice" data-kind="warn" role="status">
          <Icon name="warning" />
          <span>The pools could not be refreshed: {callFailureText(error)}. What you see may be old.</span>
          <Button size="small" onClick={refresh}>
            Try again
          </Button>
        </p>
      ) : null}
      {pools.map(({ summary, view, error }, index) => (
        <Pool
          key={summary.id}
          summary={summary}
          view={view}
          error={error}
          open={isOpen(choices, summary.id, index)}
          onOpen={(open) => toggle(summary.id, open)}
          onRetry={refresh}
        />
      ))}
      {pools.length > 0 ? (
        <JoinMachine />
      ) : (
        <div class="list-empty">
          {list ? (
            <FirstMachine />
          ) : error ? (
            <>
              <p class="list-failed">
                <Icon name="warning" />
                <span>The pools could not be loaded: {callFailureText(error)}.</span>
              </p>
              <Button onClick={refresh} disabled={refreshing}>
                {refreshing ? 'Trying …' : 'Try again'}
              </Button>
            </>
          ) : (
            <p class="muted appear-late">Loading …</p>
          )}
        </div>
      )}
    </div>
  );
}
