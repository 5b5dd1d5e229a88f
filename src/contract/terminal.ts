/** Which terms of a start make no sense with a terminal. */

import type { Failure } from '../../protocol/index.ts';
import { failure } from './failure.ts';
import type { StartBody } from './schemas.ts';

const CLASHES: readonly { field: string; clashes: (body: StartBody) => boolean; why: string }[] = [
  {
    field: 'stdin',
    clashes: ({ stdin }) => stdin !== undefined,
    why: 'the stdin of a terminal is open and does not end; send the text as input when the execution runs',
  },
  { field: 'merge', clashes: ({ merge }) => merge === true, why: 'a terminal has one output already; leave merge out' },
  {
    field: 'format',
    clashes: ({ format }) => format !== undefined && format !== 'text',
    why: 'a terminal wraps and colours lines; start a program that writes JSON lines without a terminal',
  },
  {
    field: 'output',
    clashes: ({ output }) => output === 'bytes',
    why: 'a terminal shows text; start a program that writes bytes without a terminal',
  },
];

/** TTY1. Null: the start may have its terminal, or has none. */
export function checkTerminal(body: StartBody): Failure | null {
  if (body.terminal === undefined) return null;
  const clash = CLASHES.find(({ clashes }) => clashes(body));
  return clash ? failure('bad_request', `${clash.field}: ${clash.why}`, { field: clash.field }) : null;
}
