/** Text for a person: failures, verdicts, refusals. Pure. */

import { lateText } from '../../../protocol/index.ts';
import { statusKind, statusLabel } from '../ui/index.ts';
import type { Execution } from './model.ts';

export interface FailureDescription {
  title: string;
  meaning: string;
}

/**
 * One sentence for every failure code of the coordinator. Other codes are the caller's own
 * (`fail`).
 */
const FAILURES: Readonly<Record<string, FailureDescription>> = {
  wrapper_disconnected: {
    title: 'The wrapper was lost',
    meaning:
      'The connection to the wrapper, the process next to the job, broke and did not come back within the grace period. Everything it had sent is in the log; whether the job itself finished is not known.',
  },
  wrapper_never_connected: {
    title: 'No wrapper ever connected',
    meaning:
      'The run was prepared, but the process that should run the command did not report in time, so the command never started.',
  },
  launch_failed: {
    title: 'The launch failed',
    meaning: 'The launcher could not start a wrapper for this run, so the command never started.',
  },
  no_runner: {
    title: 'No runner took it',
    meaning: 'The run waited in its pool as long as it may, and no runner with its labels was free. The command never started.',
  },
  runners_lost: {
    title: 'Its runners were lost',
    meaning: 'The run was assigned several times, and each of these runners was lost before its wrapper had connected.',
  },
  command_not_allowed: {
    title: 'The runner does not allow the command',
    meaning:
      'The runner was started with a list of programs that it may run, and this one is not on it. The command never started.',
  },
  cwd_not_allowed: {
    title: 'The runner does not allow the directory',
    meaning: 'The runner was started with a list of directories for its jobs, and this one is outside. The command never started.',
  },
  cwd_missing: {
    title: 'The directory does not exist',
    meaning: 'The runner has no such directory, so the command never started.',
  },
  start_failed: {
    title: 'The runner could not start it',
    meaning: 'The runner could not start the process that should run the command, so the command never started.',
  },
  unsupported: {
    title: 'The runner cannot run this',
    meaning: 'The runner could not read what it was sent; it may be of an older version. The command never started.',
  },
  wrapper_too_old: {
    title: 'The wrapper is too old',
    meaning:
      'The run names variables to redact, and the process that should run the command is of a version that cannot do that. The command never started.',
  },
  container_stopped: {
    title: 'The container stopped',
    meaning:
      'The container in which the command ran is gone, and its disk with it. What had been reported is in the log; whether the job itself finished is not known.',
  },
  exit_nonzero: {
    title: 'The command failed',
    meaning: 'The command ran to its end and reported failure by its exit code, or was ended by a signal.',
  },
  out_of_memory: {
    title: 'Memory ran out',
    meaning: 'The command needed more memory than its machine or its memory limit has, so the kernel ended it.',
  },
  runtime_exceeded: {
    title: 'The time limit was reached',
    meaning: 'The run took longer than its maximum run time and was stopped.',
  },
  log_full: {
    title: 'The log is full',
    meaning: 'The wrapper sent more than the log of this run may hold, so the run was ended.',
  },
  storage_full: {
    title: 'The session is full',
    meaning: 'When it was the turn of this run, the session had no space for its log, so the command never started.',
  },
  wrapper_error: {
    title: 'The wrapper reported an error',
    meaning: 'The wrapper, the process next to the job, could not run or follow the command.',
  },
};

export function describeFailure(code: string | undefined): FailureDescription {
  const known = code !== undefined && Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined;
  return known ?? { title: 'The run was failed', meaning: 'The program that started this run ended it with a code of its own.' };
}

/** `exit code 1`, `ended by SIGKILL`, with the message and the reason: one line. */
export function verdictText(data: Readonly<Record<string, unknown>>): string | null {
  const { exitCode, signal, error, reason, forced } = data;
  const parts = [
    typeof error === 'string' && error !== '' ? error : null,
    typeof error === 'string' && error !== '' ? null : exitText(exitCode, signal),
    typeof reason === 'string' && reason !== '' ? reason.replaceAll('_', ' ') : null,
    forced === true ? 'forced: the wrapper did not answer in time' : null,
  ].filter((part) => part !== null);
  return parts.length > 0 ? parts.join(' · ') : null;
}

