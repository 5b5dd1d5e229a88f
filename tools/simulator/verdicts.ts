/**
 * Checks the history of one execution in its log: exactly one correct verdict, in time. It is an
 * independent oracle, written from "Life of an execution" in PROTOCOL.md.
 */

import { isTerminal, terminalStatusOf } from '../../protocol/index.ts';
import type { ExecutionRecord } from '../../src/core/execution.ts';
import type { Logged } from './checks.ts';
import type { World } from './world.ts';

interface Event {
  type: string;
  at: number;
  data: Record<string, unknown>;
}

type Fail = (rule: string, text: string) => void;

const TERMINAL_FACTS = ['exit', 'interrupted', 'error'];

export function checkHistory(record: ExecutionRecord, log: readonly Logged[], world: World, fail: Fail): void {
  const all = log.filter(({ execution }) => execution === record.id);
  const logged = all.filter(({ late }) => !late);
  const events = logged.map(({ line }) => JSON.parse(line) as Event);
  const own = events.filter((_, index) => logged[index]?.own);
  const facts = events.filter((_, index) => !logged[index]?.own);
  const verdicts = own.filter(({ type }) => terminalStatusOf(type) !== null);
  if (!isTerminal(record.status)) return;

  if (verdicts.length !== 1) fail('LIF18', `${record.id} has ${verdicts.length} verdicts`);
  const verdict = verdicts[0];
  if (!verdict) return;
  if (events.at(-1) !== verdict) fail('LIF18', `the verdict of ${record.id} is not its last event`);
  if (terminalStatusOf(verdict.type) !== record.status)
    fail('G3', `${record.id} is ${record.status}, but its log says ${verdict.type}`);
  if (record.lastOffset !== logged.at(-1)?.offset) fail('G3', `${record.id} says that its verdict is at ${record.lastOffset}`);
  if ((verdict.data.code ?? null) !== record.code) fail('G3', `row and verdict of ${record.id} differ in their code`);
  if (record.endedAt !== verdict.at) fail('G3', `row and verdict of ${record.id} differ in their time`);
  const left = [record.pendingUntil, record.graceUntil, record.runtimeUntil, record.interruptUntil, record.launchAt];
  if (left.some((at) => at !== null) || record.connected)
    fail('G3', `${record.id} is over, but its row has deadlines or a connection`);
  if (record.env !== null || record.stdin !== null) fail('HTTP20', `${record.id} is over and still has its env or stdin`);

  lateOnly(record, verdict, all, fail);
  honest(record, verdict, own, facts, world, fail);
  renewedOnce(record, verdict, logged, fail);
  inTime(record, own, logged, world, fail);
}

/**
 * LIF38: late events stand behind a verdict that did not wait for its wrapper, and end with its
 * end.
 */
function lateOnly(record: ExecutionRecord, verdict: Event, all: readonly Logged[], fail: Fail): void {
  const late = all.filter((row) => row.late);
  const { code, forced } = verdict.data;
  const admitted = (code === 'wrapper_disconnected' || forced === true) && record.interruptCause !== 'replace';
  if ((record.lateEvents ?? 0) !== late.length)
    fail('LIF38', `${record.id} has ${late.length} late events, not ${record.lateEvents}`);
  if (late.length === 0) return;
  if (!admitted) fail('LIF38', `${record.id} took late events after ${verdict.type} ${code}`);
  if (late.some(({ own, offset }) => own || offset <= (record.lastOffset ?? 0)))
    fail('LIF38', `${record.id} has a late event that is the coordinator's, or before the verdict`);
  const facts = late.map(({ line }) => JSON.parse(line) as Event);
  const end = facts.findIndex(({ type, data }) => TERMINAL_FACTS.includes(type) && (type !== 'error' || data.fatal === true));
  if (end !== -1 && end !== facts.length - 1) fail('LIF38', `${record.id} took events behind its late end`);
  if ((end === -1) !== (record.lateUntil !== null)) fail('LIF38', `${record.id} takes late events until ${record.lateUntil}`);
  const { exitCode = null, signal = null } = facts[end]?.data ?? {};
  if (exitCode !== record.lateExitCode || signal !== record.lateSignal)
    fail(
      'LIF38',
      `${record.id} ended late with ${exitCode} ${signal}, but its row says ${record.lateExitCode} ${record.lateSignal}`,
    );
}

