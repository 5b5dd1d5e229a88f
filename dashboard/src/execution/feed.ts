/**
 * The feed of one run: the execution object, the stream from near the tail, older events on demand.
 * A thin shell; the decisions are in `log-window`, `line-search`, `run-facts`, and in the client.
 *
 * Owns the stream, the loader of older events, and the snapshot that the page renders. Does not own
 * the log's lines: it hands events to the model, each once, ascending, older ones right before the
 * oldest (W1).
 *
 * F4  Status has a second source: the object is read again when the stream fails or ends, when a
 *     grace or a pause makes its silence doubtful, and when the page becomes visible again. A page
 *     never shows "running" forever.
 * F5  After close() no state changes, and no connection is open.
 * F6  A page shows one log. Every read and every stream names its generation once it is known.
 *     Events of another log (the session was deleted and created again) are rejected: the page says
 *     so and offers the new one.
 */

import {
  connectSession,
  type EventPage,
  type LoggedEvent,
  type ReadEventsOptions,
  type StreamControl,
  StreamFailure,
  type StreamState,
} from '../../../client/index.ts';
import { generationOf, HEARTBEATS_MISSED, silentForMs } from '../../../protocol/index.ts';
import { type FeedOptions, type FeedSnapshot, loadFailure, type StreamLike, startingSnapshot } from './feed-types.ts';
import { HistoryLoader } from './history-loader.ts';
import { boundsAfterExpiry, findStartOffset, type ReadLog, readBounds, startOf } from './log-position.ts';
import { atBottom, bottomOf, type LogBounds, newestOf, windowFrom } from './log-window.ts';
import type { Execution, SessionSummary } from './model.ts';
import {
  createFacts,
  type Facts,
  isEnded,
  waitsForRunner,
  withCaughtUp,
  withEvents,
  withHistory,
  withObject,
  withReplay,
} from './run-facts.ts';
import { TIMELINE_TYPES } from './timeline.ts';

/** How often a doubtful state is checked again. */
const RECHECK_MS = 15_000;
/**
 * A job that prints nothing is normal, and each check keeps its coordinator awake for ten seconds.
 * So a quiet wrapper is checked this often at most.
 */
const QUIET_MS = 60_000;