export function exitText(exitCode: unknown, signal: unknown): string | null {
  if (typeof signal === 'string' && signal !== '') return `ended by ${signal}`;
  return typeof exitCode === 'number' ? `exit code ${exitCode}` : null;
}

/** How an end came about, for the box below the header; null without an explanation. */
export function endingNotice(
  execution: Execution,
): { tone: 'danger' | 'warn'; title: string; meaning: string; facts: string[] } | null {
  const { status, code, error, reason, exitCode, signal, forced, late } = execution;
  const facts = [
    error ?? null,
    // The message already has the exit code.
    code === 'exit_nonzero' && error ? null : exitText(exitCode, signal),
    reason ? `reason: ${reason.replaceAll('_', ' ')}` : null,
    code ? `code: ${code}` : null,
    late ? lateText(late) : null,
  ];
  if (status === 'failed') {
    const words = describeFailure(code);
    const meaning = forced ? `${words.meaning} The wrapper did not confirm the stop in time.` : words.meaning;
    return { tone: 'danger', ...words, meaning, facts: facts.filter((fact) => fact !== null) };
  }
  if (status === 'interrupted') {
    return {
      tone: 'warn',
      title: forced ? 'Interrupted by force' : 'Interrupted',
      meaning: forced
        ? 'The wrapper did not confirm in time that the job had stopped, so the run was ended without its confirmation. The job may still have been running for a while.'
        : execution.startedAt === undefined
          ? 'It was stopped before the command had begun.'
          : 'An interrupt was requested, and the job has stopped.',
      facts: facts.filter((fact) => fact !== null),
    };
  }
  return null;
}

/** An error of the API as text; the machine-readable code stays visible after it. */
export function errorText(error: unknown): string {
  const { code, message, facts } = (error ?? {}) as { code?: unknown; message?: unknown; facts?: Record<string, unknown> };
  switch (code) {
    case 'not_running':
      return 'The run is not running, so its input is not read.';
    case 'not_asking':
      return 'The agent does not wait for this answer any more.';
    case 'already_answered':
      return `This question was answered before${facts?.answeredBy ? `, by ${facts.answeredBy}` : ''}.`;
    case 'not_a_terminal':
      return 'This run was started without a terminal.';
    case 'stdin_closed':
      return 'This run was started without an open stdin, so it takes no input.';
    case 'execution_in_progress':
      return `Another run of this session is active${facts?.activeExecutionId ? ` (${facts.activeExecutionId})` : ''}. Choose whether to wait for it or to replace it.`;
    case 'queue_full':
      return 'The queue of this session is full.';
    case 'session_full':
      return 'This session has reached its maximum number of runs. Use another session.';
    case 'storage_full':
      return 'This session has no space for another log. Use another session, or a smaller maximum log.';
    case 'input_full':
      return 'The run has not read its earlier input yet. Try again later.';
    case 'rate_limited':
      return 'Too many requests at once. Try again in a few seconds.';
    case 'unauthorized':
      return 'The credential was refused. It may have expired.';
    case 'unreachable':
    case 'timeout':
      return 'The coordinator could not be reached. Check the connection and try again.';
    case 'log_replaced':
      return 'The session was deleted and created again. Reload the page to see its new log.';
    case 'too_large':
      return 'The text is too large for one request.';
    default:
      return typeof message === 'string' && message !== '' ? message : String(error);
  }
}

/** The status in a word or two, as in the badge. */
export const statusText = ({
  execution: { status },
  wrapper,
  asking = false,
}: {
  execution: Pick<Execution, 'status'>;
  wrapper: { state: string };
  asking?: boolean;
}): string => statusLabel(statusKind(status, wrapper.state !== 'disconnected', false, asking));