/** What the verdict may be, given the known facts (LIF5–LIF14, G9). */
function honest(record: ExecutionRecord, verdict: Event, own: Event[], facts: Event[], world: World, fail: Fail): void {
  const said = `${verdict.type} ${verdict.data.code ?? ''}`.trim();
  const terminal = facts.findIndex(({ type, data }) => TERMINAL_FACTS.includes(type) && (type !== 'error' || data.fatal === true));
  if (terminal !== -1 && terminal !== facts.length - 1) fail('SPL14', `${record.id} has facts behind its terminal one`);
  const fact = facts[terminal];
  const asked = own.find(({ type }) => type === 'interrupt_requested');
  const expect = (right: string) => {
    if (said !== right) fail('G9', `${record.id} got "${said}", but its log leads to "${right}"`);
  };
  if (fact) {
    if (fact.type === 'error') return expect('execution_failed wrapper_error');
    const exited = fact.data.exitCode === 0 ? 'execution_completed' : 'execution_failed exit_nonzero';
    // LIF37: the job had not received an interrupt.
    if (fact.type === 'exit' && fact.data.toldToStop === false) return expect(exited);
    if (asked?.data.cause === 'runtime') return expect('execution_failed runtime_exceeded');
    if (fact.type === 'interrupted' || asked) return expect('execution_interrupted');
    return expect(exited);
  }
  const ran = own.some(({ type }) => type === 'execution_running');
  const connection = own.findLast(({ type }) => type.startsWith('wrapper_'));
  const allowed = (right: boolean) => {
    if (!right) fail('G9', `${record.id} got "${said}", and nothing in its log leads there`);
  };
  switch (said) {
    case 'execution_failed launch_failed':
      return allowed(!ran);
    case 'execution_failed wrapper_never_connected':
      return allowed(!ran);
    case 'execution_failed wrapper_disconnected': {
      const renewed = own.findLast(({ type, data }) => type === RENEWED && data.deadline === 'grace');
      const until = (
        own.indexOf(renewed as Event) > own.indexOf(connection as Event) ? renewed?.data.until : connection?.data.graceUntil
      ) as number;
      return allowed(connection?.type === 'wrapper_disconnected' && verdict.at >= until);
    }
    case 'execution_failed runtime_exceeded':
      return allowed(asked?.data.cause === 'runtime');
    case 'execution_failed asked_to_fail':
      return allowed(world.askedToFail.has(record.id));
    case 'execution_interrupted':
      return allowed(ran ? asked !== undefined && verdict.data.forced === true : true);
    default:
      return allowed(false);
  }
}

const RENEWED = 'execution_deadline_renewed';
/** LIF33: a deadline found later than this after its time is renewed first. */
const UNWATCHED_MS = 5_000;

/**
 * LIF36: how long the coordinator waits for the response to an interrupt, according to the log up
 * to `before`.
 */
function interruptEnd(until: number, { policy }: ExecutionRecord, logged: readonly Logged[], before: Logged | undefined): number {
  let graceUntil: number | null = null;
  let sign = 0;
  for (const row of logged.slice(0, before ? logged.indexOf(before) : undefined)) {
    if (!row.own) sign = row.receivedAt;
    else if (row.type === 'wrapper_disconnected') graceUntil = row.receivedAt + policy.disconnectGraceMs;
    else if (row.type === 'wrapper_connected' || row.type === 'wrapper_reconnected') {
      graceUntil = null;
      sign = row.receivedAt;
    } else if (row.type === RENEWED) {
      const { data } = JSON.parse(row.line) as Event;
      if (data.deadline === 'grace') graceUntil = data.until as number;
    }
  }
  const extended = graceUntil ?? sign + policy.interruptGraceMs;
  return Math.max(until, Math.min(extended, until + 9 * policy.interruptGraceMs));
}

/**
 * LIF33: a wait that passed during a downtime starts again, once, with its full length. No verdict
 * comes from a wait that was found late and was not renewed. Each wait begins with one event of the
 * execution, and ends with another or with the verdict.
 */
