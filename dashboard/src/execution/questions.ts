/**
 * The open questions of the run's agent, oldest first: from the object, updated by events. Pure.
 *
 * The object names only the oldest. Events name each, but the one that opened it may not be loaded.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import type { Execution } from './model.ts';

export interface AskedQuestion {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
}

const askedOf = ({
  id,
  kind,
  text,
}: {
  readonly id?: unknown;
  readonly kind?: unknown;
  readonly text?: unknown;
}): AskedQuestion | null =>
  typeof id === 'string' ? { id, kind: String(kind), text: typeof text === 'string' ? text : '' } : null;

export function questionsOf({ asking }: Execution): readonly AskedQuestion[] {
  const oldest = asking ? askedOf(asking) : null;
  return oldest === null ? [] : [oldest];
}

/** The object, read again. It is older than the newest events only for a moment. */
export function withAsked(known: readonly AskedQuestion[], execution: Execution): readonly AskedQuestion[] {
  const [oldest] = questionsOf(execution);
  if (!oldest) return known.length === 0 ? known : [];
  return known.some(({ id }) => id === oldest.id) ? known : [oldest, ...known];
}

/** Returns the same list when the event changes nothing. */
export function withQuestion(known: readonly AskedQuestion[], { type, data }: LoggedEvent): readonly AskedQuestion[] {
  if (type === 'asking') {
    const asked = askedOf(data);
    return asked === null || known.some(({ id }) => id === asked.id) ? known : [...known, asked];
  }
  if (type !== 'answered' && type !== 'asking_ended') return known;
  return known.some(({ id }) => id === data.id) ? known.filter(({ id }) => id !== data.id) : known;
}
