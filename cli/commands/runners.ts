/** `runners`: the runners of a pool and their keys. */

import type { PoolSummary, PoolView, RunnerView } from '../../protocol/index.ts';
import { type Context, type PaintColour, printJson, printNote } from '../context.ts';
import { EXIT } from '../exit-code.ts';
import { checkId, parseDuration, UsageError } from '../settings.ts';
import { escapeControls } from '../terminal-text.ts';

const POOL_DEFAULT = 'default';

export interface RunnersFlags {
  pool?: string;
  name?: string;
  expires?: string;
}

const USAGE =
  'runners is used as: runners [list], runners drain RUNNER, runners remove RUNNER, runners key [list], runners key create, runners key revoke KEY';

export async function runners(context: Context, words: readonly string[], flags: RunnersFlags, now = Date.now()): Promise<number> {
  const [action = 'list', ...args] = words;
  const pool = checkId(flags.pool ?? (context.io.env.HOLDFAST_RUNNER_POOL || POOL_DEFAULT), 'pool');
  switch (action) {
    case 'list':
      if (args.length > 0) throw new UsageError(USAGE);
      return flags.pool === undefined && !context.io.env.HOLDFAST_RUNNER_POOL ? listAll(context, now) : listOne(context, pool, now);
    case 'drain':
      if (args.length !== 1) throw new UsageError(USAGE);
      return drain(context, pool, args[0] as string);
    case 'remove':
      if (args.length !== 1) throw new UsageError(USAGE);
      return remove(context, pool, args[0] as string);
    case 'key':
    case 'keys':
      return keys(context, pool, args, flags, now);
    default:
      throw new UsageError(USAGE);
  }
}

// ── runners ──────────────────────────────────────────────────────────────────────────────────────

async function listAll(context: Context, now: number): Promise<number> {
  const pools = await context.client.pools();
  if (context.json) {
    await printJson(context, { data: await Promise.all(pools.map(({ id }) => context.client.pool(id))) });
    return EXIT.ok;
  }
  if (pools.length === 0) {
    await printNote(context, 'no pools yet: the first key makes one: holdfast runners key create');
    return EXIT.ok;
  }
  for (const [index, { id }] of pools.entries()) {
    if (index > 0) await context.io.stdout.write('\n');
    await printPool(context, await context.client.pool(id), now);
  }
  return EXIT.ok;
}

async function listOne(context: Context, pool: string, now: number): Promise<number> {
  const view = await context.client.pool(pool);
  if (context.json) await printJson(context, view);
  else await printPool(context, view, now);
  return EXIT.ok;
}

const HEADINGS = ['RUNNER', 'STATE', 'SLOTS', 'LABELS', 'VERSION', 'ID'];

const COLOURS: Readonly<Record<RunnerView['state'], PaintColour>> = {
  connected: 'green',
  draining: 'yellow',
  too_old: 'yellow',
  lost: 'red',
  ended: 'dim',
};

