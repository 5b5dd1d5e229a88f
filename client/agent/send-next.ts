import { nextTurn, type Summary } from '../../agent/index.ts';
import { startTermsOf } from '../../protocol/again.ts';
import { type Execution, isTerminal, type StartRequest, terminalStatusOf } from '../../protocol/index.ts';
import { HoldfastError } from '../http/error.ts';
import type { CallOptions, HoldfastClient } from '../http/types.ts';

type Known = Pick<Summary, 'format' | 'sessionId'>;

/**
 * The start of the next turn after an execution that has ended, and what is to be written to its
 * stdin then. Null: the agent offers no way, or its id is not known.
 */
export function nextStart(
  last: Execution,
  { format, sessionId }: Known,
  message: string,
): { request: StartRequest; input: string | null } | null {
  const turn = sessionId === null ? null : nextTurn(format, last.command, sessionId, message);
  if (turn === null) return null;
  const { command, openStdin, input } = turn;
  return { request: { ...startTermsOf(last), command, openStdin, continues: last.id }, input };
}

/**
 * Begins the next turn: an execution that continues `last`, with its terms. Resolves when the agent
 * has the message. Throws `not_running` when the execution ended before it could have it: the message
 * was not sent. `summary`: what was read of `last`. The environment of `last` is not kept.
 */
export async function sendNext(
  client: Pick<HoldfastClient, 'start' | 'events' | 'sendInput'>,
  last: Execution,
  summary: Known,
  message: string,
  { signal }: CallOptions = {},
): Promise<Execution> {
  const next = nextStart(last, summary, message);
  if (next === null) throw new TypeError(`${last.id}: there is no way to continue this agent`);
  const options = signal ? { signal } : {};
  const { execution } = await client.start(last.session, next.request, options);
  if (next.input === null) return execution;
  if (isTerminal(execution.status)) throw endedBefore(execution);
  const stream = client.events(last.session, { execution: execution.id, after: execution.firstOffset - 1, ...options });
  try {
    for await (const { type } of stream) {
      if (terminalStatusOf(type)) break;
      if (type !== 'execution_running') continue;
      await client.sendInput(last.session, execution.id, { text: next.input }, options);
      return execution;
    }
  } finally {
    stream.close();
  }
  throw endedBefore(execution);
}

const endedBefore = ({ id }: Execution): HoldfastError =>
  new HoldfastError({
    ...{ code: 'not_running', status: 409, retryable: false, facts: { execution: id } },
    message: `${id} ended before its agent got the message: send it again`,
  });
