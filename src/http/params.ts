/**
 * Query parameters of the readers. One parser for numbers, so that no route accepts `1e3`, ` 5` or
 * `-0`.
 */

import { EVENT_TYPE_PATTERN, type Failure, FILTER_ITEMS_MAX, GENERATION_PATTERN, isId } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { ViewerRequest } from '../session/contract.ts';

const WHOLE_NUMBER = /^(0|[1-9][0-9]*)$/;

/** Undefined when absent, null when it is not a number. */
export function numberParam(text: string | null | undefined): number | null | undefined {
  if (text === null || text === undefined) return undefined;
  const value = Number(text);
  return WHOLE_NUMBER.test(text) && Number.isSafeInteger(value) ? value : null;
}

type ListParam = { ok: true; value: string[] | null } | Failure;

function listParam(query: URLSearchParams, name: string, isItem: (item: string) => boolean): ListParam {
  const text = query.get(name);
  if (text === null) return { ok: true, value: null };
  const items = [...new Set(text.split(','))];
  return items.length <= FILTER_ITEMS_MAX && items.every(isItem)
    ? { ok: true, value: items }
    : failure('bad_request', `${name}: must be a comma list of at most ${FILTER_ITEMS_MAX} valid names`, { field: name });
}

/** STR30. */
export function generationParam(query: URLSearchParams): { ok: true; value: string | null } | Failure {
  const value = query.get('generation');
  if (value === null || GENERATION_PATTERN.test(value)) return { ok: true, value };
  return failure('bad_request', 'generation: must be one that a hello, an offset or an id of this session named', {
    field: 'generation',
  });
}

/** TTY9. */
function problemOfFrom(from: string, alone: boolean, executions: string[] | null): string | null {
  if (from !== 'screen') return 'from: must be screen';
  if (!alone) return 'from: excludes after and tail';
  return executions?.length === 1 ? null : 'from: needs exactly one execution';
}

/** What a reader asks for: the start, and the filters. */
export function readerParams(query: URLSearchParams): { ok: true; request: ViewerRequest } | Failure {
  const after = numberParam(query.get('after'));
  const tail = numberParam(query.get('tail'));
  if (after === null) return failure('bad_request', 'after: must be a whole number', { field: 'after' });
  if (tail === null) return failure('bad_request', 'tail: must be a whole number', { field: 'tail' });
  if (after !== undefined && tail !== undefined)
    return failure('bad_request', 'after and tail exclude each other', { field: 'tail' });
  const executions = listParam(query, 'execution', isId);
  if (!executions.ok) return executions;
  const from = query.get('from');
  if (from !== null) {
    const wrong = problemOfFrom(from, after === undefined && tail === undefined, executions.value);
    if (wrong) return failure('bad_request', wrong, { field: 'from' });
  }
  const types = listParam(query, 'types', (item) => EVENT_TYPE_PATTERN.test(item));
  if (!types.ok) return types;
  const flow = query.get('flow');
  if (flow !== null && flow !== 'ack') return failure('bad_request', 'flow: must be ack', { field: 'flow' });
  const generation = generationParam(query);
  if (!generation.ok) return generation;
  return {
    ok: true,
    request: {
      generation: generation.value,
      after: after ?? (tail === undefined ? 0 : null),
      tail: tail ?? null,
      ...(from === null ? {} : { from: 'screen' as const }),
      executions: executions.value,
      types: types.value,
      flow: flow === 'ack',
    },
  };
}
