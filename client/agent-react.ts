/** A hook for React 18 and later, and for Preact through `preact/compat`: a conversation. */

import { useCallback, useEffect, useRef, useState } from 'react';
import { type AgentFormat, type Answer, encodeMessage, type QuestionItem } from '../agent/index.ts';
import { type ConversationSnapshot, ConversationStore, INITIAL_CONVERSATION } from './agent/conversation-store.ts';
import { sendNext } from './agent/send-next.ts';
import type { HoldfastClient } from './http/types.ts';

export type { ConversationSnapshot, Turn } from './agent/conversation-store.ts';

export interface UseConversationOptions {
  client: HoldfastClient;
  session: string;
  /** Default: all executions of the session, as turns. */
  execution?: string;
  /** Default: that of each start. */
  format?: AgentFormat;
  /** False: opens no stream. Default true. */
  enabled?: boolean;
}

export interface UseConversation extends ConversationSnapshot {
  /** Connects again at once, after a failure too. */
  reconnect(): void;
  /** Answers an open question. The credential needs the right `input`. */
  answer(question: QuestionItem, answer: Answer): Promise<void>;
  /**
   * Sends a message to a running agent. Rejects for one that takes none, such as `codex exec`: its
   * next turn is another execution.
   */
  send(execution: string, text: string): Promise<void>;
  /**
   * Begins the next turn after one that has ended: another execution, whose id it resolves to.
   * Needs an API key. Rejects where the agent offers no way.
   */
  next(execution: string, text: string): Promise<string>;
}

/** A component has a stream of its own, and reads the log from its beginning. */
export function useConversation(options: UseConversationOptions): UseConversation {
  const { client, session, execution, format, enabled = true } = options;
  const [snapshot, setSnapshot] = useState(INITIAL_CONVERSATION);
  const store = useRef<ConversationStore | null>(null);
  const newest = useRef(snapshot);
  newest.current = snapshot;
  useEffect(() => {
    setSnapshot(INITIAL_CONVERSATION);
    if (!enabled) return;
    const own = new ConversationStore(
      (hooks) => client.events(session, { ...hooks, ...(execution === undefined ? {} : { execution }) }),
      setSnapshot,
      format,
    );
    store.current = own;
    return () => {
      store.current = null;
      own.close();
    };
  }, [client, session, execution, format, enabled]);

  const reconnect = useCallback(() => store.current?.reconnect(), []);
  const answer = useCallback(
    async (question: QuestionItem, given: Answer) => {
      const turn = newest.current.turns.find(({ items }) => items.some(({ key }) => key === question.key));
      const owner = turn?.execution ?? execution;
      if (owner === undefined) throw new TypeError('the question is in none of these turns');
      await client.answer(session, owner, { id: question.id, ...given });
    },
    [client, session, execution],
  );
  const send = useCallback(
    async (to: string, text: string) => {
      const turn = newest.current.turns.find((each) => each.execution === to);
      const message = encodeMessage(format ?? turn?.summary.format ?? 'auto', text);
      if (message === null) throw new TypeError(`${to}: this agent takes no message while it runs; start another execution`);
      await client.sendInput(session, to, message);
    },
    [client, session, format],
  );
  const next = useCallback(
    async (after: string, text: string) => {
      const turn = newest.current.turns.find((each) => each.execution === after);
      if (!turn) throw new TypeError(`${after} is none of these turns`);
      const last = await client.get(session, after);
      return (await sendNext(client, last, turn.summary, text)).id;
    },
    [client, session],
  );
  return { ...snapshot, reconnect, answer, send, next };
}
