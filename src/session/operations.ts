/** What a caller can ask of a session. Expected outcomes are tagged results, not exceptions. */

import {
  type Author,
  type Execution,
  type Failure,
  generationOf,
  isTerminal,
  LIST_LIMIT_MAX,
  type LoggedEvent,
  type Result,
  SESSION_EXECUTIONS_MAX,
  type SessionSummary,
  type TerminalSize,
  VIEWERS_MAX,
  type WaitReason,
} from '../../protocol/index.ts';
import { admit } from '../core/admission.ts';
import { decideAnswer, digestOfAnswer, type NormalAnswer } from '../core/asking.ts';
import { type Claim, decideClaim, decideRecall, noteReason } from '../core/assignment.ts';
import { type ExecutionRecord, NEW_EXECUTION_FIELDS } from '../core/execution.ts';
import { checkGeneration } from '../core/generation.ts';
import { decideInput, digestOfInput, type NormalInput } from '../core/input.ts';
import { becomePending, becomeQueued, requestInterrupt, settleFailed } from '../core/lifecycle.ts';
import { describeShortage } from '../core/log-limit.ts';
import type { ClaimAnswer, RecallAnswer, RecallRequest } from '../core/pool-messages.ts';
import type { ExecutionQuery, LogRow } from '../core/ports.ts';
import { parseStored } from '../core/stored.ts';
import { decideResize } from '../core/terminal.ts';
import { errorMessage } from '../platform/log.ts';
import { commit, publish, storageLoad, type WrittenTransition, writeTransition } from './commit.ts';
import type { SessionContext } from './context.ts';
import type { NormalStart, ReadQuery, StartResult, ViewerRequest } from './contract.ts';
import { expireDue, lastHeardAt } from './deadlines.ts';
import { lastActivityAt } from './outbox.ts';
import { currentView } from './view.ts';

export const sessionNotFound: Failure = {
  ok: false,
  code: 'session_not_found',
  message: 'This session was never started, or it was deleted.',
};

const noExecution = (id: string, facts: Failure['facts'] = {}): Failure => ({
  ok: false,
  code: 'execution_not_found',
  message: `There is no execution ${id} in this session.`,
  facts: { execution: id, ...facts },
});

export function findExecution({ store }: SessionContext, id: string): { ok: true; record: ExecutionRecord } | Failure {
  if (!store.exists) return sessionNotFound;
  const record = store.executions.get(id);
  return record ? { ok: true, record } : noExecution(id);
}

/**
 * Idempotent by id: a repeated request returns the execution that it made before, in any state,
 * even if the deployment would refuse the request today (LIF28). `refusal`: why the Worker would
 * start nothing new for this request.
 */
export function startExecution(context: SessionContext, request: NormalStart, refusal: Failure | null, now: number): StartResult {
  const { store } = context;
  const { maxActive = 1 } = request;
  const existing = store.exists ? store.executions.get(request.id) : null;
  if (!existing && refusal) return refusal;
  // LIF41
  const { continues = null } = request;
  const isMissing = continues !== null && !(store.exists && store.executions.get(continues));
  if (!existing && isMissing) return noExecution(continues, { field: 'continues' });
  store.create(now);
  const admission = admit(
    {
      existing,
      active: store.executions.active(),
      queueLength: store.executions.queued().length,
      lowestQueueRank: store.executions.lowestQueueRank(),
      sessionFull: store.executions.hasAtLeast(SESSION_EXECUTIONS_MAX),
      storage: storageLoad(context),
    },
    { ...request, maxActive },
  );
  switch (admission.kind) {
    case 'existing':
      return { ok: true, created: false, execution: currentView(context, admission.record) };
    case 'conflict':
      return {
        ok: false,
        code: 'execution_id_conflict',
        message: `Execution ${request.id} was started with a different request. Use another id.`,
        facts: { execution: request.id },
      };
    case 'busy':
      return {
        ok: false,
        code: 'execution_in_progress',
        message: describeBusy(admission.activeIds, maxActive),
        facts: { activeExecutionId: admission.activeIds[0] ?? '', activeExecutionIds: admission.activeIds },
      };
    case 'session_full':
      return {
        ok: false,
        code: 'session_full',
        message: `This session has had ${SESSION_EXECUTIONS_MAX} executions. Use another session, or delete this one.`,
        facts: { limit: SESSION_EXECUTIONS_MAX },
      };
    case 'storage_full': {
      const { shortage } = admission;
      return {
        ok: false,
        code: 'storage_full',
        message: `${describeShortage(shortage)} Use another session, a smaller policy.maxLogBytes, or delete this session.`,
        facts: { ...shortage },
      };
    }
    case 'queue_full':
      return {
        ok: false,
        code: 'queue_full',
        message: `${admission.length} executions are waiting already.`,
        facts: { waiting: admission.length },
      };
    case 'begin':
    case 'queue': {
      const written = store.transact(() => {
        const record = insert(context, request, admission.kind === 'queue' ? admission.rank : 0, now);
        const first = admission.kind === 'queue' ? becomeQueued(record, admission.position) : becomePending(record, now);
        const begun = writeTransition(context, record.id, first, now);
        const interrupted = (admission.kind === 'queue' ? admission.interrupt : []).map((active) => {
          const interrupt = requestInterrupt(active, { reason: `replaced by ${record.id}`, force: false, cause: 'replace' }, now);
          return interrupt && writeTransition(context, active.id, interrupt, now);
        });
        return [begun, ...interrupted].filter((one): one is WrittenTransition => one !== null);
      });
      for (const one of written) publish(context, one, now);
      const record = store.executions.get(request.id);
      return record ? { ok: true, created: true, execution: currentView(context, record) } : noExecution(request.id);
    }
    default:
      return admission satisfies never;
  }
}

