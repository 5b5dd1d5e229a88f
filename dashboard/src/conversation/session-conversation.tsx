/**
 * The conversation of a session: the turns of all its runs in their order, and the next message.
 *
 * Reads the log once from the first run of an agent on, and follows it. What is known of the runs is
 * read with the list, and again when one of them begins or ends.
 */

import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Summary } from '../../../agent/index.ts';
import { connectSession, type LoggedEvent, type SessionStreamOptions } from '../../../client/index.ts';
import { type Execution, isStatus, isTerminal, LIST_LIMIT_MAX, type Status } from '../../../protocol/index.ts';
import { useApp } from '../app/context.ts';
import { executionPath } from '../app/router.ts';
import { AgentEvents } from '../execution/agent-events.ts';
import { formatCommand } from '../execution/command-line.ts';
import { messageEncoder } from '../execution/conversation-tab.tsx';
import type { StreamLike } from '../execution/feed-types.ts';
import { InputBar } from '../execution/input-bar.tsx';
import { agentFormatOf } from '../execution/main-tabs.tsx';
import { errorText } from '../execution/messages.ts';
import { Button, StatusBadge } from '../ui/index.ts';
import ConversationPanel from './conversation-panel.tsx';
import type { Answering, Choice } from './question.tsx';
import { askedBy, NO_SUMMARY, TurnsReader } from './turns-reader.ts';

interface Props {
  session: string;
  /** Stands in for the client in tests. */
  connect?: (options: SessionStreamOptions) => StreamLike;
}

interface Runs {
  known: ReadonlyMap<string, Execution>;
  /** The log is read behind this offset: before it there is no agent, or too much. */
  after: number;
  /** There are older runs, which are not shown. */
  isCut: boolean;
}

const OLDEST_FIRST = (a: Execution, b: Execution): number => a.firstOffset - b.firstOffset;

function runsOf(listed: readonly Execution[], isCut: boolean): Runs {
  const runs = [...listed].sort(OLDEST_FIRST);
  const first = runs.find((run) => agentFormatOf(run) !== null);
  return { known: new Map(runs.map((run) => [run.id, run])), after: Math.max(0, (first?.firstOffset ?? 1) - 1), isCut };
}

export function SessionConversation({ session, connect }: Props) {
  const { client } = useApp();
  const [runs, setRuns] = useState<Runs | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [generation, setGeneration] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: read again after a failure
  useEffect(() => {
    const abort = new AbortController();
    client.list(session, { limit: LIST_LIMIT_MAX, signal: abort.signal }).then(
      ({ data, next }) => setRuns(runsOf(data, next !== null)),
      (failure: unknown) => {
        if (!abort.signal.aborted) setError(failure);
      },
    );
    return () => abort.abort();
  }, [client, session, generation]);
  const again = () => {
    setRuns(null);
    setError(null);
    setGeneration((before) => before + 1);
  };
  if (error) return <Failed error={error} onAgain={again} />;
  if (!runs) return <p class="exec-empty">Loading the conversation…</p>;
  return <Turns key={generation} session={session} runs={runs} onAgain={again} {...(connect ? { connect } : {})} />;
}

function Failed({ error, onAgain }: { error: unknown; onAgain(): void }) {
  return (
    <div class="exec-empty" role="alert">
      <p>The conversation could not be loaded. {errorText(error)}</p>
      <Button onClick={onAgain}>Try again</Button>
    </div>
  );
}

