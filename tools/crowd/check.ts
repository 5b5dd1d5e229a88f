/**
 * The judge of a crowd: what every log, verdict, truth file, callback and list must be, given the
 * deeds. Pure. `crowd-check.test.ts` plants a violation of each kind and checks that it is found.
 *
 * - CR1: a session's log has no hole and no event twice. One execution is active at a time. Each
 *   has one verdict and nothing after it (checkLog).
 * - CR2: a verdict is explained by the job's own end, or else by a deed. There is no other cause.
 * - CR3: the log holds what the job wrote: all of it, byte for byte, if its end was observed; else
 *   a prefix without a hole. Where a wrapper was killed, a part may be missing, and a gap stands
 *   there.
 * - CR4: `completed` has an exit fact with code 0, and the job recorded that it exited with 0.
 * - CR5: a job that was never started wrote nothing; a started job was started once.
 * - CR6: the spool of a killed wrapper is in the log.
 * - CR7: each verdict reached its callback, under an id of its own, with that verdict.
 * - CR8: the list of sessions has each session, with its newest execution as it ended.
 * - CR9: each viewer received the log from where it began, event by event.
 */

import { type Execution, terminalStatusOf } from '../../protocol/index.ts';
import { checkLog, compareReadings, isSame, type Seen } from '../chaos/compare.ts';
import type { Deed, ExecutionPlan } from './plan.ts';
import { NATURAL_VERDICT } from './shapes.ts';

export const FAIL_CODE = 'asked_by_crowd';

/** The outcome of a deed. */
export interface Done {
  deed: Deed;
  /** The coordinator or the system confirmed it. False: too late, or unknown. */
  took: boolean;
  /** Of a kill: the events of the wrapper's spool at that moment, as `type data`. */
  spooled?: string[];
}

/** What a job wrote, by its own record. Null: it never began. */
export interface Truth {
  out: string;
  err: string;
  /** The exit code that the job recorded. Null: it was killed. */
  end: number | null;
}

export interface CallbackSeen {
  id: string;
  session: string;
  execution: string;
  status: string;
  verified: boolean;
  accepted: boolean;
}

export interface ExecutionFacts {
  plan: ExecutionPlan;
  execution: Execution;
  done: Done | null;
  truth: Truth | null;
}

/**
 * An external fault: from its beginning until it is certainly healed. Milliseconds since the epoch.
 */
export interface Trouble {
  kind: 'runner' | 'link' | 'coordinator';
  from: number;
  until: number;
}

export interface SessionFacts {
  session: string;
  log: readonly Seen[];
  executions: readonly ExecutionFacts[];
  troubles: readonly Trouble[];
}

export const verdictOf = ({ status, code }: Pick<Execution, 'status' | 'code'>): string => (code ? `${status} ${code}` : status);

/** CR1 to CR6. Each problem names its session, its execution and its rule. */
export function checkSession({ session, log, executions, troubles }: SessionFacts): string[] {
  const ids = executions.map(({ plan }) => plan.id);
  const problems = checkLog(log, ids).map((problem) => `${session} [CR1]: ${problem}`);
  for (const facts of executions) {
    const own = log.filter(({ execution }) => execution === facts.plan.id);
    const name = `${session}/${facts.plan.id} (${facts.plan.shape}, ${facts.done?.deed ?? 'nothing done'})`;
    for (const problem of checkExecution(facts, own, troubles)) problems.push(`${name} ${problem}`);
  }
  return problems;
}

type Own = readonly Seen[];

const has = (own: Own, type: string, text = ''): boolean => own.some((event) => event.type === type && event.text.includes(text));

/** Facts of how the job itself ended, as its wrapper saw it. */
const exitOf = (own: Own): { exitCode: number | null; signal: string | null } | null => {
  const exit = own.find(({ type }) => type === 'exit');
  return exit ? JSON.parse(exit.text) : null;
};

