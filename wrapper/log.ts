/**
 * What the wrapper says on its own stderr: problems always, facts of its connection on request. Never a payload, never a credential. Lines for machines are of
 * the shape that the coordinator's have, under the same names (docs/operations.md).
 */

export interface Log {
  /** Something is wrong and this is what: one line for a person, or with --verbose for a machine as well. */
  problem(message: string): void;
  /** One JSON line for a machine, only with --verbose. */
  fact(name: string, facts?: Record<string, string | number | boolean | null>): void;
}

export const silentLog: Log = { problem: () => {}, fact: () => {} };

const INGEST_PATH = /\/v1\/sessions\/([^/]+)\/executions\/([^/]+)\/ingest$/;

/** `ingestUrl` says whose lines they are. */
export function stderrLog(verbose: boolean, ingestUrl: string): Log {
  const [, session, execution] = INGEST_PATH.exec(URL.canParse(ingestUrl) ? new URL(ingestUrl).pathname : '') ?? [];
  const line = (level: 'info' | 'error', event: string, facts: object): string =>
    `${JSON.stringify({ at: new Date().toISOString(), level, event, session, execution, ...facts })}\n`;
  // A closed stderr must not end the job: write errors are swallowed by the listener.
  process.stderr.on('error', () => {});
  return {
    problem: (message) =>
      void process.stderr.write(verbose ? line('error', 'problem', { message }) : `holdfast-wrapper: ${message}\n`),
    fact: (name, facts = {}) => {
      if (verbose) process.stderr.write(line('info', name, facts));
    },
  };
}