function describeBusy(activeIds: readonly string[], maxActive: number): string {
  const [first] = activeIds;
  const which =
    activeIds.length === 1 ? `Execution ${first} is active` : `${activeIds.length} executions are active, ${first} first`;
  const atMost = maxActive === 1 ? '' : `, and this start begins beside at most ${maxActive - 1}`;
  return `${which}${atMost}. Wait, interrupt it, or start with onBusy queue or replace.`;
}

function insert(context: SessionContext, request: NormalStart, queueRank: number, now: number): ExecutionRecord {
  const {
    digest,
    digestOfRunner: _digest,
    onBusy: _,
    merge = false,
    output = 'text',
    terminal = null,
    maxActive = 1,
    continues = null,
    callbackEvents = null,
    ...fields
  } = request;
  return context.store.executions.insert({
    ...NEW_EXECUTION_FIELDS,
    ...fields,
    merge,
    output,
    terminal,
    maxActive,
    continues,
    callbackEvents,
    status: 'queued',
    requestDigest: digest,
    // `none` has no launcher that would need them. The caller starts the wrapper and already has
    // both.
    env: request.launcher === 'none' ? null : request.env,
    stdin: request.launcher === 'none' ? null : request.stdin,
    createdAt: now,
    firstOffset: context.store.log.head + 1,
    queueRank,
  });
}

/**
 * Adds when the wrapper was last heard, which only the platform knows. It is read on demand, so a
 * heartbeat costs no row.
 */
function viewWithLastHeard(context: SessionContext, record: ExecutionRecord): Execution {
  const view = currentView(context, record);
  const heardAt = record.status === 'running' && record.connected ? lastHeardAt(context, record) : null;
  return heardAt === null ? view : { ...view, lastHeardAt: heardAt };
}

/** `generation`: the log that the reader means, if it names one. */
export function getExecution(context: SessionContext, id: string, generation?: string | null): Result<{ execution: Execution }> {
  const replaced = context.store.exists ? checkGeneration(context.store.createdAt, generation) : null;
  if (replaced) return replaced;
  const found = findExecution(context, id);
  return found.ok ? { ok: true, execution: viewWithLastHeard(context, found.record) } : found;
}

export function listExecutions(context: SessionContext, query: ExecutionQuery): Result<{ data: Execution[]; next: number | null }> {
  const { store } = context;
  if (!store.exists) return sessionNotFound;
  const limit = Math.min(query.limit, LIST_LIMIT_MAX);
  const page = store.executions.list({ ...query, limit: limit + 1 });
  const shown = page.slice(0, limit);
  return {
    ok: true,
    data: shown.map((record) => viewWithLastHeard(context, record)),
    next: page.length > limit ? (shown.at(-1)?.ordinal ?? null) : null,
  };
}

/**
 * Idempotent. `settled`: this call ended the execution, which happens when it was not running yet.
 */
export function interruptExecution(
  context: SessionContext,
  id: string,
  { reason, force }: { reason: string; force: boolean },
  now: number,
): Result<{ execution: Execution; settled: boolean; accepted: boolean }> {
  const found = findExecution(context, id);
  if (!found.ok) return found;
  const { record } = found;
  if (isTerminal(record.status)) return { ok: true, accepted: false, settled: false, execution: currentView(context, record) };
  const transition = requestInterrupt(record, { reason, force, cause: 'request' }, now);
  const after = (transition && commit(context, id, transition, now)) ?? record;
  return { ok: true, accepted: true, settled: isTerminal(after.status), execution: currentView(context, after) };
}

