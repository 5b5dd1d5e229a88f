/**
 * One line of a list: an execution, or a session by its newest execution. On a phone it is a card.
 */

import { type Execution, isActive, isTerminal, type OpenStatus, waitReasonText } from '../../../protocol/index.ts';
import { formatCommand } from '../execution/command-line.ts';
import { Ago, Duration, formatCount, Icon, StatusBadge, statusLabel } from '../ui/index.ts';

export interface RunRowProps {
  /** The text of the line, and its target. */
  name: string;
  href: string;
  execution: Execution | null;
  /** For a session: its number of executions that have not ended. */
  open?: Readonly<Record<OpenStatus, number>> | undefined;
  /** For a session: one of its executions waits for an answer. */
  asking?: boolean | undefined;
  /** The time of its last activity. */
  at: number;
  /** The target of the command, if it differs from the line's. */
  commandHref?: string | undefined;
}

/**
 * How an ended execution ended, in a word or two: `exit 2`, `SIGKILL`, `wrapper_disconnected`.
 * Null: the status says everything.
 */
export function endingLabel({ status, exitCode, signal, code, forced }: Execution): string | null {
  if (!isTerminal(status)) return null;
  if (status === 'interrupted') return forced ? 'forced' : (signal ?? (exitCode === undefined ? null : `exit ${exitCode}`));
  if (status === 'failed' && code !== undefined && code !== 'exit_nonzero') return code;
  if (signal) return signal;
  return exitCode === undefined ? (code ?? null) : `exit ${exitCode}`;
}

/**
 * What the status of the newest execution does not show of its session: that an older one runs, or
 * that others wait. `1 running`, or `+2 queued` next to one that is queued itself; null when it
 * shows everything. At most one is active, so that one comes first.
 */
export function otherOpenText(execution: Execution, open: Readonly<Record<OpenStatus, number>>): string | null {
  const { status } = execution;
  const others = (of: OpenStatus): number => open[of] - (status === of ? 1 : 0);
  const words = (['running', 'pending', 'queued'] as const)
    .filter((of) => others(of) > 0 && !(isActive(of) && isActive(status)))
    .map((of) => `${status === of ? '+' : ''}${formatCount(others(of))} ${statusLabel(of).toLowerCase()}`);
  return words.length > 0 ? words.join(', ') : null;
}

export function RunRow({ name, href, execution, open, asking, at, commandHref }: RunRowProps) {
  const beside = execution && open ? otherOpenText(execution, open) : null;
  const isRunning = execution?.status === 'running';
  const waitsForYou = asking ?? execution?.asking !== undefined;
  return (
    <li class="row">
      <span class="row-status">
        {execution ? (
          <StatusBadge
            status={execution.status}
            connected={execution.connected}
            waiting={execution.waiting !== undefined}
            asking={waitsForYou}
            graceUntil={execution.graceUntil}
          />
        ) : (
          <span class="muted">Empty</span>
        )}
        {beside === null ? null : <span class="row-beside muted num"> {beside}</span>}
        {waitsForYou && !isRunning ? <span class="row-beside"> {statusLabel('asking').toLowerCase()}</span> : null}
      </span>
      <span class="row-name">
        <a class="row-link" href={href}>
          {name}
        </a>
      </span>
      <span class="row-command">
        {execution ? <Command command={execution.command} href={commandHref} /> : null}
        {execution ? <Wait execution={execution} /> : null}
        {execution ? <Labels labels={execution.labels} runner={execution.runner?.name} pool={execution.pool} /> : null}
      </span>
      <span class="row-outcome">{execution ? <Outcome execution={execution} /> : null}</span>
      <span class="row-lasted">{execution ? <Lasted execution={execution} /> : null}</span>
      <span class="row-at muted">
        <Ago at={at} />
      </span>
    </li>
  );
}

function Command({ command, href }: { command: readonly string[]; href: string | undefined }) {
  const text = formatCommand(command);
  const code = <code title={text}>{text}</code>;
  return href === undefined ? (
    code
  ) : (
    <a class="row-second" href={href}>
      {code}
    </a>
  );
}

/** Why it waits for a runner. */
function Wait({ execution: { status, waiting } }: { execution: Execution }) {
  if (status !== 'pending' || !waiting) return null;
  const why = waiting.reason ? `: ${waitReasonText(waiting.reason)}` : '';
  return (
    <span class="row-wait muted">
      Pool {waiting.pool}
      {why}
    </span>
  );
}

const LABELS_SHOWN = 3;

interface LabelsProps {
  labels: Readonly<Record<string, string>>;
  runner: string | undefined;
  pool: string | undefined;
}

function Labels({ labels, runner, pool }: LabelsProps) {
  const all = Object.entries(labels ?? {});
  if (all.length === 0 && runner === undefined) return null;
  const rest = all.slice(LABELS_SHOWN).map(([key, value]) => `${key}=${value}`);
  return (
    <span class="labels">
      {runner === undefined ? null : (
        <span class="label label-runner" title={`Runner ${runner}${pool === undefined ? '' : `, pool ${pool}`}`}>
          <Icon name="monitor" />
          <span class="visually-hidden">Runner </span>
          {runner}
        </span>
      )}
      {all.slice(0, LABELS_SHOWN).map(([key, value]) => (
        <span class="label" key={key} title={`${key}=${value}`}>
          <span class="muted">{key}</span> {value}
        </span>
      ))}
      {rest.length > 0 ? (
        <span class="label" title={rest.join('\n')}>
          +{rest.length}
        </span>
      ) : null}
    </span>
  );
}

function Outcome({ execution }: { execution: Execution }) {
  const outcome = endingLabel(execution);
  if (outcome === null) return null;
  return (
    <code class={execution.status === 'failed' ? 'outcome-bad' : 'muted'} title={execution.error ?? execution.reason}>
      {outcome}
    </code>
  );
}

/** For one that runs or ran: its duration. For one that waits: since when. */
function Lasted({ execution: { status, createdAt, startedAt, endedAt } }: { execution: Execution }) {
  if (startedAt !== undefined) return <Duration from={startedAt} to={endedAt} />;
  if (isTerminal(status)) return <span class="muted">never ran</span>;
  return (
    <span class="muted">
      waits <Duration from={createdAt} />
    </span>
  );
}
