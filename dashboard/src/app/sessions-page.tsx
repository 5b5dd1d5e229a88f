import { useCallback } from 'preact/hooks';
import type { SessionItem } from '../../../client/index.ts';
import { useApp, useQuery } from './context.ts';
import { ListFrame, statusOf, useBusyReader } from './list-frame.tsx';
import type { ListOf } from './list-state.ts';
import { useLive } from './preferences.ts';
import { executionPath, sessionPath } from './router.ts';
import { RunRow } from './run-row.tsx';
import { useList } from './use-list.ts';

const OF: ListOf<SessionItem> = { idOf: ({ id }) => id, orderOf: ({ lastActivityAt }) => lastActivityAt };
const COLUMNS = ['Status', 'Session', 'Newest execution', 'Result', 'Duration', 'Active'];

/** All sessions of the tenant, by newest activity. */
export function SessionsPage() {
  const { client } = useApp();
  const [query, changeQuery] = useQuery();
  const [live, setLive] = useLive();
  const reader = useBusyReader();
  const status = statusOf(query);
  const view = useList<SessionItem>({
    client,
    name: `sessions ${status ?? ''}`,
    of: OF,
    fetchPage: useCallback((page) => client.sessions({ ...page, ...(status ? { status } : {}) }), [client, status]),
    live,
    isBusy: reader.busy,
  });
  return (
    <>
      <div class="page-head">
        <h1 tabIndex={-1}>Sessions</h1>
      </div>
      <ListFrame
        noun="sessions"
        columns={COLUMNS}
        view={view}
        of={OF}
        live={live}
        onLive={setLive}
        status={status}
        query={changeQuery}
        onPointerMove={reader.onPointerMove}
        empty={<FirstRun />}
        row={({ id, execution, open, asking, lastActivityAt }) => (
          <RunRow
            key={id}
            name={id}
            href={sessionPath(id)}
            execution={execution}
            open={open}
            asking={asking === true}
            commandHref={execution ? executionPath(id, execution.id) : undefined}
            at={lastActivityAt}
          />
        )}
      />
    </>
  );
}

/** No session was ever started: shows how to start one. */
function FirstRun() {
  return (
    <>
      <h2>No sessions yet</h2>
      <p>A session begins with its first execution. Start one from a terminal:</p>
      <pre class="sample">
        <code>{`export HOLDFAST_URL=${window.location.origin} HOLDFAST_API_KEY=…\nholdfast run -- sh -c 'for i in 1 2 3; do echo line $i; sleep 1; done'`}</code>
      </pre>
      <p class="muted">It appears here by itself.</p>
    </>
  );
}
