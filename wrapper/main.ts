/**
 * The process beside the job.
 *
 *   run-options     arguments and variables of `run`
 *   run             one run, from its options to its exit code: makes the following
 *   supervisor      its life: when the job begins, is stopped, and all is over
 *     boot          what is to be done with the spool that was found (pure)
 *     budgets       how long it goes on trying (pure)
 *     report        the wrapper's own facts, and its state on disk
 *   delivery        moves the following three together
 *     transport     what there is to know of the way to the coordinator; transport-switch chooses between
 *       connection        one WebSocket at a time
 *       post-transport    a row of POSTs       loss: what follows when one of them is lost, and when to try again
 *     sender        what to send next (pure)         line-rate: how much the line carries (pure)      frame-encoding   stored lines to frames (pure)
 *     spool         events on disk until acked       spool-home: where it lies; spool-state: who it is; spool-lock
 *       spool-segments  its files                    recent-bytes, line-ring; spool-files: the file system
 *       spool-recovery  what an earlier boot left    spool-lines: which lines are whole (pure); spool-lost: what stands for the others (pure)
 *   job             the job from its begin on
 *     child         its process                      child-pipes, text-splitter (pure), event-lines, line-numbers (pure)
 *     agent-stream  its agent's events
 *     job-stop      makes it stop                    interrupt: with which signals, and when (pure)        stop-reason: why
 *     job-end       how it ended: the terminal fact and the exit code (pure)         leftovers: what an earlier one left running
 *     redaction     what is secret in it (pure)      redaction-stream, redaction-json, redaction-search (pure)
 *   runner          `serve`: starts wrappers when a coordinator asks; see its own map
 *   times, log, credential; egress/ (proxies, the system's certificate authorities) is shared with the command line
 */

import { setFlagsFromString } from 'node:v8';
import { WRAPPER_FAILED } from './job/end.ts';

const USAGE = `Usage: holdfast-wrapper run [options] -- command…   runs one command and reports it
       holdfast-wrapper serve [options]              starts wrappers on request
       holdfast-wrapper run --help | serve --help
`;

async function main([verb, ...argv]: string[]): Promise<number> {
  switch (verb) {
    case 'run': {
      const { readRunOptions, RUN_USAGE } = await import('./run-options.ts');
      const reading = readRunOptions(argv, process.env);
      switch (reading.kind) {
        case 'help':
          process.stdout.write(RUN_USAGE);
          return 0;
        case 'wrong':
          process.stderr.write(`holdfast-wrapper: ${reading.message}\n\n${RUN_USAGE}`);
          return WRAPPER_FAILED;
        case 'run': {
          // A wrapper makes short-lived strings and little else. Room for 16 MiB of them, three times over, is what V8 would give it; at its first size the young
          // generation is collected more often, at no cost that can be measured, and the process is 30 MiB smaller. V8 reads this when it would grow.
          setFlagsFromString('--semi-space-growth-factor=1');
          const { run } = await import('./run.ts');
          return run(reading.options);
        }
        default:
          return reading satisfies never;
      }
    }
    case 'serve': {
      const { serve } = await import('../runner/runner.ts');
      return serve(argv);
    }
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(USAGE);
      return 0;
    default:
      process.stderr.write(USAGE);
      return WRAPPER_FAILED;
  }
}

/** Ends the process even if a grandchild keeps a pipe open, but not before its own output is through. */
function leave(exitCode: number): void {
  process.exitCode = exitCode;
  const pending = [process.stdout, process.stderr].filter(({ writableLength }) => writableLength > 0);
  if (pending.length === 0) process.exit();
  for (const stream of pending) stream.once('drain', () => leave(exitCode));
  setTimeout(() => process.exit(), 2000);
}

main(process.argv.slice(2)).then(leave, (error: unknown) => {
  process.stderr.write(`holdfast-wrapper: ${error instanceof Error ? error.message : String(error)}\n`);
  leave(WRAPPER_FAILED);
});