export class ExecutionFeed {
  readonly #options: FeedOptions;
  /** F6. */
  readonly #source: ReadLog;
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  readonly #life = new AbortController();
  #snapshot: FeedSnapshot;
  #stream: StreamLike | null = null;
  #older: HistoryLoader | null = null;
  #refreshing: Promise<void> | null = null;
  #recheckTimer: ReturnType<typeof setInterval> | null = null;
  /** Newest offset handed to the model. */
  #newest = 0;
  /** When events arrived, or a quiet wrapper was last checked. */
  #quietSince: number;
  #replanned = false;
  #opened = 0;
  #consuming: StreamLike | null = null;
  #atStart = false;
  #goingToLine = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#source = (asked) => this.#read(asked);
    this.#now = options.now ?? Date.now;
    this.#quietSince = this.#now();
    this.#snapshot = startingSnapshot(this.#now());
  }

  get snapshot(): FeedSnapshot {
    return this.#snapshot;
  }

  /** Called after every change, often several times in one task; the renderer batches the calls. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async start(): Promise<void> {
    const { client, session, execution: id, line } = this.#options;
    const { signal } = this.#life;
    try {
      const execution = await client.get(session, id, { signal });
      this.#change({ facts: createFacts(execution) });
      const summary = await this.#summary();
      if (signal.aborted) return;
      await this.#open(await readBounds(this.#source, execution, summary, signal), line);
      this.#change({ summary });
    } catch (error) {
      if (!signal.aborted) this.#change({ load: loadFailure(error) });
    }
  }

  /** True when there was a connection to reconnect; false when the page must restart. */
  reconnect(): boolean {
    const { load, stream, gone } = this.#snapshot;
    if (load.state !== 'ready' || !this.#stream || gone) return false;
    if (stream?.status === 'failed') {
      // The position or the run is gone: only a restart finds out what there is.
      if (stream.code.startsWith('offset_') || stream.code.endsWith('not_found') || stream.code === 'gap') return false;
      this.#stream.reconnect();
      void this.#consume(this.#stream);
      return true;
    }
    this.#stream.reconnect();
    void this.refresh();
    return true;
  }

  /** F4. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** Applies an object from the answer to an action. */
  adopt(execution: Execution): void {
    const { facts } = this.#snapshot;
    if (facts && !this.#life.signal.aborted) this.#change({ facts: withObject(facts, execution) });
  }

  /**
   * Scrolling came near the top. After a failure it does not retry automatically: the view stays
   * near the top and would retry forever.
   */
  loadOlder(): void {
    if (this.#older?.view.error) return;
    void this.#older?.page();
  }

  retryOlder(): void {
    void this.#older?.page();
  }

  loadAll(): void {
    void this.#older?.load('all', () => false);
  }

  /** Cancels what a person waits for; loads started by scrolling continue. */
  cancelLoading(): void {
    this.#goingToLine += 1;
    this.#older?.cancel(['line', 'all']);
  }

  /** Loads until this line is loaded. False when there is no such line, or it was cancelled. */
  async goToLine(line: number): Promise<boolean> {
    this.#goingToLine += 1;
    const mine = this.#goingToLine;
    const current = () => mine === this.#goingToLine && !this.#life.signal.aborted;
    this.#older?.cancel(['line']);
    while (current()) {
      const { load, caughtUp } = this.#snapshot;
      if (load.state !== 'ready' && load.state !== 'loading') return false;
      const { model } = this.#options;
      if (model.idOf(line) !== null) return true;
      const first = model.firstLine;
      if (load.state === 'loading' || !this.#older) {
        await this.#changed();
      } else if (first !== null && first <= line) {
        // It is below what is loaded: it may be in transit or be printed later; this does not wait
        // for it.
        if (caughtUp) return false;
        await this.#changed();
      } else if (first === null && !caughtUp) {
        // It is not known yet whether the line is above or below.
        await this.#changed();
      } else {
        const reached = () => (model.firstLine ?? Number.POSITIVE_INFINITY) <= line;
        const outcome = await this.#older.load('line', reached);
        if (outcome !== 'content') return model.idOf(line) !== null;
      }
    }
    return false;
  }

  /** Loads until the event at this offset is loaded. False when it was cancelled, or failed. */
  async goToOffset(offset: number): Promise<boolean> {
    while (!this.#life.signal.aborted) {
      const { load, caughtUp } = this.#snapshot;
      if (load.state !== 'ready' && load.state !== 'loading') return false;
      const older = this.#older;
      if (load.state === 'loading' || !older) await this.#changed();
      else if (older.window.floor >= offset) {
        const outcome = await older.load('line', () => older.window.floor < offset);
        return outcome === 'content' || outcome === 'at_start';
      }
      // It is below what was loaded first, so it is in transit.
      else if (this.#newest >= offset || caughtUp) return true;
      else await this.#changed();
    }
    return false;
  }

  /**
   * Reads the entries of the timeline from before what was loaded, and nothing else: the server
   * filters.
   */
  async loadHistory(): Promise<void> {
    const { history } = this.#snapshot;
    const older = this.#older;
    if (!older || history === 'loading' || history === 'complete') return;
    this.#change({ history: 'loading' });
    const until = older.window.floor;
    let failed = false;
    try {
      const stream = this.#connect({ after: older.window.bottom, types: TIMELINE_TYPES }, (control) => {
        if (control.type === 'caught_up') stream.close();
      });
      for await (const batch of stream.batches()) {
        const { facts } = this.#snapshot;
        if (facts) this.#change({ facts: withHistory(facts, batch) });
        if ((batch.at(-1)?.offset ?? 0) >= until) break;
      }
    } catch {
      failed = true;
    }
    if (!this.#life.signal.aborted) this.#change({ history: failed ? 'failed' : 'complete' });
  }

  close(): void {
    this.#life.abort(); // F5
    this.#older?.cancel();
    this.#stream?.close();
    if (this.#recheckTimer) clearInterval(this.#recheckTimer);
    this.#wake();
    this.#listeners.clear();
  }

  // ── opening ────────────────────────────────────────────────────────────────────────────────────

  async #open(bounds: LogBounds, line: number | null): Promise<void> {
    const bottom = bottomOf(bounds);
    const { signal } = this.#life;
    const { offset = null } = this.#options;
    const after =
      offset !== null && line === null
        ? startOf(offset, bounds)
        : await findStartOffset(this.#source, line, bounds, signal, () =>
            this.#change({ load: { state: 'loading', searching: true } }),
          );
    if (this.#life.signal.aborted) return;
    const { model } = this.#options;
    this.#older = new HistoryLoader(windowFrom(after, bottom), newestOf(bounds), {
      read: (after, signal) => this.#read({ after, signal }),
      prepend: (events) => {
        model.prepend(events);
        const { facts } = this.#snapshot;
        if (facts) this.#change({ facts: withHistory(facts, events) });
      },
      onChange: () => this.#onOlder(),
    });
    this.#newest = after;
    this.#change({ load: { state: 'ready' }, newest: newestOf(bounds) });
    this.#onOlder();
    this.#opened += 1;
    const mine = this.#opened;
    // The first state is reported from inside the constructor, before there is a stream to compare
    // with.
    const guard =
      <T>(take: (value: T) => void) =>
      (value: T) => {
        if (mine === this.#opened && !this.#life.signal.aborted) take(value);
      };
    const stream = this.#connect(
      { after },
      guard((control) => this.#onControl(control)),
      guard((state) => this.#onState(state)),
    );
    this.#stream = stream;
    this.#recheckTimer ??= setInterval(() => this.#lookAtDoubts(), RECHECK_MS);
    void this.#consume(stream);
  }

  #connect(
    place: { after: number; types?: readonly string[] },
    onControl: (control: StreamControl) => void,
    onState?: (state: StreamState) => void,
  ): StreamLike {
    const { url, session, execution, getTicket, connect = connectSession } = this.#options;
    return connect({
      url,
      session,
      execution,
      getTicket,
      signal: this.#life.signal,
      ...(this.#snapshot.generation === undefined ? {} : { generation: this.#snapshot.generation }),
      ...place,
      onControl,
      ...(onState ? { onState } : {}),
    });
  }

  async #summary(): Promise<SessionSummary | null> {
    const { client, session, readsSession } = this.#options;
    if (!readsSession) return null;
    try {
      const summary = await client.session(session, { signal: this.#life.signal });
      this.#isOf(generationOf(summary.createdAt));
      return summary;
    } catch {
      return null;
    }
  }

  // ── events ────────────────────────────────────────────────────────────────────────────

  async #consume(stream: StreamLike): Promise<void> {
    // A loop that has not yet seen a failure continues with the new connection; a second loop could
    // overtake it.
    if (this.#consuming === stream) return;
    this.#consuming = stream;
    try {
      for await (const batch of stream.batches()) {
        if (this.#life.signal.aborted) return;
        this.#take(batch);
      }
    } catch (error) {
      // The state says the same, and the page shows it.
      if (!(error instanceof StreamFailure)) throw error;
    } finally {
      if (this.#consuming === stream) this.#consuming = null;
    }
  }

  #take(batch: readonly LoggedEvent[]): void {
    this.#options.model.append(batch);
    this.#quietSince = this.#now();
    this.#asked = false;
    this.#newest = batch.at(-1)?.offset ?? this.#newest;
    const { facts } = this.#snapshot;
    if (facts) {
      this.#change({ facts: withEvents(facts, batch), newest: Math.max(this.#snapshot.newest, this.#newest) });
    }
  }

  #onState(state: StreamState): void {
    const { facts } = this.#snapshot;
    this.#change({
      stream: state,
      streamSince: this.#now(),
      ...(facts && state.status === 'replaying' ? { facts: withReplay(facts) } : {}),
    });
    if (state.status === 'replaying') this.#isOf(this.#stream?.hello?.generation);
    if (state.status === 'failed') void this.#onFailed(state.code);
    if (state.status === 'ended') void this.refresh();
  }

  #onControl(control: StreamControl): void {
    if (control.type === 'end') void this.refresh();
    const { facts } = this.#snapshot;
    if (control.type === 'caught_up' && facts) this.#change({ facts: withCaughtUp(facts), caughtUp: true });
  }

  async #onFailed(code: string): Promise<void> {
    if (code === 'log_replaced') this.#onReplaced();
    await this.refresh();
    const { facts } = this.#snapshot;
    // Some of the log expired between the request for its bounds and the connection. Nothing was
    // shown yet, so the page begins where the log begins.
    if (code !== 'offset_expired' || this.#replanned || this.#newest > (this.#older?.window.floor ?? 0) || !facts) return;
    this.#replanned = true;
    const { signal } = this.#life;
    const bounds = await readBounds(this.#source, facts.execution, await this.#summary(), signal);
    const now = await boundsAfterExpiry(this.#source, bounds, signal);
    if (this.#life.signal.aborted) return;
    this.#stream = null;
    await this.#open(now, null);
  }

  #onOlder(): void {
    const older = this.#older;
    if (!older || this.#life.signal.aborted) return;
    const { facts, history } = this.#snapshot;
    const firstOffset = facts?.execution.firstOffset ?? 1;
    const { window } = older;
    const expired = window.bottom > firstOffset - 1;
    if (atBottom(window) && !expired && !this.#atStart) {
      this.#atStart = true;
      this.#options.model.atStart();
    }
    this.#change({
      older: older.view,
      expiredBefore: expired ? window.bottom + 1 : null,
      history: atBottom(window) && history === 'partial' ? 'complete' : history,
    });
  }

  // ── the second source ──────────────────────────────────────────────────────────────────────────

  async #refresh(): Promise<void> {
    const { client, session, execution: id } = this.#options;
    const { signal } = this.#life;
    try {
      const execution = await client.get(session, id, { signal });
      const summary = execution.status === 'queued' ? await this.#summary() : null;
      if (signal.aborted) return;
      const { facts, replaced } = this.#snapshot;
      // F6: the same name, and another run.
      if (replaced || (facts && facts.execution.createdAt !== execution.createdAt)) return this.#onReplaced();
      this.#change({
        facts: facts ? withObject(facts, execution) : createFacts(execution),
        gone: false,
        ...(summary ? { summary } : {}),
      });
    } catch (error) {
      if (signal.aborted) return;
      if ((error as { status?: unknown } | null)?.status !== 404) return;
      // Deleted while it was watched: what was loaded stays readable.
      this.#stream?.close();
      this.#change({ gone: true, replaced: false });
    }
  }

  // ── which log ──────────────────────────────────────────────────────────────────────────────────

  /** F6. */
  async #read(asked: Omit<ReadEventsOptions, 'execution'>): Promise<EventPage> {
    const { client, session, execution } = this.#options;
    try {
      const page = await client.readEvents(session, { ...asked, execution, generation: this.#snapshot.generation });
      this.#isOf(page.generation);
      return page;
    } catch (error) {
      if ((error as { code?: unknown } | null)?.code === 'log_replaced') this.#onReplaced();
      throw error;
    }
  }

  #isOf(generation: string | undefined): void {
    if (this.#snapshot.generation === undefined && generation !== undefined) this.#change({ generation });
  }

  /** What was loaded stays readable, and events of the new log are not mixed into it. */
  #onReplaced(): void {
    this.#stream?.close();
    this.#older?.cancel();
    this.#change({ gone: true, replaced: true });
  }

  #lookAtDoubts(): void {
    const { facts, stream, gone } = this.#snapshot;
    if (!facts || isEnded(facts) || gone || stream?.status === 'paused') return;
    const { wrapper, execution } = facts;
    const overdue = wrapper.graceUntil !== null && wrapper.graceUntil < this.#now();
    // Events do not say how its place among those that wait changes.
    const waits = execution.status === 'queued' || waitsForRunner(execution);
    if (stream?.status !== 'live' || overdue || waits || this.#isSilent(facts)) void this.refresh();
  }

  /**
   * No event for two heartbeats: the wrapper may be frozen, which only the execution's
   * `lastHeardAt` shows.
   */
  #isSilent({ wrapper, execution }: Facts): boolean {
    const now = this.#now();
    if (wrapper.state !== 'connected') return false;
    if (silentForMs(execution, now) !== null) return true;
    const quietFor = now - this.#quietSince;
    if (quietFor < Math.max(HEARTBEATS_MISSED * execution.policy.heartbeatMs, this.#asked ? QUIET_MS : 0)) return false;
    this.#asked = true;
    this.#quietSince = now;
    return true;
  }
  /** A quiet wrapper was checked since the last event. */
  #asked = false;

  // ── notifying ─────────────────────────────────────────────────────────────────────────

  #waiting: (() => void)[] = [];

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #change(change: Partial<FeedSnapshot>): void {
    if (this.#life.signal.aborted) return;
    this.#snapshot = { ...this.#snapshot, ...change };
    this.#wake();
    for (const listener of this.#listeners) listener();
  }
}
