/**
 * `npm run record-frames [-- --into DIR]`: records what this version sends on the wire and leaves
 * on disk, as fixtures for the tests of version skew (test/skew/README.md). A version is recorded
 * once: an existing folder is never written to.
 */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { PROTOCOL_VERSION } from '../protocol/index.ts';
import { VERSION } from '../protocol/version.ts';
import { type DatabaseSnapshot, type RecordedCall, renderFixture, type StorageSnapshot } from '../test/skew/support/fixtures.ts';
import { RecordedStack } from '../test/skew/support/recording.ts';
import {
  leaveBehind,
  readByRpc,
  recordHttp,
  recordIngest,
  recordLaunches,
  recordReaders,
  spoolsOf,
} from '../test/skew/support/scenarios.ts';
import { leaksIn, scrubber } from '../test/skew/support/scrub.ts';
import { databasesIn, snapshotOfDatabase } from '../test/skew/support/snapshots.ts';
import { vocabularyOf } from '../test/skew/support/vocabulary.ts';
import { ROOT } from './stack.ts';

const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/**
 * A session is identified by its own rows: the log does not contain its session, and the address of
 * its executions' events does not matter here.
 */
function storageOf(data: string, names: ReadonlyMap<string, string>, takenAt: number): StorageSnapshot {
  const sessions: StorageSnapshot['sessions'] = {};
  for (const path of databasesIn(join(data, 'coordinator'), 'SessionCoordinator')) {
    const snapshot = snapshotOfDatabase(path);
    const name = names.get(digestsOf(snapshot));
    if (name !== undefined) sessions[name] = snapshot;
  }
  const [directory] = databasesIn(join(data, 'coordinator'), 'TenantDirectory')
    .map(snapshotOfDatabase)
    .filter(({ tables }) => (tables.sessions ?? []).length > 0);
  if (!directory) throw new Error('the directory of the tenant was not found');
  return { takenAt, sessions, directory };
}

/** The creation time of an object is in its own row and in the summary of the session. */
const digestsOf = ({ tables }: DatabaseSnapshot): string =>
  String(tables.meta?.find(({ key }) => key === 'created_at')?.value ?? '');

/** One call of each method and kind of answer: a contract, not a history. */
function contractOf(calls: readonly (RecordedCall & { name: string })[]): RecordedCall[] {
  const kept = new Map<string, RecordedCall>();
  for (const { object, method, args, answer } of calls) {
    const shape = JSON.stringify([object, method, ...args.map(keysOf), keysOf(answer)]);
    if (!kept.has(shape)) kept.set(shape, { object, method, args, answer });
  }
  return [...kept.values()].sort((a, b) => (`${a.object}.${a.method}` < `${b.object}.${b.method}` ? -1 : 1));
}

const keysOf = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.length > 0 ? ['list'] : [];
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => (key === 'code' || key === 'ok' || key === 'kind' ? [key, item] : key));
};

async function record(into: string): Promise<void> {
  const stack = await RecordedStack.start();
  const { runnerToken } = stack;
  const { apiKey, callbackKey, runnerUrl, url, data } = stack.stack;
  const files = new Map<string, string>();
  try {
    note('recording ingest …');
    const ingest = await recordIngest(stack);
    note('recording readers …');
    const readers = await recordReaders(stack);
    note('recording HTTP …');
    const http = await recordHttp(stack);
    note('recording launches …');
    const launches = await recordLaunches(stack);
    note('leaving things behind …');
    const behind = await leaveBehind(stack);
    const names = new Map<string, string>();
    for (const session of ['text', 'cuts', 'api', 'left', 'ended', 'callback', 'launched']) {
      const summary = (await (await stack.api('GET', `/v1/sessions/${session}`)).json()) as { createdAt: number };
      names.set(String(summary.createdAt), session);
    }
    await readByRpc(stack);
    const vocabulary = vocabularyOf((await (await stack.api('GET', '/openapi.json')).json()) as never);
    const calls = contractOf(stack.calls());
    // As after a crash: the coordinator is killed first, so that it does not learn of the wrapper's
    // end.
    await stack.stack.kill();
    behind.left.wrapper.process.kill('SIGKILL');
    await behind.left.wrapper.ended;
    const storage = storageOf(data, names, Date.now());

    for (const { head, entries } of [...ingest, ...readers, ...http, ...launches]) {
      const { fixture, ...rest } = head;
      files.set(
        `${fixture}.ndjson`,
        renderFixture({ head: { fixture, protocol: PROTOCOL_VERSION, version: VERSION, ...rest }, entries }),
      );
    }
    files.set('spools.json', `${JSON.stringify(spoolsOf(behind), null, 1)}\n`);
    files.set('storage.json', `${JSON.stringify(storage, null, 1)}\n`);
    files.set('vocabulary.json', `${JSON.stringify(vocabulary, null, 1)}\n`);
    files.set('calls.json', `${JSON.stringify(calls, null, 1)}\n`);
  } finally {
    await stack.close();
  }

  const scrub = scrubber(
    new Map([
      [apiKey, '<api key>'],
      [runnerToken, '<runner token>'],
      [callbackKey, '<callback key>'],
      ['not-a-token', '<bad token>'],
      [stack.proxy.url, 'http://holdfast.test'],
      [stack.runnerProxy.url, 'http://runner.test'],
      [runnerUrl, 'http://runner.test'],
      [url, 'http://holdfast.test'],
      [url.replace('http://', ''), 'holdfast.test'],
      [stack.folder, '/recorded'],
      [ROOT, '/holdfast'],
    ]),
  );
  const secrets = [apiKey, runnerToken, callbackKey, stack.folder, ROOT];
  mkdirSync(into, { recursive: true });
  for (const [name, text] of files) {
    const scrubbed = scrub(text);
    const leaks = leaksIn(scrubbed, secrets);
    if (leaks.length > 0)
      throw new Error(`${name} would hold ${leaks.length} secrets or addresses, such as ${leaks[0]?.slice(0, 12)}…`);
    writeFileSync(join(into, name), scrubbed, { flag: 'wx' });
  }
  note(`${files.size} fixtures are in ${relative(process.cwd(), into)}`);
}

const { values } = parseArgs({ options: { into: { type: 'string' } } });
const fixtures = join(ROOT, 'test', 'skew', 'fixtures');
const into = values.into === undefined ? join(fixtures, `protocol-${PROTOCOL_VERSION}`, VERSION) : resolve(values.into);
if (existsSync(into)) {
  note(
    `${basename(into)} is recorded already (${relative(process.cwd(), into)}). A recording is what a version did, and is never written again.`,
  );
  process.exit(1);
}
await record(into);
