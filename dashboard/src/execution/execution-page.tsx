/**
 * The page of one run.
 *
 *   feed                  loads the run, follows it, loads older events; with history-loader,
 *                         log-position, log-window, line-search
 *   run-facts, timeline   what is known of it, from the object and from events
 *   messages, stream-view, interrupting                 the same as text
 *   header, notices, waiting, unavailable, connection   its state
 *   main-tabs, terminal-tab, conversation-tab, chunk    the views beside the log
 *   agent-events                                        the events for the conversation
 *   timeline-list, details, side                        its history, and everything else
 *   …-dialog, input-bar, use-download                   what can be done
 *
 * The log itself is the panel of `../log`; this page owns the feed of its model.
 */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { readTicket } from '../../../client/index.ts';
import { useApp, useHash } from '../app/context.ts';
import { itemHash, itemOf, offsetOf } from '../conversation/item-hash.ts';
import type { Answering, Choice } from '../conversation/question.tsx';
import { LogModel, LogPanel } from '../log/index.ts';
import { Button, formatBytes as bytesWords } from '../ui/index.ts';
import { AgentEvents } from './agent-events.ts';
import { Notice } from './components.tsx';
import { Connection } from './connection.tsx';
import { ConversationTab, messageEncoder } from './conversation-tab.tsx';
import { Details, RERUN_LABEL } from './details.tsx';
import { EventDialog } from './event-dialog.tsx';
import { ExecutionFeed } from './feed.ts';
import { type FeedOptions, type FeedSnapshot, sinkOf } from './feed-types.ts';
import { Header } from './header.tsx';
import { useSnapshot, useStoredState } from './hooks.ts';
import { InputBar } from './input-bar.tsx';
import { InterruptDialog } from './interrupt-dialog.tsx';
import { interruptResultText, interruptView, type PendingRequest } from './interrupting.ts';
import { agentFormatOf, besideLog, firstTab, type MainTab, MainTabs } from './main-tabs.tsx';
import { errorText, statusText } from './messages.ts';
import { Notices } from './notices.tsx';
import { RerunDialog } from './rerun-dialog.tsx';
import { askedFirst, type Facts, isEnded } from './run-facts.ts';
import { ShareDialog } from './share-dialog.tsx';
import { Side, type SideTab } from './side.tsx';
import { streamView } from './stream-view.ts';
import { TerminalTab } from './terminal-tab.tsx';
import { TimelineList } from './timeline-list.tsx';
import { Unavailable } from './unavailable.tsx';
import { useDownload } from './use-download.ts';
import { Waiting } from './waiting.tsx';
import './execution.css';

interface Props {
  session: string;
  execution: string;
  /** How streams are opened, if not by `connectSession`. */
  connect?: FeedOptions['connect'];
}

export function ExecutionPage({ session, execution, ...rest }: Props) {
  // A restart is a new view: its model, its feed and everything that belonged to the old ones.
  const [generation, setGeneration] = useState(0);
  return (
    <View
      key={`${session}/${execution}/${generation}`}
      session={session}
      execution={execution}
      {...rest}
      onRestart={() => setGeneration((before) => before + 1)}
    />
  );
}

/**
 * Delay of the page's clock after the expiry of its link, so that the coordinator no longer accepts
 * it.
 */
const AFTER_EXPIRY_MS = 500;
/** A longer timer fires at once. It is 24 days. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Of a question, beside another view. */
const QUESTION_CHARS = 300;