function checkExecution(facts: ExecutionFacts, own: Own, troubles: readonly Trouble[]): string[] {
  const { plan, execution, truth } = facts;
  const problems: string[] = [];
  const last = own.at(-1)?.type ?? 'nothing';
  if (terminalStatusOf(last) !== execution.status) problems.push(`[CR1]: is ${execution.status}, but its last event is ${last}`);

  const wrong = explain(facts, own, troubles);
  if (wrong) problems.push(`[CR2]: is "${verdictOf(execution)}"; ${wrong}`);

  const exit = exitOf(own);
  if (execution.status === 'completed' && (exit?.exitCode !== 0 || execution.exitCode !== 0 || truth?.end !== 0))
    problems.push(`[CR4]: is completed, but the exit fact is ${JSON.stringify(exit)} and the job's own word ${truth?.end}`);

  const started = has(own, 'started');
  // A wrapper may be cut off between the start of the job and the report of it. The opposite order
  // needs no explanation.
  if (truth && !started && !facts.done) problems.push('[CR5]: the job ran, and the log has no start of it');
  if (!truth && started && plan.shape !== 'missing') problems.push('[CR5]: the log has a start, but the job never ran');
  for (const problem of checkOutput(facts, own, exit !== null)) problems.push(problem);
  for (const problem of checkSpooled(facts, own)) problems.push(problem);
  return problems;
}

// ── CR2 ───────────────────────────────────────────────────────────────────────────────────────

/** The objection to the verdict, or null. */
function explain(facts: ExecutionFacts, own: Own, troubles: readonly Trouble[]): string | null {
  const { plan, execution, done } = facts;
  const verdict = verdictOf(execution);
  const asked = has(own, 'interrupt_requested', '"cause":"request"');
  const mustBe = (expected: string): string | null => (verdict === expected ? null : `should be "${expected}"`);

  if (execution.code === 'runners_lost') {
    const { pendingAt = 0, endedAt = 0 } = execution;
    return overlaps(troubles, 'runner', pendingAt, endedAt) ? null : 'the runner was there all the time';
  }
  if (execution.code === 'wrapper_disconnected' && plan.deed === 'freeze' && !done?.took) {
    // Its grace is short; any other fault may have lasted longer.
    const { startedAt = 0, endedAt = 0 } = execution;
    const away = overlaps(troubles, 'link', startedAt, endedAt) || overlaps(troubles, 'coordinator', startedAt, endedAt);
    return away ? null : 'its wrapper was not stopped, and could be reached';
  }
  if (execution.status === 'interrupted') {
    // An endless job goes on after the kill of its wrapper, and is then interrupted.
    const byKill = done?.deed === 'kill' && NATURAL_VERDICT[plan.shape] === null;
    if (!done || !(byKill || ['interrupt', 'force', 'early'].includes(done.deed)))
      return 'was interrupted without a request of the plan';
    if (!asked && has(own, 'started')) return 'the log has no request for it';
    if (!execution.forced) return null;
    const { interruptRequestedAt = 0, endedAt = 0 } = execution;
    const away =
      overlaps(troubles, 'link', interruptRequestedAt, endedAt) || overlaps(troubles, 'coordinator', interruptRequestedAt, endedAt);
    return away ? null : 'forced, though its wrapper could be reached';
  }
  if (execution.code === FAIL_CODE) return done?.deed === 'fail' ? null : 'was failed without a request of the plan';
  if (done?.took) {
    switch (done.deed) {
      case 'interrupt':
      case 'force':
      case 'early':
        // LIF37: it ended before its interrupt.
        if (has(own, 'exit', '"toldToStop":false')) break;
        return mustBe('interrupted');
      case 'fail':
        return mustBe(`failed ${FAIL_CODE}`);
      case 'kill':
        // The next wrapper adopts the job, so this changes nothing in its end.
        break;
      case 'freeze':
        if (has(own, 'exit')) break;
        return mustBe('failed wrapper_disconnected');
      default:
        return done.deed satisfies never;
    }
  }
  const natural = NATURAL_VERDICT[plan.shape];
  if (natural === null) return 'it does not end by itself';
  return mustBe(natural) ?? wrongEnd(facts, own);
}