function renewedOnce(record: ExecutionRecord, verdict: Event, logged: readonly Logged[], fail: Fail): void {
  const { id, policy } = record;
  const open = new Map<string, { until: number; lengthMs: number; renewed: boolean }>();
  const begin = (kind: string, at: number, lengthMs: number) => open.set(kind, { until: at + lengthMs, lengthMs, renewed: false });
  for (const row of logged) {
    if (!row.own) continue;
    const { type, at, data } = JSON.parse(row.line) as Event;
    if (type === 'execution_pending') begin('pending', at, policy.pendingTimeoutMs);
    if (type === 'execution_running') open.delete('pending');
    if (type === 'wrapper_disconnected') begin('grace', at, policy.disconnectGraceMs);
    if (type === 'wrapper_reconnected') open.delete('grace');
    if (type === 'interrupt_requested' && !open.has('interrupt')) begin('interrupt', at, policy.interruptGraceMs);
    if (type !== RENEWED) continue;
    const wait = open.get(String(data.deadline));
    const until = wait && data.deadline === 'interrupt' ? interruptEnd(wait.until, record, logged, row) : (wait?.until ?? 0);
    if (!wait || wait.renewed || at - until <= UNWATCHED_MS || data.until !== at + wait.lengthMs || data.lateMs !== at - until) {
      fail('LIF33', `${data.deadline} of ${id} was renewed to ${data.until}, which was not due (${JSON.stringify(wait)})`);
      return;
    }
    Object.assign(wait, { until: data.until, renewed: true });
  }
  const { code, forced } = verdict.data;
  const by =
    code === 'wrapper_never_connected'
      ? 'pending'
      : code === 'wrapper_disconnected'
        ? 'grace'
        : forced === true
          ? 'interrupt'
          : null;
  const wait = by === null ? undefined : open.get(by);
  if (!wait) return;
  const until = by === 'interrupt' ? interruptEnd(wait.until, record, logged, logged.at(-1)) : wait.until;
  if (!wait.renewed && verdict.at - until > UNWATCHED_MS)
    fail('LIF33', `${id} ended by its ${by} deadline, which passed ${verdict.at - until} ms before anyone looked`);
  if (verdict.at < until) fail('LIF36', `${id} ended by its ${by} deadline ${until - verdict.at} ms too early`);
}

/** Every deadline was kept, as far as the schedule left the coordinator an alarm (LIF27). */
function inTime(record: ExecutionRecord, own: Event[], logged: readonly Logged[], world: World, fail: Fail): void {
  const { policy } = record;
  const overdue = (what: string, at: number, next: Event | undefined) => {
    if (next && next.at > world.latest(at))
      fail('LIF27', `${what} of ${record.id} was over at ${at}, and kept for ${next.at - at} ms more`);
  };
  const after = (index: number, types: (type: string) => boolean) => own.slice(index + 1).find(({ type }) => types(type));
  const isEnd = (type: string) => terminalStatusOf(type) !== null;
  const ownRows = logged.filter((row) => row.own);
  const untilAnswer = (until: number, next: Event | undefined) =>
    interruptEnd(until, record, logged, next && ownRows[own.indexOf(next)]);
  let interrupted = false;
  for (const [index, { type, at, data }] of own.entries()) {
    switch (type) {
      case 'execution_pending':
        overdue(
          'pendingTimeoutMs',
          at + policy.pendingTimeoutMs,
          after(index, (next) => next === 'execution_running' || next === RENEWED || isEnd(next)),
        );
        break;
      case RENEWED: {
        const next = after(
          index,
          (type) => type === RENEWED || isEnd(type) || type === 'execution_running' || type === 'wrapper_reconnected',
        );
        const until = data.until as number;
        overdue(`the renewed ${data.deadline} deadline`, data.deadline === 'interrupt' ? untilAnswer(until, next) : until, next);
        break;
      }
      case 'execution_running':
        overdue(
          'maxRuntimeMs',
          at + policy.maxRuntimeMs,
          after(index, (next) => next === 'interrupt_requested' || isEnd(next)),
        );
        break;
      case 'wrapper_disconnected':
        if (data.graceUntil !== at + policy.disconnectGraceMs) fail('LIF22', `${record.id} got a grace until ${data.graceUntil}`);
        overdue(
          'disconnectGraceMs',
          at + policy.disconnectGraceMs,
          after(index, (next) => next === 'wrapper_reconnected' || next === RENEWED || isEnd(next)),
        );
        break;
      case 'interrupt_requested':
        if (!interrupted) {
          const next = after(index, (type) => type === RENEWED || isEnd(type));
          overdue('interruptGraceMs', untilAnswer(at + policy.interruptGraceMs, next), next);
        }
        interrupted = true;
        break;
      default:
        break;
    }
  }
}
