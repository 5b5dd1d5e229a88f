/**
 * The wrapper's own lines on stderr: problems always, connection facts on request. Never a payload,
 * never a credential. Lines for machines have the same shape and names as the coordinator's
 * (docs/operations.md).
 */

export interface Log {
  /** A problem: one line for a person, or for a machine as well with --verbose. */
  problem(message: string): void;
  /** One JSON line for a machine, only with --verbose. */
  fact(name: string, facts?: Record<string, string | number | boolean | null>): void;
}

export const silentLog: Log = { problem: () => {}, fact: () => {} };

const INGEST_PATH = /\/v1\/sessions\/([^/]+)\/executions\/([^/]+)\/ingest$/;

/** `ingestUrl` identifies the execution of these lines. */
export function stderrLog(verbose: boolean, ingestUrl: string): Log {
  const [, session, execution] = INGEST_PATH.exec(URL.canParse(ingestUrl) ? new URL(ingestUrl).pathname : '') ?? [];
  const line = (level: 'info' | 'error', event: string, facts: object): string =>
    `${JSON.stringify({ at: new Date().toISOString(), level, event, session, execution, ...facts })}\n`;
  // A closed stderr must not end the job: this listener swallows write errors.
  process.stderr.on('error', () => {});
  return {
    problem: (message) =>
      void process.stderr.write(verbose ? line('error', 'problem', { message }) : `holdfast-wrapper: ${message}\n`),
    fact: (name, facts = {}) => {
      if (verbose) process.stderr.write(line('info', name, facts));
    },
  };
}
