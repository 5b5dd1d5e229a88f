/** The shapes of a crowd's jobs: the parameters of each, and its end without interference. Pure. */

import type { Policy, StartRequest } from '../../protocol/index.ts';

export const SHAPES = [
  'silent',
  'chatty',
  'big',
  'jsonl',
  'stdin',
  'input',
  'exit',
  'signal',
  'endless',
  'stubborn',
  'deaf',
  'overtime',
  'missing',
] as const;
/** `steady` is used only by a soak: it runs until a file stops it. */
export type Shape = (typeof SHAPES)[number] | 'steady';

/** How it ends by itself: status, and code of a failure. Null: it does not. */
export const NATURAL_VERDICT: Readonly<Record<Shape, string | null>> = {
  silent: 'completed',
  chatty: 'completed',
  big: 'completed',
  jsonl: 'completed',
  stdin: 'completed',
  input: 'completed',
  exit: 'failed exit_nonzero',
  signal: 'failed exit_nonzero',
  endless: null,
  /** Ignores SIGINT. */
  stubborn: null,
  /** Ignores SIGTERM too. */
  deaf: null,
  overtime: 'failed runtime_exceeded',
  /** Its command does not exist. */
  missing: 'failed wrapper_error',
  steady: 'completed',
};

export const OVERTIME_MS = 4000;
export const STDIN_TEXT = 'eins\nzwei größe\ndrei 🦀\n';

export interface JobFiles {
  /** Path of job.sh. */
  job: string;
  truth: string;
  gate: string;
}

/** `size`: seconds, rounds, lines or the exit code, depending on the shape. */
export function requestOf(shape: Shape, size: number, { job, truth, gate }: JobFiles, policy: Partial<Policy>): StartRequest {
  const command = shape === 'missing' ? [`${truth}.no-such-program`] : ['sh', job, shape, truth, gate, String(size)];
  return {
    command,
    format: shape === 'jsonl' ? 'jsonl' : 'text',
    policy: shape === 'overtime' ? { ...policy, maxRuntimeMs: OVERTIME_MS } : policy,
    ...(shape === 'stdin' ? { stdin: STDIN_TEXT } : {}),
    ...(shape === 'input' ? { openStdin: true } : {}),
  };
}
