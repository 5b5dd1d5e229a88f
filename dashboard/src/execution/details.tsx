/** Everything else that is known about the run. */

import type { ComponentChildren } from 'preact';
import { executionPath, sessionPath } from '../app/router.ts';
import { CopyButton, formatBytes, formatDateTime, formatDuration } from '../ui/index.ts';
import { formatCommand } from './command-line.ts';
import { Moment } from './components.tsx';
import { exitText } from './messages.ts';
import type { Execution, Policy } from './model.ts';
import type { Facts } from './run-facts.ts';

/** Label of a rerun: the run that it repeats. */
export const RERUN_LABEL = 'rerun-of';

const POLICY_WORDS: Readonly<Record<keyof Policy, string>> = {
  pendingTimeoutMs: 'Waits for a wrapper',
  disconnectGraceMs: 'Grace of a lost wrapper',
  silenceTimeoutMs: 'Silence counts as lost after',
  heartbeatMs: 'Heartbeat every',
  interruptGraceMs: 'Time to answer an interrupt',
  maxRuntimeMs: 'Maximum run time',
  maxLogBytes: 'Maximum log',
};

/** A run that was started under an earlier version has no limit of its log. */
function policyValue(key: keyof Policy, value: number | undefined): string {
  if (value === undefined) return 'none';
  return key === 'maxLogBytes' ? formatBytes(value) : formatDuration(value);
}

const FORMATS: Record<Execution['format'], string> = {
  text: 'text',
  jsonl: 'JSON lines',
  claude: 'lines of Claude Code',
  codex: 'lines of Codex',
  opencode: 'lines of OpenCode',
  acp: 'lines of the Agent Client Protocol',
  auto: 'lines of an agent',
};

const outputTerms = ({ format, merge, output }: Execution): string =>
  [
    FORMATS[format],
    ...(merge ? ['stdout and stderr in one pipe'] : []),
    ...(output === 'bytes' ? ['every byte is kept'] : []),
  ].join(', ');

export function Details({ facts, reruns }: { facts: Facts; reruns: readonly string[] }) {
  const { execution, wrapper } = facts;
  const { id, session, labels, policy } = execution;
  const original = labels[RERUN_LABEL];
  return (
    <div class="exec-details">
      <dl>
        <Row name="Run">
          <code>{id}</code> <CopyButton text={id} label="Copy the run id" />
        </Row>
        <Row name="Session">
          <a href={sessionPath(session)}>{session}</a> <CopyButton text={session} label="Copy the session id" />
        </Row>
        {execution.continues ? (
          <Row name="Continues">
            <a href={executionPath(session, execution.continues)}>{execution.continues}</a>
          </Row>
        ) : null}
        {original ? (
          <Row name="Rerun of">
            <a href={executionPath(session, original)}>{original}</a>
          </Row>
        ) : null}
        {reruns.length > 0 ? (
          <Row name="Run again as">
            {reruns.map((rerun) => (
              <div key={rerun}>
                <a href={executionPath(session, rerun)}>{rerun}</a>
              </div>
            ))}
          </Row>
        ) : null}
        <Row name="Command">
          <code class="exec-wrap">{formatCommand(execution.command)}</code>{' '}
          <CopyButton text={formatCommand(execution.command)} label="Copy the command" />
        </Row>
        {execution.cwd ? (
          <Row name="Directory">
            <code class="exec-wrap">{execution.cwd}</code>
          </Row>
        ) : null}
        <Times execution={execution} />
        {exitText(execution.exitCode, execution.signal) ? (
          <Row name="Result">{exitText(execution.exitCode, execution.signal)}</Row>
        ) : null}
        <Row name="Launcher">{execution.launcher === 'none' ? 'none (started by its caller)' : execution.launcher}</Row>
        <Placement execution={execution} />
        <Row name="Output">{outputTerms(execution)}</Row>
        <Row name="Input">{execution.openStdin ? 'open while it runs' : 'none'}</Row>
        <Row name="Reconnects">{String(wrapper.reconnects)}</Row>
        <Row name="Offsets">
          {execution.firstOffset} – {execution.lastOffset ?? '…'}
        </Row>
        {execution.traceparent ? (
          <Row name="Trace">
            <code class="exec-wrap">{execution.traceparent}</code>
          </Row>
        ) : null}
        <Row name="Labels">{Object.keys(labels).length === 0 ? 'none' : <LabelList labels={labels} />}</Row>
      </dl>
      <h2>Policy</h2>
      <dl>
        {(Object.keys(POLICY_WORDS) as (keyof Policy)[]).map((key) => (
          <Row key={key} name={POLICY_WORDS[key]}>
            {policyValue(key, policy[key])}
          </Row>
        ))}
      </dl>
      <h2>In a terminal</h2>
      <Cli command={`holdfast ${execution.terminal ? 'attach' : 'logs -f'} ${session}/${id}`} what="Follow" />
      <Cli command={`holdfast wait ${session}/${id}`} what="Wait for the end" />
    </div>
  );
}

/** For the launcher `pool`: what it asks for, and what it got. */
function Placement({ execution: { pool, runner, requires, priority, concurrency, waitUntil, waiting } }: { execution: Execution }) {
  return (
    <>
      {runner ? (
        <Row name="Runner">
          {runner.name} <code class="exec-wrap">{runner.id}</code>
        </Row>
      ) : null}
      {pool === undefined ? null : <Row name="Pool">{pool}</Row>}
      {requires && Object.keys(requires).length > 0 ? (
        <Row name="Requires">
          <LabelList labels={requires} />
        </Row>
      ) : null}
      {priority ? <Row name="Priority">{String(priority)}</Row> : null}
      {concurrency ? (
        <Row name="Concurrency">
          {concurrency.limit} at a time with the key <code>{concurrency.key}</code>
        </Row>
      ) : null}
      {waiting && waitUntil !== undefined ? (
        <Row name="Waits until">
          <Moment at={waitUntil} text={formatDateTime(waitUntil)} />
        </Row>
      ) : null}
    </>
  );
}

function LabelList({ labels }: { labels: Readonly<Record<string, string>> }) {
  return (
    <ul class="exec-labels">
      {Object.entries(labels).map(([key, value]) => (
        <li key={key}>
          <code>
            {key}={value}
          </code>
        </li>
      ))}
    </ul>
  );
}

function Cli({ command, what }: { command: string; what: string }) {
  return (
    <p class="exec-cli">
      <code>{command}</code> <CopyButton text={command} label={`Copy: ${what}`} />
    </p>
  );
}

function Times({ execution: { createdAt, pendingAt, startedAt, endedAt } }: { execution: Execution }) {
  const times: [string, number | undefined][] = [
    ['Created', createdAt],
    ['Prepared', pendingAt],
    ['Started', startedAt],
    ['Ended', endedAt],
  ];
  return (
    <>
      {times.map(([name, at]) =>
        at === undefined ? null : (
          <Row key={name} name={name}>
            <Moment at={at} text={formatDateTime(at)} />
          </Row>
        ),
      )}
    </>
  );
}

function Row({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
