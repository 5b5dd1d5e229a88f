/** What the wrapper says on its own stderr: problems always, connection facts on request. Never a payload, never a credential. */

export interface Log {
  /** One line for a person: something is wrong and this is what. */
  problem(message: string): void;
  /** One JSON line for a machine, only with --verbose. */
  fact(name: string, facts?: Record<string, string | number | boolean | null>): void;
}

export const silentLog: Log = { problem: () => {}, fact: () => {} };

export function stderrLog(verbose: boolean): Log {
  // A closed stderr must not end the job: write errors are swallowed by the listener.
  process.stderr.on('error', () => {});
  return {
    problem: (message) => void process.stderr.write(`holdfast-wrapper: ${message}\n`),
    fact: (name, facts = {}) => {
      if (verbose) process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), fact: name, ...facts })}\n`);
    },
  };
}