/** The details of an expected end. */
function wrongEnd({ plan, execution }: ExecutionFacts, own: Own): string | null {
  switch (plan.shape) {
    case 'exit':
      return execution.exitCode === plan.size ? null : `its exit code should be ${plan.size}, not ${execution.exitCode}`;
    case 'signal':
      return execution.signal === 'SIGKILL' ? null : `SIGKILL ended it, not ${execution.signal}`;
    case 'missing':
      return has(own, 'error', '"spawn_failed"') ? null : 'there is no word of a command that could not be started';
    default:
      return null;
  }
}

const overlaps = (troubles: readonly Trouble[], kind: Trouble['kind'], from: number, until: number): boolean =>
  troubles.some((trouble) => trouble.kind === kind && trouble.from <= until && trouble.until >= from);

// ── CR3, CR5, CR6 ─────────────────────────────────────────────────────────────────────────────

/**
 * Both streams as the log has them. A JSON line arrived as an event; serialised again it is the
 * same text, as the jobs write it.
 */
export function outputOf(own: Own): { out: string; err: string } {
  let out = '';
  let err = '';
  for (const { type, text } of own) {
    if (type === 'agent') out += `${text}\n`;
    if (type !== 'output') continue;
    const data = JSON.parse(text) as { stream: string; text: string };
    if (data.stream === 'stderr') err += data.text;
    else out += data.text;
  }
  return { out, err };
}

/** The output in pieces, with a gap between each two. */
function pieces(own: Own): { out: string; err: string }[] {
  const found: Seen[][] = [[]];
  for (const event of own) {
    if (event.type === 'gap') found.push([]);
    else found.at(-1)?.push(event);
  }
  return found.map(outputOf);
}

/** The first piece is the beginning, the last one the end if `toItsEnd`, and all are in order. */
function fits(wrote: string, [first = '', ...rest]: readonly string[], toItsEnd: boolean): boolean {
  if (rest.length === 0) return toItsEnd ? wrote === first : wrote.startsWith(first);
  if (!wrote.startsWith(first)) return false;
  let at = first.length;
  for (const piece of toItsEnd ? rest.slice(0, -1) : rest) {
    const place = wrote.indexOf(piece, at);
    if (place === -1) return false;
    at = place + piece.length;
  }
  return !toItsEnd || wrote.slice(at).endsWith(rest.at(-1) ?? '');
}

function checkOutput({ plan, execution, truth, done }: ExecutionFacts, own: Own, seenToItsEnd: boolean): string[] {
  const logged = outputOf(own);
  if (!truth) return logged.out + logged.err === '' ? [] : ['[CR5]: the job never ran, and the log has output of it'];
  const problems: string[] = [];
  if (has(own, 'gap') && !(done?.deed === 'kill' && done.took)) problems.push('[CR3]: has a gap, and its wrapper was not killed');
  for (const stream of ['out', 'err'] as const) {
    const [wrote, got] = [truth[stream], logged[stream]];
    // A job ended by SIGKILL may have noted one line more than it printed.
    const byForce = truth.end === null && execution.signal === 'SIGKILL';
    const parts = pieces(own).map((piece) => piece[stream]);
    const whole = fits(wrote, parts, true) || (byForce && wrote.startsWith(got) && wrote.slice(got.length).split('\n').length <= 2);
    if (seenToItsEnd ? whole : fits(wrote, parts, false)) continue;
    problems.push(
      `[CR3]: ${stream} of ${wrote.length} characters is ${got.length} in the log, and differs from character ${commonLength(wrote, got)} on`,
    );
  }
  if (seenToItsEnd && truth.end === null && execution.signal === undefined && plan.shape !== 'missing')
    problems.push('[CR3]: the log has an end of the job that the job knows nothing of');
  return problems;
}

function commonLength(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  for (let i = 0; i < most; i += 1) if (a[i] !== b[i]) return i;
  return most;
}

