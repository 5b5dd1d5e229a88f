/** A start with the terms of an earlier execution. */

import type { Execution, StartRequest } from './api.ts';

/**
 * What a view has of the terms of its start. `env`, `stdin` and the callback are not kept anywhere;
 * ids belong to the one start.
 */
export function startTermsOf(execution: Execution): Omit<StartRequest, 'id' | 'continues'> {
  const { command, cwd, format, launcher, labels, policy, openStdin, merge, output, terminal, maxActive, secretNames } = execution;
  const { pool, requires, priority, concurrency, waitMs } = execution;
  const terms = { cwd, merge, output, terminal, maxActive, secretNames, pool, requires, priority, concurrency, waitMs, openStdin };
  return {
    command,
    format,
    labels,
    policy,
    // The launcher `runner` of 0.1.0 is gone: such a run is started again by the default one.
    ...(launcher === 'runner' ? {} : { launcher }),
    ...Object.fromEntries(Object.entries(terms).filter(([, value]) => value !== undefined)),
  };
}
