import type { ComponentType } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { HoldfastError } from '../../../client/index.ts';
import { type Execution, isTerminal, type SessionSummary } from '../../../protocol/index.ts';
import { ChunkState, useChunk } from '../execution/chunk.tsx';
import { agentFormatOf } from '../execution/main-tabs.tsx';
import { TabList } from '../execution/tab-list.tsx';
import { Ago, Button, CopyButton, formatCount } from '../ui/index.ts';
import { useApp, useQuery } from './context.ts';
import { DeleteSession } from './delete-session.tsx';
import { ListFrame, statusOf, useBusyReader } from './list-frame.tsx';
import type { ListOf } from './list-state.ts';
import { NotFound } from './not-found.tsx';
import { useLive } from './preferences.ts';
import { executionPath, SESSIONS_PATH } from './router.ts';
import { RunRow } from './run-row.tsx';
import { useList } from './use-list.ts';

const OF: ListOf<Execution> = { idOf: ({ id }) => id, orderOf: ({ createdAt }) => createdAt };
const COLUMNS = ['Status', 'Execution', 'Command', 'Result', 'Duration', 'Created'];

const isQuiet = (items: readonly Execution[]): boolean => items.every(({ status }) => isTerminal(status));

/**
 * The summary is read again with every refresh while the session is active, and otherwise when the
 * list changed.
 */
const summaryTrigger = (items: readonly Execution[] | null): unknown =>
  items === null || !isQuiet(items) ? items : items.map(({ id }) => id).join();

const isMissing = (error: HoldfastError | null): boolean => error?.code === 'session_not_found';

/** One session: its facts, and its executions, newest first. */
export function SessionPage({ session }: { session: string }) {
  const { client, readOnly, navigate } = useApp();
  const [query, changeQuery] = useQuery();
  const [live, setLive] = useLive();
  const reader = useBusyReader();
  const [deleting, setDeleting] = useState(false);
  const status = statusOf(query);
  const isConversation = query.get('view') === 'conversation';
  const tab = isConversation ? 'conversation' : 'executions';
  const view = useList<Execution>({
    client,
    name: `session ${session} ${status ?? ''}`,
    of: OF,
    fetchPage: useCallback((page) => client.list(session, { ...page, ...(status ? { status } : {}) }), [client, session, status]),
    live,
    isBusy: reader.busy,
    // Every read wakes the session: a settled one is read less often.
    isQuiet,
  });
  const summary = useSummary(session, summaryTrigger(view.list?.items ?? null));
  const hasTabs = isConversation || hasAgents(view.list?.items);

  if (isMissing(view.error)) {
    return (
      <NotFound title="No such session">
        There is no session <code>{session}</code> here. It may have been deleted, or its name is misspelt.
      </NotFound>
    );
  }
  return (
    <>
      <div class="page-head">
        <div class="page-title">
          <h1 tabIndex={-1}>{session}</h1>
          <CopyButton text={session} label="Copy the session's id" />
        </div>
        {readOnly ? null : (
          <Button kind="danger" size="small" icon="trash" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )}
      </div>
      {summary ? <Summary summary={summary} /> : null}
      {hasTabs ? (
        <TabList
          tabs={[
            ['executions', 'Executions'],
            ['conversation', 'Conversation'],
          ]}
          tab={tab}
          onTab={(chosen) => changeQuery({ view: chosen === 'conversation' ? chosen : null })}
          label="Views of the session"
          prefix="session-tab"
          panel="session-panel"
        />
      ) : null}
      <div {...(hasTabs ? { id: 'session-panel', role: 'tabpanel', 'aria-labelledby': `session-tab-${tab}` } : {})}>
        {isConversation ? (
          <ConversationOfSession session={session} />
        ) : (
          <ListFrame
            noun="executions"
            columns={COLUMNS}
            view={view}
            of={OF}
            live={live}
            onLive={setLive}
            status={status}
            query={changeQuery}
            counts={summary?.counts}
            onPointerMove={reader.onPointerMove}
            empty={<p>Nothing was started in this session yet.</p>}
            row={(execution) => (
              <RunRow
                key={execution.id}
                name={execution.id}
                href={executionPath(session, execution.id)}
                execution={execution}
                at={execution.createdAt}
              />
            )}
          />
        )}
      </div>
      <DeleteSession
        session={session}
        summary={summary}
        open={deleting}
        onClose={() => setDeleting(false)}
        onDeleted={() => navigate(SESSIONS_PATH, { replace: true })}
      />
    </>
  );
}

const hasAgents = (runs: readonly Execution[] = []): boolean => runs.some((run) => agentFormatOf(run) !== null);

const loadConversation = (): Promise<ComponentType<{ session: string }>> =>
  import('../conversation/session-conversation.tsx').then(({ SessionConversation }) => SessionConversation);

function ConversationOfSession({ session }: { session: string }) {
  const Part = useChunk(loadConversation);
  return Part.state === 'ready' ? <Part.part session={session} /> : <ChunkState chunk={Part} what="The conversation" />;
}

/** Null while unknown; this can be permanent: a link to one execution may not read it. */
function useSummary(session: string, trigger: unknown): SessionSummary | null {
  const { client } = useApp();
  const [summary, setSummary] = useState<SessionSummary | null>(null);
  useEffect(() => {
    if (trigger === null) return;
    const abort = new AbortController();
    // The list reports a failure, and a deleted session.
    client.session(session, { signal: abort.signal }).then(setSummary, () => {});
    return () => abort.abort();
  }, [client, session, trigger]);
  return summary;
}

function Summary({ summary: { id, active, head, earliest, createdAt, lastActivityAt, counts } }: { summary: SessionSummary }) {
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  return (
    <dl class="facts">
      <div>
        <dt>Executions</dt>
        <dd class="num">{formatCount(total)}</dd>
      </div>
      <div>
        <dt>Events in the log</dt>
        <dd class="num">{formatCount(head === 0 ? 0 : head - earliest + 1)}</dd>
      </div>
      <div>
        <dt>Created</dt>
        <dd>
          <Ago at={createdAt} />
        </dd>
      </div>
      <div>
        <dt>Last activity</dt>
        <dd>
          <Ago at={lastActivityAt} />
        </dd>
      </div>
      <div class="fact-wide">
        <dt>Active</dt>
        <dd>{active ? <a href={executionPath(id, active)}>{active}</a> : <span class="muted">none</span>}</dd>
      </div>
    </dl>
  );
}