/** CR6: they are in the log in order, adjacent except for events of the coordinator. */
function checkSpooled({ done }: ExecutionFacts, own: Own): string[] {
  const spooled = done?.spooled ?? [];
  const [first] = spooled;
  if (first === undefined) return [];
  const facts = own
    .filter(({ type }) => !/^(execution_|wrapper_|interrupt_requested$)/.test(type))
    .map(({ type, text }) => `${type} ${text}`);
  for (let from = facts.indexOf(first); from !== -1; from = facts.indexOf(first, from + 1)) {
    if (spooled.every((text, index) => facts[from + index] === text)) return [];
  }
  const missing = spooled.filter((text) => !facts.includes(text)).length;
  return [`[CR6]: ${missing} of ${spooled.length} events of the killed wrapper's spool are not in the log, or not in their order`];
}

// ── CR7 to CR9 ────────────────────────────────────────────────────────────────────────────────

export function checkCallbacks(executions: readonly ExecutionFacts[], seen: readonly CallbackSeen[]): string[] {
  const problems: string[] = [];
  const keyOf = (session: string, execution: string): string => `${session}/${execution}`;
  const byExecution = new Map<string, CallbackSeen[]>();
  const ownerOf = new Map<string, string>();
  for (const callback of seen) {
    const key = keyOf(callback.session, callback.execution);
    byExecution.set(key, [...(byExecution.get(key) ?? []), callback]);
    const owner = ownerOf.get(callback.id) ?? key;
    ownerOf.set(callback.id, owner);
    if (owner !== key) problems.push(`${key} [CR7]: was told under the id of ${owner}`);
  }
  for (const { plan, execution } of executions) {
    const key = keyOf(plan.session, plan.id);
    const own = byExecution.get(key) ?? [];
    byExecution.delete(key);
    const ids = new Set(own.map(({ id }) => id));
    if (ids.size !== 1) problems.push(`${key} [CR7]: was told under ${ids.size} ids`);
    if (own.length > 0 && !own.some(({ accepted }) => accepted)) problems.push(`${key} [CR7]: was never told with success`);
    if (own.some(({ verified }) => !verified)) problems.push(`${key} [CR7]: a callback was not signed`);
    const other = own.find(({ status }) => status !== execution.status);
    if (other) problems.push(`${key} [CR7]: was told to be ${other.status} and is ${execution.status}`);
  }
  for (const key of byExecution.keys()) problems.push(`${key} [CR7]: a callback names this execution, which was not started`);
  return problems;
}

export interface ListedSession {
  id: string;
  execution: { id: string; status: string } | null;
}

/** `newest`: the newest execution of each session, as the session itself reports it. */
export function checkDirectory(
  newest: ReadonlyMap<string, { id: string; status: string }>,
  listed: readonly ListedSession[],
): string[] {
  const problems: string[] = [];
  const seen = new Map<string, ListedSession>();
  for (const entry of listed) {
    if (seen.has(entry.id)) problems.push(`${entry.id} [CR8]: is in the list twice`);
    seen.set(entry.id, entry);
    if (!newest.has(entry.id)) problems.push(`${entry.id} [CR8]: is in the list, and was not started`);
  }
  for (const [session, { id, status }] of newest) {
    const entry = seen.get(session);
    if (!entry) problems.push(`${session} [CR8]: is not in the list`);
    else if (entry.execution?.id !== id || entry.execution.status !== status)
      problems.push(
        `${session} [CR8]: is listed with ${entry.execution?.id} ${entry.execution?.status}, and its newest is ${id} ${status}`,
      );
  }
  return problems;
}

/** `whole`: it was to read to the end; otherwise it left at any point. */
export function checkViewer(
  name: string,
  { after, seen, whole }: { after: number; seen: readonly Seen[]; whole: boolean },
  log: readonly Seen[],
): string[] {
  const expected = log.filter(({ offset }) => offset > after);
  const difference = compareReadings(seen, whole ? expected : expected.slice(0, seen.length));
  return isSame(difference) ? [] : [`${name} [CR9]: ${JSON.stringify(difference)}`];
}