function Turns({ session, runs, connect = connectSession, onAgain }: Props & { runs: Runs; onAgain(): void }) {
  const { client, getTicket, may, readOnly, navigate } = useApp();
  const [known, setKnown] = useState(runs.known);
  const [statuses, setStatuses] = useState<ReadonlyMap<string, Status>>(new Map());
  const [isCaughtUp, setCaughtUp] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  /** Ahead of `known` while a batch of the log is taken in. */
  const latest = useRef(known);
  const [draft, setDraft] = useState('');
  const keep = useCallback((run: Execution) => {
    latest.current = new Map(latest.current).set(run.id, run);
    setKnown(latest.current);
  }, []);

  const [events] = useState(() => {
    const kept = new AgentEvents(() => true);
    // Nothing older is read, so the events need not be kept.
    kept.atStart();
    return kept;
  });
  const reader = useRef<TurnsReader | null>(null);
  const openReader = useCallback((): TurnsReader => {
    reader.current = new TurnsReader((execution) => {
      const run = latest.current.get(execution);
      return run ? agentFormatOf(run) : 'auto';
    });
    return reader.current;
  }, []);

  useEffect(() => {
    const abort = new AbortController();
    const stream = connect({
      url: location.origin,
      session,
      getTicket: () => getTicket(session),
      after: runs.after,
      signal: abort.signal,
      onControl: ({ type }) => {
        if (type === 'caught_up') setCaughtUp(true);
      },
    });
    const follow = async (): Promise<void> => {
      for await (const batch of stream.batches()) {
        // Only its format says whether a run has a conversation.
        for (const id of new Set(batch.map(({ execution }) => execution))) {
          if (latest.current.has(id)) continue;
          await client.get(session, id, { signal: abort.signal }).then(keep, () => {});
        }
        if (abort.signal.aborted) return;
        events.append(batch);
        const changes = batch.flatMap(statusOf);
        if (changes.length > 0) setStatuses((before) => new Map([...before, ...changes]));
      }
    };
    follow().catch((error: unknown) => {
      if (!abort.signal.aborted) setFailure(error);
    });
    return () => {
      abort.abort();
      stream.close();
    };
  }, [client, session, connect, getTicket, runs, events, keep]);

  const newest = [...statuses.keys()].findLast((id) => {
    const run = known.get(id);
    return run === undefined || agentFormatOf(run) !== null;
  });
  const status = newest === undefined ? null : (statuses.get(newest) ?? null);
  // Its command, its stdin and its end are not in the events.
  useEffect(() => {
    if (newest === undefined || status === null || !isCaughtUp) return;
    const abort = new AbortController();
    client.get(session, newest, { signal: abort.signal }).then(keep, () => {});
    return () => abort.abort();
  }, [client, session, newest, status, isCaughtUp, keep]);

  const last = newest === undefined ? undefined : known.get(newest);
  /** The run that a message on its way continues. The next one is running before it has the message. */
  const [continued, setContinued] = useState<Execution | null>(null);
  const isOver = last !== undefined && isTerminal(last.status);
  const encode = last && last.status === 'running' && last.openStdin && !last.stdinEnded && may.input ? encoderOf(last) : null;
  const answering = useMemo<Answering>(
    () => ({
      answer: may.input
        ? async (id: string, choice: Choice) => {
            const { execution, question } = askedBy(id);
            await client.answer(session, execution, { id: question, ...choice });
          }
        : null,
      why: may.input ? null : 'It waits for an answer. This link allows no input.',
      errorText,
    }),
    [client, session, may.input],
  );
  const turnHead = useCallback(
    (execution: string) => {
      const run = known.get(execution);
      const now = statuses.get(execution) ?? run?.status;
      return (
        <p class="talk-turn">
          {now ? <StatusBadge status={now} /> : null}{' '}
          <a href={executionPath(session, execution)}>{run ? formatCommand(run.command).slice(0, COMMAND_CHARS) : execution}</a>
        </p>
      );
    },
    [session, known, statuses],
  );

  if (failure) return <Failed error={failure} onAgain={onAgain} />;
  return (
    <div class="talk-turns">
      {runs.isCut ? (
        <p class="talk-next-none">The newest {LIST_LIMIT_MAX} runs of this session are shown. Older ones are in the list.</p>
      ) : null}
      <div class="exec-log">
        <ConversationPanel
          events={events}
          format="auto"
          reader={openReader}
          turnHead={turnHead}
          live={!isOver}
          older={isCaughtUp ? 'none' : 'loading'}
          onOlder={() => {}}
          onLoadAll={() => {}}
          onGoToOffset={async () => true}
          onLog={(offset) => {
            const execution = reader.current?.turnOf(String(offset));
            if (execution !== undefined) navigate(executionPath(session, execution));
          }}
          answering={answering}
          next={continued ?? (isOver && !readOnly ? last : null)}
          onNext={() => {}}
          onNextBusy={(busy) => setContinued(busy && last ? last : null)}
          nextSummary={(run) => summaryToContinue(run, known, reader.current)}
          draft={[draft, setDraft]}
          turns={{ session, before: null, after: [] }}
          empty={<p class="exec-empty">{isCaughtUp ? 'No agent has run in this session yet.' : 'Loading the conversation…'}</p>}
        />
      </div>
      {encode && last && !continued ? (
        <InputBar
          key={last.id}
          session={session}
          execution={last.id}
          encode={encode}
          onReady={() => {}}
          draft={[draft, setDraft]}
        />
      ) : null}
    </div>
  );
}

/** Of the head of a turn. */
const COMMAND_CHARS = 120;

/** Of a run that ended before its agent named the conversation, the run before it knows the name. */
function summaryToContinue(last: Execution, known: ReadonlyMap<string, Execution>, reader: TurnsReader | null): Summary {
  let run: Execution | undefined = last;
  while (run) {
    const summary: Summary | null | undefined = reader?.summaryOf(run.id);
    if (summary && summary.sessionId !== null) return summary;
    // An execution continues an earlier one, so this ends.
    run = run.continues === undefined ? undefined : known.get(run.continues);
  }
  return reader?.summaryOf(last.id) ?? NO_SUMMARY;
}

const encoderOf = (run: Execution) => messageEncoder(agentFormatOf(run));

function statusOf({ execution, type }: LoggedEvent): [string, Status][] {
  const status = type.startsWith('execution_') ? type.slice('execution_'.length) : '';
  return isStatus(status) ? [[execution, status]] : [];
}