/** Binds a lease of the pool, and hands out what the runner needs. */
export async function claimLaunch(context: SessionContext, id: string, claim: Claim, now: number): Promise<ClaimAnswer> {
  const { store } = context;
  const record = store.exists ? store.executions.get(id) : null;
  const decision = record ? decideClaim(record, claim, now) : null;
  if (!record || decision?.kind !== 'bound') return { kind: 'gone' };
  const bound = decision.transition ? commit(context, id, decision.transition, now) : record;
  if (!bound) return { kind: 'gone' };
  try {
    return { kind: 'launch', request: await context.services.launchRequest(bound, now) };
  } catch (error) {
    // As for every launcher, a setting that is wrong ends the execution. Otherwise the pool would
    // assign it again at once, and so on.
    const current = store.exists ? store.executions.get(id) : null;
    const isBound = current?.status === 'pending' && current.lease === claim.lease;
    if (isBound) commit(context, id, settleFailed(current, 'launch_failed', errorMessage(error), now), now);
    return { kind: 'gone' };
  }
}

/** The pool gives up a lease, or asks how it stands. Idempotent by the number of the lease. */
export function recallLease(context: SessionContext, id: string, request: RecallRequest, now: number): RecallAnswer {
  const { store } = context;
  // A deadline that has passed counts, even if the alarm has not fired yet.
  if (store.exists) expireDue(context, id, now);
  const record = store.exists ? store.executions.get(id) : null;
  const { answer, transition } = decideRecall(record, request, now);
  if (transition) commit(context, id, transition, now);
  return { kind: answer };
}

export function noteWaitReason(context: SessionContext, id: string, reason: WaitReason, now: number): void {
  const record = context.store.exists ? context.store.executions.get(id) : null;
  const transition = record && noteReason(record, reason);
  if (transition) commit(context, id, transition, now);
}

/** Idempotent: a second call finds the execution settled and changes nothing. */
export function failExecution(
  context: SessionContext,
  id: string,
  { code, message }: { code: string; message: string },
  now: number,
): Result<{ settled: boolean; execution: Execution }> {
  const found = findExecution(context, id);
  if (!found.ok) return found;
  const { record } = found;
  const after = isTerminal(record.status) ? null : commit(context, id, settleFailed(record, code, message, now), now);
  return { ok: true, settled: after !== null, execution: currentView(context, after ?? record) };
}

/** Idempotent when the input has an id: a repeat finds the first call's command. */
export function acceptInput(context: SessionContext, id: string, input: NormalInput, now: number): Result<{ commandId: number }> {
  const found = findExecution(context, id);
  if (!found.ok) return found;
  const { store } = context;
  const { inputId } = input;
  const noted = inputId === null ? null : store.inputs.find(id, inputId);
  const decision = decideInput(found.record, input, { noted, waiting: store.commands.load(id), storage: storageLoad(context) });
  switch (decision.kind) {
    case 'repeat':
      return { ok: true, commandId: decision.commandId };
    case 'refuse':
      return decision.failure;
    case 'accept': {
      const written = store.transact(() => {
        const done = writeTransition(context, id, decision.transition, now);
        const [command] = done?.commands ?? [];
        if (command && inputId !== null) store.inputs.note(id, inputId, { digest: digestOfInput(input), commandId: command.id });
        return done;
      });
      const [command] = written?.commands ?? [];
      if (!written || !command) return noExecution(id);
      publish(context, written, now);
      return { ok: true, commandId: command.id };
    }
    default:
      return decision satisfies never;
  }
}

/** Idempotent when the answer has an id: a repeat finds the first call's command. */
export function answerQuestion(
  context: SessionContext,
  id: string,
  answer: NormalAnswer,
  now: number,
): Result<{ commandId: number }> {
  const found = findExecution(context, id);
  if (!found.ok) return found;
  const { store } = context;
  const { question, answerId, by } = answer;
  const facts = { noted: store.answers.find(id, question), waiting: store.commands.load(id), storage: storageLoad(context) };
  const decision = decideAnswer(found.record, answer, facts);
  switch (decision.kind) {
    case 'repeat':
      return { ok: true, commandId: decision.commandId };
    case 'refuse':
      return decision.failure;
    case 'accept': {
      const written = store.transact(() => {
        const done = writeTransition(context, id, decision.transition, now);
        const [command] = done?.commands ?? [];
        const digest = digestOfAnswer(answer);
        if (command) store.answers.note(id, question, { answerId, digest, by, at: now, commandId: command.id });
        return done;
      });
      const [command] = written?.commands ?? [];
      if (!written || !command) return noExecution(id);
      publish(context, written, now);
      return { ok: true, commandId: command.id };
    }
    default:
      return decision satisfies never;
  }
}

