/**
 * The process next to the job.
 *
 *   run-options        arguments and variables of `run`
 *   run                one run, from its options to its exit code; creates the following
 *   run/               the life of a run
 *     supervisor         when the job begins, is stopped, and when the run ends
 *     boot               what to do with the spool that was found (pure)
 *     budgets            how long to keep trying (pure); log-budget: how much output is kept (pure)
 *     report             the wrapper's own facts, and its state on disk
 *     leftovers          what an earlier wrapper left running
 *     stop-reason        why the wrapper is asked to stop
 *   job/               the job, from its start
 *     child              its process; child-pipes: its output pipes
 *     agent-stream       its agent's events
 *     progress, facts    what it reports of itself
 *     stop               stops it; interrupt: with which signals, and when (pure)
 *     end                how it ended: the terminal fact and the exit code (pure)
 *   output/            bytes to event lines, and redaction (pure)
 *   spool/             events on disk until acked
 *     spool              numbers and stores events
 *     segments           the files; files: the file system port
 *     recovery           what an earlier boot left; lines: which lines are intact (pure)
 *     sender             what to send next (pure)
 *   transport/         to the coordinator and back
 *     delivery           moves the transport, the sender and the spool together
 *     transport-switch   chooses between connection (WebSocket) and post-transport (POST)
 *     connection-loss    what follows a loss, and when to retry
 *     line-rate          how much the line carries (pure)
 *     frame-encoding     stored lines to frames (pure)
 *
 * Both programs use times, log and processes. The command line also uses egress/ (proxies, the
 * system's certificate authorities). The runner (`serve`) is in runner/.
 */

import { setFlagsFromString } from 'node:v8';
import { VERSION } from '../protocol/version.ts';
import { WRAPPER_FAILED } from './job/end.ts';

const USAGE = `Usage: holdfast-wrapper run [options] -- command…   runs one command and reports it
       holdfast-wrapper serve --url URL [options]    a runner of a pool: dials out, runs what it is given
       holdfast-wrapper run --help | serve --help | --version
`;

const NO_WINDOWS =
  'Windows is not supported: jobs need the processes, pipes and signals of Linux or macOS. Use WSL 2 (wsl --install), and start the wrapper in it.';

async function main([verb, ...argv]: string[]): Promise<number> {
  if (process.platform === 'win32' && (verb === 'run' || verb === 'serve')) {
    process.stderr.write(`holdfast-wrapper: ${NO_WINDOWS}\n`);
    return WRAPPER_FAILED;
  }
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
          // A wrapper creates short-lived strings and little else. V8 would reserve three times 16
          // MiB for them. A small young generation is collected more often at no measurable cost,
          // and makes the process 30 MiB smaller. V8 reads this when it would grow.
          setFlagsFromString('--semi-space-growth-factor=1');
          const { run } = await import('./run.ts');
          return run(reading.options);
        }
        default:
          return reading satisfies never;
      }
    }
    case 'serve': {
      const { serve } = await import('../runner/serve.ts');
      return serve(argv);
    }
    case '--version':
    case '-V':
      process.stdout.write(`${VERSION}\n`);
      return 0;
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

/**
 * Ends the process even if a grandchild keeps a pipe open, but only after its own output is
 * flushed.
 */
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