const lineOfHash = (hash: string): number | null => {
  const line = Number(/^#L(\d{1,9})/.exec(hash)?.[1] ?? 0);
  return line >= 1 ? line : null;
};

function View({ session, execution, connect, onRestart }: Props & { onRestart(): void }) {
  const { client, credential, getTicket } = useApp();
  const hash = useHash();
  const [{ feed, model, events }] = useState(() => {
    const log = new LogModel();
    const agent = new AgentEvents(() => {
      const known = made.snapshot.facts?.execution;
      return known !== undefined && besideLog(known) === 'conversation';
    });
    const options = {
      session,
      execution,
      url: location.origin,
      client,
      readsSession: credential.kind === 'key' || readTicket(credential.ticket).execution === null,
      getTicket: () => getTicket(session, execution),
      model: sinkOf(log, agent),
      line: lineOfHash(hash),
      offset: offsetOf(hash),
      ...(connect ? { connect } : {}),
    };
    const made = new ExecutionFeed(options);
    return { model: log, feed: made, events: agent };
  });
  const snapshot = useSnapshot(feed);

  useEffect(() => {
    void feed.start();
    const onBack = () => {
      if (document.visibilityState === 'visible') void feed.refresh();
    };
    // A page from the back/forward cache fires only this event; at a usual load the run was just
    // requested.
    const onShow = ({ persisted }: PageTransitionEvent) => {
      if (persisted) onBack();
    };
    document.addEventListener('visibilitychange', onBack);
    window.addEventListener('pageshow', onShow);
    window.addEventListener('online', onBack);
    return () => {
      document.removeEventListener('visibilitychange', onBack);
      window.removeEventListener('pageshow', onShow);
      window.removeEventListener('online', onBack);
      feed.close();
    };
  }, [feed]);

  // When the link expires the coordinator is asked, whose clock counts: its refusal ends the page.
  // The loaded log stays.
  const expiresAt = credential.kind === 'ticket' ? readTicket(credential.ticket).expiresAt : null;
  useEffect(() => {
    if (expiresAt === null) return;
    const timer = setTimeout(
      () => {
        if (feed.snapshot.stream?.status !== 'ended') void feed.refresh();
      },
      Math.min(Math.max(0, expiresAt - Date.now()) + AFTER_EXPIRY_MS, TIMER_MAX_MS),
    );
    return () => clearTimeout(timer);
  }, [feed, expiresAt]);

  const { load, facts } = snapshot;
  if (load.state !== 'ready' || !facts) return <Unavailable load={load} session={session} onRetry={onRestart} />;
  return <Ready feed={feed} model={model} events={events} facts={facts} onRestart={onRestart} connect={connect} />;
}

type Open = 'interrupt' | 'force' | 'rerun' | 'share' | null;

interface ReadyProps {
  feed: ExecutionFeed;
  model: LogModel;
  events: AgentEvents;
  facts: Facts;
  onRestart(): void;
  connect: FeedOptions['connect'];
}

function Ready({ feed, model, events, facts, onRestart, connect }: ReadyProps) {
  const { client, readOnly, may, registerKeys, toast } = useApp();
  const snapshot = useSnapshot(feed);
  const { execution } = facts;
  const { id, session, status } = execution;
  const ended = isEnded(facts);
  /** No further event will arrive. */
  const over = ended || snapshot.gone;
  const [open, setOpen] = useState<Open>(null);
  const [inspected, setInspected] = useState<number | null>(null);
  const [pending, setPending] = useState<PendingRequest>('none');
  const [side, setSide] = useStoredState('holdfast.side', 'open');
  const [tab, setTab] = useState<SideTab>('timeline');
  const focusInput = useRef<(() => void) | null>(null);
  const { reruns, continuedBy } = useLaterRuns(session, id, ended && !readOnly);
  const download = useDownload();
  const interrupt = interruptView(facts, pending);
  const stdinOpen = execution.openStdin === true && execution.stdinEnded !== true;
  const takesInput = status === 'running' && !snapshot.gone && stdinOpen && may.input && !execution.terminal;
  const hash = useHash();
  const beside = besideLog(execution);
  const format = agentFormatOf(execution);
  const [mainTab, setMainTab] = useState<MainTab>(() => firstTab(execution));
  /** The address names a line or an item: the view that has it is shown. */
  useEffect(() => {
    if (lineOfHash(hash) !== null) setMainTab('log');
    else if (itemOf(hash) !== null && beside === 'conversation') setMainTab('conversation');
  }, [hash, beside]);
  // Text that is no message would end such an agent. Others read something else than messages.
  const encode = mainTab === 'conversation' ? messageEncoder(format) : null;
  const [target, setTarget] = useState<{ offset: number } | null>(null);
  const showInLog = (offset: number): void => {
    setTarget({ offset });
    setMainTab('log');
  };
  const showInConversation = (offset: number): void => {
    setInspected(null);
    setMainTab('conversation');
    location.replace(itemHash(String(offset)));
  };
  const answers = may.input && status === 'running' && !snapshot.gone;
  const answering = useMemo<Answering>(
    () => ({
      answer: answers ? (question: string, choice: Choice) => client.answer(session, id, { id: question, ...choice }) : null,
      why: may.input ? null : 'It waits for an answer. This link allows no input.',
      errorText,
    }),
    [answers, may.input, client, session, id],
  );

  const reconnect = () => {
    if (!feed.reconnect()) onRestart();
  };

  const onInterrupt = async (kind: 'interrupt' | 'force', reason: string) => {
    setOpen(null);
    setPending(kind);
    try {
      const request = { force: kind === 'force', ...(reason === '' ? {} : { reason }) };
      const answer = await client.interrupt(session, id, request);
      feed.adopt(answer.execution);
      const result = interruptResultText({ accepted: answer.accepted, status: answer.execution.status });
      if (result) toast(result);
      if (kind === 'interrupt') setPending('none');
    } catch (error) {
      setPending('none');
      toast(errorText(error), 'error');
    }
  };

  const keys = useRef<Record<'interrupt' | 'rerun' | 'input' | 'side' | 'reconnect', () => void>>(null as never);
  keys.current = {
    interrupt: () => {
      if (may.interrupt && !over && interrupt.next) setOpen(interrupt.next);
    },
    rerun: () => {
      if (!readOnly) setOpen('rerun');
    },
    input: () => focusInput.current?.(),
    side: () => setSide(side === 'open' ? 'closed' : 'open'),
    reconnect,
  };
  useEffect(
    () =>
      registerKeys([
        { keys: ['i'], label: 'Interrupt the run', run: () => keys.current.interrupt() },
        { keys: ['r'], label: 'Run it again', run: () => keys.current.rerun() },
        { keys: ['s'], label: 'Send input to the run', run: () => keys.current.input() },
        { keys: ['e'], label: 'Show or hide the timeline', run: () => keys.current.side() },
        { keys: ['c'], label: 'Reconnect', run: () => keys.current.reconnect() },
      ]),
    [registerKeys],
  );

  const asked = snapshot.gone ? null : askedFirst(facts);
  const statusWords = snapshot.gone ? 'Deleted' : statusText({ ...facts, asking: asked !== null });
  useTitle(`${statusWords} · ${execution.command[0] ?? id}`);

  const log = (
    <div class="exec-log">
      <LogPanel
        model={model}
        live={!over}
        startedAt={execution.startedAt ?? null}
        older={snapshot.older.state}
        onOlder={() => feed.loadOlder()}
        onLoadAll={() => feed.loadAll()}
        onGoToLine={(line) => feed.goToLine(line)}
        onInspect={setInspected}
        onDownload={(kind) =>
          download.start(kind, execution, {
            earliest: snapshot.expiredBefore ?? 1,
            head: snapshot.newest,
            generation: snapshot.generation,
          })
        }
        empty={<p class="exec-empty">{emptyWords(snapshot)}</p>}
        target={target}
      />
      <Waiting snapshot={snapshot} facts={facts} lines={model.lines} />
    </div>
  );

  return (
    <div class="exec" data-side={side}>
      <Header
        facts={facts}
        reruns={reruns}
        progress={snapshot.gone ? null : interrupt.progress}
        gone={snapshot.gone}
        connection={
          snapshot.gone ? null : <Connection state={snapshot.stream} since={snapshot.streamSince} onReconnect={reconnect} />
        }
        actions={
          <>
            {!may.interrupt || over ? null : (
              <Button
                kind="danger"
                disabled={interrupt.next === null}
                title={interrupt.next === 'force' ? 'End it without waiting for the job (i)' : 'Stop the job (i)'}
                onClick={() => setOpen(interrupt.next)}
              >
                {interrupt.label}
              </Button>
            )}
            {readOnly ? null : (
              <>
                <Button title="Run it again (r)" onClick={() => setOpen('rerun')}>
                  Rerun
                </Button>
                {snapshot.gone ? null : <Button onClick={() => setOpen('share')}>Share</Button>}
              </>
            )}
            <Button
              kind="ghost"
              pressed={side === 'open'}
              title="Show or hide the timeline and the details (e)"
              onClick={() => keys.current.side()}
            >
              Timeline
            </Button>
          </>
        }
      />
      <Notices
        snapshot={snapshot}
        facts={facts}
        onReconnect={reconnect}
        onRestart={onRestart}
        onCancelLoading={() => feed.cancelLoading()}
        onRetryOlder={() => feed.retryOlder()}
      />
      {asked !== null && mainTab !== 'conversation' ? (
        <Notice
          tone="warn"
          title="The agent waits for an answer"
          actions={
            beside === 'conversation' ? (
              <Button kind="primary" onClick={() => setMainTab('conversation')}>
                Show the question
              </Button>
            ) : null
          }
        >
          {asked.text.slice(0, QUESTION_CHARS)}
        </Notice>
      ) : null}
      {download.busy || download.error ? (
        <Notice
          tone={download.error ? 'warn' : 'info'}
          title={download.error ? 'The download failed' : 'Downloading'}
          actions={
            download.error ? <Button onClick={download.clear}>Close</Button> : <Button onClick={download.cancel}>Cancel</Button>
          }
        >
          {download.error ? errorText(download.error) : `${bytesWords(download.bytes)} so far`}
        </Notice>
      ) : null}
      <div class="exec-body">
        <div class="exec-main">
          {beside === null ? (
            log
          ) : (
            <MainTabs beside={beside} tab={mainTab} onTab={setMainTab}>
              {mainTab === 'log' ? (
                log
              ) : (
                <div class="exec-log">
                  {mainTab === 'terminal' ? (
                    <TerminalTab
                      session={session}
                      execution={id}
                      isRunning={status === 'running'}
                      over={over}
                      {...(connect ? { connect } : {})}
                    />
                  ) : (
                    <>
                      <ConversationTab
                        events={events}
                        format={format ?? 'auto'}
                        live={!over}
                        older={snapshot.older.state}
                        onOlder={() => feed.loadOlder()}
                        onLoadAll={() => feed.loadAll()}
                        onGoToOffset={(offset) => feed.goToOffset(offset)}
                        onLog={showInLog}
                        answering={answering}
                        next={ended && !readOnly && !snapshot.gone ? execution : null}
                        turns={{ session, before: execution.continues ?? null, after: continuedBy }}
                        empty={<p class="exec-empty">{emptyWords(snapshot)}</p>}
                      />
                      <Waiting snapshot={snapshot} facts={facts} lines={model.lines} />
                    </>
                  )}
                </div>
              )}
            </MainTabs>
          )}
          {takesInput && (mainTab === 'log' || beside === null || encode) ? (
            <InputBar
              key={encode ? 'message' : 'text'}
              session={session}
              execution={id}
              encode={encode}
              onReady={(focus) => {
                focusInput.current = focus;
              }}
            />
          ) : null}
        </div>
        {side === 'open' ? (
          <Side tab={tab} onTab={setTab}>
            {tab === 'timeline' ? (
              <TimelineList
                facts={facts}
                history={snapshot.history}
                onHistory={() => void feed.loadHistory()}
                onInspect={setInspected}
              />
            ) : (
              <Details facts={facts} reruns={reruns} />
            )}
          </Side>
        ) : null}
      </div>
      <Announcer status={statusWords} connection={announced(snapshot.stream, snapshot.streamSince)} />
      {readOnly ? null : (
        <>
          <InterruptDialog
            key={open}
            facts={facts}
            kind={open === 'interrupt' || open === 'force' ? open : null}
            onClose={() => setOpen(null)}
            onConfirm={(kind, reason) => void onInterrupt(kind, reason)}
          />
          <RerunDialog execution={execution} open={open === 'rerun'} onClose={() => setOpen(null)} />
          <ShareDialog session={session} execution={id} open={open === 'share'} onClose={() => setOpen(null)} />
        </>
      )}
      <EventDialog
        session={session}
        execution={id}
        generation={snapshot.generation}
        offset={inspected}
        onClose={() => setInspected(null)}
        onConversation={beside === 'conversation' ? showInConversation : null}
      />
    </div>
  );
}

/** Shown in place of the log before its first line, including lines of the coordinator. */
function emptyWords({ stream, caughtUp, expiredBefore }: FeedSnapshot): string {
  if (stream?.status === 'failed') return 'The log could not be loaded.';
  if (!caughtUp && stream?.status !== 'ended') return 'Loading the log…';
  return expiredBefore === null ? 'Nothing has happened yet.' : 'Nothing of this log is kept any more.';
}

/** States that last only a moment are not announced. */
function announced(...[state, since]: [Parameters<typeof streamView>[0], number]): string | null {
  const { kind, label } = streamView(state, since, since);
  return kind === 'live' || kind === 'reconnecting' || kind === 'failed' || kind === 'ended' ? `Connection: ${label}` : null;
}

/**
 * Changes of status, announced once, politely. The initial state is not announced; the reader reads
 * it.
 */
function Announcer({ status: word, connection }: { status: string; connection: string | null }) {
  const status = `Run: ${word}`;
  const last = useRef({ status, connection });
  const [text, setText] = useState('');
  useEffect(() => {
    const before = last.current;
    const news: string[] = [];
    if (before.status !== status) news.push(status);
    if (connection !== null && before.connection !== null && before.connection !== connection) news.push(connection);
    last.current = { status, connection: connection ?? before.connection };
    if (news.length > 0) setText(news.join('. '));
  }, [status, connection]);
  return (
    <p class="exec-hidden" role="status">
      {text}
    </p>
  );
}

interface LaterRuns {
  /** Labelled as a repeat of this one. */
  reruns: readonly string[];
  continuedBy: readonly string[];
}

/** Newer runs that refer to this one, among the newest of the session. A failure here is not an error. */
function useLaterRuns(session: string, id: string, wanted: boolean): LaterRuns {
  const { client } = useApp();
  const [later, setLater] = useState<LaterRuns>({ reruns: [], continuedBy: [] });
  useEffect(() => {
    if (!wanted) return;
    const control = new AbortController();
    client.list(session, { limit: 50, signal: control.signal }).then(
      ({ data }) =>
        setLater({
          reruns: data.filter(({ labels }) => labels[RERUN_LABEL] === id).map((run) => run.id),
          continuedBy: data.filter(({ continues }) => continues === id).map((run) => run.id),
        }),
      () => {},
    );
    return () => control.abort();
  }, [client, session, id, wanted]);
  return later;
}

function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Holdfast`;
  }, [title]);
}
