/** Pools and runners in words, and in which order. Pure. */

import { DEFAULT_POOL, type PoolSummary, type RunnerView } from '../../../protocol/index.ts';
import { formatCount, formatWholeSeconds } from '../ui/index.ts';

const STATE_WORDS: Readonly<Record<RunnerView['state'], string>> = {
  connected: 'Connected',
  draining: 'Draining',
  too_old: 'Too old',
  lost: 'Lost',
  ended: 'Ended',
};

/** A state of a later version is shown as it is. */
export const runnerStateText = (state: string): string =>
  Object.hasOwn(STATE_WORDS, state) ? STATE_WORDS[state as RunnerView['state']] : state.replaceAll('_', ' ');

/** It may be removed. */
export const isGone = ({ state }: Pick<RunnerView, 'state'>): boolean => state === 'lost' || state === 'ended';

/** What the state means for the work of the runner; null when it takes launches. */
export function runnerStateDetail(
  { state, busy, failing }: Pick<RunnerView, 'state' | 'busy' | 'failing'>,
  now: number,
): string | null {
  switch (state) {
    case 'draining':
      return 'takes nothing new';
    case 'too_old':
      return 'gets nothing: upgrade it';
    case 'lost':
      return busy === 0 ? null : 'its jobs go on';
    case 'ended':
      return null;
    default:
      return failing && failing.restUntil > now
        ? `rests for ${formatWholeSeconds(failing.restUntil - now)}: ${failing.count} failed ${failing.count === 1 ? 'launch' : 'launches'} (${failing.code})`
        : null;
  }
}

/** What a run on a runner does; null for one that runs, which has its duration. */
export function runStateText(state: string): string | null {
  if (state === 'running') return null;
  return state === 'ended' ? 'ended, the slot is not free yet' : state.replaceAll('_', ' ');
}

const RANK: Readonly<Record<string, number>> = { lost: 0, too_old: 0, draining: 2, ended: 3 };

/** Those that need a person come first, then by name: `gpu-2` before `gpu-10`. */
export function inOrder(runners: readonly RunnerView[]): RunnerView[] {
  const rank = ({ state, failing }: RunnerView): number => (failing ? 0 : (RANK[state] ?? 1));
  const { compare } = new Intl.Collator('en', { numeric: true });
  return runners.toSorted((a, b) => rank(a) - rank(b) || compare(a.name, b.name) || compare(a.id, b.id));
}

/** `3 connected, 1 lost`; `none` without any. */
export function runnersText(runners: readonly Pick<RunnerView, 'state'>[]): string {
  const counts = new Map<string, number>([
    ['connected', 0],
    ['draining', 0],
    ['too_old', 0],
    ['lost', 0],
    ['ended', 0],
  ]);
  for (const { state } of runners) counts.set(state, (counts.get(state) ?? 0) + 1);
  const words = [...counts].filter(([, count]) => count > 0);
  if (words.length === 0) return 'none';
  return words.map(([state, count]) => `${formatCount(count)} ${runnerStateText(state).toLowerCase()}`).join(', ');
}

export const slotsText = ({ busy, slots }: Pick<PoolSummary, 'busy' | 'slots'>): string =>
  slots === 0 && busy === 0 ? 'none' : `${formatCount(busy)} of ${formatCount(slots)} taken`;

const KEY_FILE = 'runner.key';
const poolFlag = (pool: string): string => (pool === DEFAULT_POOL ? '' : ` --pool ${pool}`);

/** Makes a key of the pool, and with it the pool. */
export const keyCommand = (pool: string): string =>
  `holdfast runners key create${poolFlag(pool)} --name 'my machines' > ${KEY_FILE}`;

export const joinCommand = (url: string, pool: string): string =>
  `holdfast-wrapper serve --url ${url}${poolFlag(pool)} --key-file ${KEY_FILE}`;

/** Another machine cannot reach this address. */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
