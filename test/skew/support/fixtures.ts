/**
 * What `npm run record-frames` writes and the tests of version skew read: the exchange of two
 * programs of one version, in its order. No platform is used here, since the same files are read in
 * Node and in workerd.
 *
 * An NDJSON fixture begins with a line that describes it; each further line is an entry.
 */

export interface FixtureHead {
  fixture: string;
  /** Version of the protocol on the wire, and of the program. */
  protocol: number;
  version: string;
  about: string;
  /** Exit code of the wrapper whose run this is. */
  exitCode?: number;
}

export interface RecordedRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

export interface RecordedResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/**
 * `caller`: the side that connects: a wrapper, a viewer, or the Worker towards a runner. `callee`:
 * the side that answers.
 */
export type Side = 'caller' | 'callee';

/**
 * `at`: milliseconds since the recording began. `connection`: one number per connection or request,
 * rising in the order in which they were opened.
 */
export type Entry = { at: number; connection: number } & (
  | { open: { path: string; protocol: string } }
  /** An upgrade that got another response than 101. */
  | { refused: RecordedResponse & { path: string } }
  /**
   * `lost`: it never arrived. `by`: the recorder sent it, to cause a response that a program gives
   * only under load.
   */
  | { from: Side; frame: string; lost?: true; by?: 'recorder' }
  | { from: Side; close: { code: number; reason: string } }
  /** The recorder cut the connection, without a close frame to either side. */
  | { cut: true }
  | { request: RecordedRequest }
  | { response: RecordedResponse }
);

export interface Fixture {
  head: FixtureHead;
  entries: Entry[];
}

export function parseFixture(text: string): Fixture {
  const [head, ...entries] = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
  return { head: head as FixtureHead, entries: entries as Entry[] };
}

export function renderFixture({ head, entries }: Fixture): string {
  return [head, ...entries].map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** The entries of each connection, in the order in which the connections were opened. */
export function connectionsOf({ entries }: Fixture): Entry[][] {
  const connections = new Map<number, Entry[]>();
  for (const entry of entries) {
    const own = connections.get(entry.connection);
    if (own) own.push(entry);
    else connections.set(entry.connection, [entry]);
  }
  return [...connections.values()];
}

export interface Exchange {
  request: RecordedRequest;
  response: RecordedResponse;
}

/** Requests with their responses, in the order in which they were made. */
export function exchangesOf(fixture: Fixture): Exchange[] {
  return connectionsOf(fixture).flatMap((entries) => {
    const asked = entries.find((entry) => 'request' in entry);
    const answered = entries.find((entry) => 'response' in entry);
    return asked && answered && 'request' in asked && 'response' in answered
      ? [{ request: asked.request, response: answered.response }]
      : [];
  });
}

/** Frames of one side of a connection. */
export const framesOf = (entries: readonly Entry[], side: Side): string[] =>
  entries.flatMap((entry) => ('frame' in entry && entry.from === side ? [entry.frame] : []));

/** One SQLite database as it was left. `schema`: the statements that made it, in order. */
export interface DatabaseSnapshot {
  schema: string[];
  tables: Record<string, Record<string, string | number | null>[]>;
}

/**
 * Sessions by name, and the tenant's directory. `takenAt`: milliseconds since the epoch, the
 * reference for the times of the rows.
 */
export interface StorageSnapshot {
  takenAt: number;
  sessions: Record<string, DatabaseSnapshot>;
  directory: DatabaseSnapshot;
}

/**
 * A spool as it was on disk. `acked`: events that its coordinator had; `exitCode`: the exit code
 * that the wrapper would have had, if its job had ended.
 */
export interface SpoolSnapshot {
  files: Record<string, string>;
  acked: number;
  exitCode: number | null;
}

/**
 * One call of the Worker to an object, by its method. `fetch` has the request header in place of
 * arguments.
 */
export interface RecordedCall {
  object: 'session' | 'directory';
  method: string;
  args: unknown[];
  answer: unknown;
}