async function printPool(context: Context, view: PoolView, now: number): Promise<void> {
  const { io, paint } = context;
  await io.stdout.write(`${escapeControls(poolText(view, now))}\n`);
  const rows = view.runners.map((runner) => [
    runner.name,
    stateText(runner, now),
    `${runner.busy} of ${runner.slots}`,
    Object.entries(runner.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    runner.version,
    runner.id,
  ]);
  if (rows.length === 0) return;
  const all = [HEADINGS, ...rows.map((row) => row.map(escapeControls))];
  const widths = HEADINGS.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  for (const [index, row] of all.entries()) {
    const runner = view.runners[index - 1];
    const cells = row.map((cell, column) => {
      const padded = column === row.length - 1 ? cell : cell.padEnd(widths[column] as number);
      if (!runner) return paint('dim', padded);
      return column === 1 ? paint(COLOURS[runner.state] ?? 'dim', padded) : padded;
    });
    await io.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

/** `pool default: 2 of 8 slots taken, 1 waits (for 3 min)`. */
export function poolText({ id, slots, busy, waiting, oldestWaitingAt }: Omit<PoolSummary, 'runners'>, now: number): string {
  const wait = oldestWaitingAt === undefined ? '' : ` (for ${agoText(now - oldestWaitingAt)})`;
  return `pool ${id}: ${busy} of ${slots} slots taken, ${waiting === 0 ? 'nothing waits' : `${waiting} waiting${wait}`}`;
}

function stateText({ state, lastHeardAt, failing }: RunnerView, now: number): string {
  const ago = `${agoText(now - lastHeardAt)} ago`;
  const since = state === 'lost' ? `, last heard ${ago}` : state === 'ended' ? ` ${ago}` : '';
  const rests = failing && failing.restUntil > now ? `, rests after ${failing.count} failures (${failing.code})` : '';
  return `${state.replace('_', ' ')}${since}${rests}`;
}

function agoText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

const isGone = ({ state }: RunnerView): boolean => state === 'lost' || state === 'ended';

/** By id, or by a name that one runner has; of several, that one of them is `meant`. */
async function findRunner(
  context: Context,
  pool: string,
  text: string,
  meant: (runner: RunnerView) => boolean,
): Promise<RunnerView> {
  const { runners: all } = await context.client.pool(pool);
  const byId = all.find(({ id }) => id === text);
  if (byId) return byId;
  const named = all.filter(({ name }) => name === text);
  const likely = named.filter(meant);
  const [only] = named.length === 1 ? named : likely.length === 1 ? likely : [];
  if (only) return only;
  throw new UsageError(
    named.length > 1
      ? `${named.length} runners of the pool ${pool} have the name ${text}: give one by its id (holdfast runners list)`
      : `the pool ${pool} has no runner ${text}: see holdfast runners list`,
  );
}

async function drain(context: Context, pool: string, text: string): Promise<number> {
  const runner = await findRunner(context, pool, text, (each) => !isGone(each));
  const { id, name, busy, state } = runner;
  await context.client.drainRunner(pool, id);
  if (context.json) await printJson(context, { id, draining: true });
  else if (isGone(runner))
    await printNote(
      context,
      state === 'ended'
        ? `${name} has ended before; there is nothing to drain`
        : `${name} has no connection; it takes nothing new when it connects again, unless its program is restarted`,
    );
  else
    await printNote(
      context,
      busy === 0
        ? `${name} takes nothing new, and ends now: it has no runs`
        : `${name} takes nothing new, and ends when its ${busy === 1 ? 'run has' : `${busy} runs have`} ended`,
    );
  return EXIT.ok;
}

async function remove(context: Context, pool: string, text: string): Promise<number> {
  const { id, name, busy } = await findRunner(context, pool, text, isGone);
  await context.client.removeRunner(pool, id);
  if (context.json) await printJson(context, { id, removed: true });
  else
    await printNote(
      context,
      busy === 0
        ? `${name} is removed from the pool ${pool}`
        : `${name} is removed from the pool ${pool}; ${busy === 1 ? 'its run goes' : `its ${busy} runs go`} on`,
    );
  return EXIT.ok;
}

// ── keys ─────────────────────────────────────────────────────────────────────────────────────────

async function keys(context: Context, pool: string, args: readonly string[], flags: RunnersFlags, now: number): Promise<number> {
  const [action = 'list', ...rest] = args;
  const { client, io } = context;
  if (action === 'create') {
    if (rest.length > 0) throw new UsageError(USAGE);
    const expiresAt = flags.expires === undefined ? undefined : now + parseDuration(flags.expires, '--expires');
    const created = await client.createRunnerKey(pool, {
      name: flags.name ?? 'made by the command line',
      ...(expiresAt === undefined ? {} : { expiresAt }),
    });
    if (context.json) {
      await printJson(context, created);
      return EXIT.ok;
    }
    // The key alone is on stdout, so that it can be sent to a file.
    await io.stdout.write(`${created.key}\n`);
    await printNote(context, `this is the runner key ${created.id} of the pool ${pool}; it is shown only now`);
    await printNote(context, 'a machine joins with it:');
    const poolFlag = pool === POOL_DEFAULT ? '' : ` --pool ${pool}`;
    await printNote(context, `  holdfast-wrapper serve --url ${context.settings.url}${poolFlag} --key-file FILE-WITH-THE-KEY`);
    return EXIT.ok;
  }
  if (action === 'list') {
    if (rest.length > 0) throw new UsageError(USAGE);
    const data = await client.runnerKeys(pool);
    if (context.json) await printJson(context, { data });
    else if (data.length === 0) await printNote(context, `the pool ${pool} has no keys: holdfast runners key create`);
    else
      for (const { id, name, createdAt, expiresAt, lastUsedAt } of data) {
        const parts = [
          id,
          escapeControls(name),
          `made ${new Date(createdAt).toISOString()}`,
          lastUsedAt === undefined ? 'never used' : `used ${agoText(now - lastUsedAt)} ago`,
          ...(expiresAt === undefined ? [] : [`${expiresAt <= now ? 'expired' : 'expires'} ${new Date(expiresAt).toISOString()}`]),
        ];
        await io.stdout.write(`${parts.join('  ')}\n`);
      }
    return EXIT.ok;
  }
  const [id] = rest;
  if (action !== 'revoke' || id === undefined || rest.length > 1) throw new UsageError(USAGE);
  await client.revokeRunnerKey(pool, id);
  if (context.json) await printJson(context, { id, revoked: true });
  else await printNote(context, `${id} is revoked: its runners take nothing new, and what they run goes on`);
  return EXIT.ok;
}