/** Idempotent: a second call finds the size that it asks for. */
export function resizeTerminal(
  context: SessionContext,
  id: string,
  size: TerminalSize,
  by: Author,
  now: number,
): Result<{ terminal: TerminalSize; changed: boolean }> {
  const found = findExecution(context, id);
  if (!found.ok) return found;
  const { store } = context;
  const decision = decideResize(found.record, size, by, storageLoad(context));
  switch (decision.kind) {
    case 'refuse':
      return decision.failure;
    case 'same':
      return { ok: true, terminal: size, changed: false };
    case 'resize': {
      const written = store.transact(() => {
        // Only the newest size matters, so at most one waits for a wrapper that is away.
        store.commands.dropResizes(id);
        return writeTransition(context, id, decision.transition, now);
      });
      if (!written) return noExecution(id);
      publish(context, written, now);
      return { ok: true, terminal: size, changed: true };
    }
    default:
      return decision satisfies never;
  }
}

export function getSession({ store, session }: SessionContext): Result<{ session: SessionSummary }> {
  if (!store.exists) return sessionNotFound;
  const active = store.executions.active();
  return {
    ok: true,
    session: {
      id: session,
      createdAt: store.createdAt,
      lastActivityAt: lastActivityAt(store),
      earliest: store.log.earliest,
      head: store.log.head,
      active: active[0]?.id ?? null,
      activeExecutionIds: active.map(({ id }) => id),
      ...(active.some(({ asking }) => asking !== null) ? { asking: true } : {}),
      counts: store.executions.counts(),
    },
  };
}

/** A page has a few megabytes at most, so that an answer always fits an RPC message. */
const READ_BYTES_MAX = 4 * 1024 * 1024;

export function readEvents(
  { store }: SessionContext,
  { after, limit, generation }: ReadQuery,
): Result<{ events: LoggedEvent[]; next: number; head: number; generation: string }> {
  if (!store.exists) return sessionNotFound;
  const bad = checkGeneration(store.createdAt, generation) ?? checkOffset(store.log, after);
  if (bad) return bad;
  const events: LoggedEvent[] = [];
  let bytes = 0;
  for (const row of store.log.rowsAfter(after)) {
    if (events.length >= limit || bytes >= READ_BYTES_MAX) break;
    bytes += row.bytes;
    // Field by field: a wrapper may have added fields to its event that have the names of ours.
    for (const [index, { type, at, data }] of eventsOf(row).entries()) {
      const offset = row.firstOffset + index;
      if (offset <= after || events.length >= limit) continue;
      events.push({ offset, ...(row.late ? { late: true } : {}), execution: row.execution, type, at, data });
    }
  }
  const next = events.at(-1)?.offset ?? after;
  return { ok: true, events, next, head: store.log.head, generation: generationOf(store.createdAt) };
}

const eventsOf = (row: LogRow): Omit<LoggedEvent, 'offset' | 'execution'>[] => parseStored(`[${row.body.replaceAll('\n', ',')}]`);

/** HTTP9, HTTP10: an offset outside the log is refused. The reader is never restarted silently. */
function checkOffset(log: { head: number; earliest: number }, after: number): Failure | null {
  if (after > log.head) {
    return { ok: false, code: 'offset_ahead', message: `The log ends at ${log.head}.`, facts: { head: log.head } };
  }
  if (after < log.earliest - 1) {
    return { ok: false, code: 'offset_expired', message: `The log begins at ${log.earliest}.`, facts: { earliest: log.earliest } };
  }
  return null;
}

/** Whether a viewer may begin at the requested offset. */
export function admitViewer(context: SessionContext, request: ViewerRequest): { ok: true } | Failure {
  const { store, viewers } = context;
  if (!store.exists) return sessionNotFound;
  const replaced = checkGeneration(store.createdAt, request.generation);
  if (replaced) return replaced;
  const missing = request.executions?.find((id) => store.executions.get(id) === null);
  if (missing !== undefined) return noExecution(missing);
  if (viewers.count >= VIEWERS_MAX)
    return { ok: false, code: 'overloaded', message: `${VIEWERS_MAX} viewers are connected already.` };
  return (request.after !== null && checkOffset(store.log, request.after)) || { ok: true };
}
