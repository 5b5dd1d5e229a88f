/**
 * The platform around one session object: it wakes the object, runs its turns, holds back its
 * messages until its writes are durable, and evicts it. The session is the real one.
 *
 * - One turn at a time. What a turn sends leaves when all earlier writes are durable (the output
 *   gate), in order.
 * - A crash discards the memory, the turns that are not durable, their messages, and every socket,
 *   without a close event.
 * - Hibernation discards only the memory. Sockets and their attachments stay. The next event
 *   creates a new incarnation.
 * - There is one alarm, and firing removes it. It may fire late, twice or never.
 * - Events wait while an incarnation wakes.
 * - An object that is down receives nothing: messages are lost, and its alarm waits.
 */

import { type Execution, PING, PONG } from '../../protocol/index.ts';
import type { CallbackFacts } from '../../src/core/callback.ts';
import type { Announcement, AnnouncementAnswer } from '../../src/core/directory.ts';
import type { ExecutionRecord } from '../../src/core/execution.ts';
import type { LaunchOutcome } from '../../src/core/launching.ts';
import type { SessionRuntime, SessionSocket } from '../../src/core/ports.ts';
import type { ViewerRequest } from '../../src/session/contract.ts';
import { Session } from '../../src/session/session.ts';
import type { Timer } from './clock.ts';
import { Disk, DiskFault } from './disk.ts';
import { MemoryStore } from './memory-store.ts';
import { IncarnationSocket, type Link, PlatformSocket, type ServerEnd } from './network.ts';
import type { World } from './world.ts';

/** Why a turn ran, for the checks. */
export type Cause =
  | { kind: 'alarm' | 'wake' | 'later' | 'viewer' }
  | { kind: 'message' | 'close'; execution: string; socket: PlatformSocket }
  | { kind: 'request'; touches: readonly string[] };

export type SocketRequest = { kind: 'ingest'; execution: string } | { kind: 'viewer'; request: ViewerRequest };

interface Held {
  version: number;
  leave: () => void;
  lost: (() => void) | null;
}

interface Waiting {
  event: (incarnation: Incarnation) => void;
  lost: () => void;
}

/** One life of the object in memory. */
interface Incarnation {
  number: number;
  session: Session;
  handles: Map<PlatformSocket, IncarnationSocket>;
  awake: boolean;
  /**
   * Async work that waits for a simulated event, and all async work. When the two are equal, only
   * the world can make progress.
   */
  parked: number;
  running: number;
}

export class Host {
  readonly disk = new Disk();
  sockets: PlatformSocket[] = [];
  readonly #world: World;
  #incarnation: Incarnation | null = null;
  #incarnations = 0;
  #inbox: Waiting[] = [];
  #held: Held[] = [];
  #flushAt = 0;
  #alarmTimer: Timer | null = null;
  #alarmAt: number | null = null;
  #alarmRunning = false;
  /**
   * After a crash the platform waits briefly before it repeats an alarm. Without the wait, crashes
   * would repeat without time passing.
   */
  #alarmNotBefore = 0;
  /** While the object is down. */
  #downUntil = 0;

  constructor(world: World) {
    this.#world = world;
    this.disk.failing = () => this.#incarnation !== null && world.faults.strike('disk_write_fails');
  }

  // ── what happens to the object ────────────────────────────────────────────────────────────────

  /** An upgrade that reached the object. */
  accept(link: Link, request: SocketRequest): void {
    const refused = () => link.down((client) => client.refused(503));
    this.#deliver(refused, (incarnation) => {
      const { session } = incarnation;
      const now = this.#world.now;
      const ws = this.#handle(incarnation, null, (tags) => {
        const execution = request.kind === 'ingest' ? request.execution : null;
        const socket = new PlatformSocket(link, tags, request.kind, execution, now);
        link.server = this.#serverEnd(socket);
        this.sockets.push(socket);
        return socket;
      });
      this.#turn({ kind: request.kind === 'ingest' ? 'later' : 'viewer' }, () => {
        if (request.kind === 'ingest') session.connectIngest(ws, request.execution, now);
        else session.connectViewer(ws, request.request);
      });
    });
  }

  /** A call from another Worker. `failed` when the object was lost before it answered. */
  request<T>(cause: Cause, call: (session: Session) => T, answered: (result: T) => void, failed: () => void): void {
    this.#deliver(failed, (incarnation) => {
      this.#turn(cause, () => {
        try {
          const result = call(incarnation.session);
          this.#emit(() => answered(result), failed);
        } catch (error) {
          this.#emit(failed, failed);
          throw error;
        }
      });
    });
  }

  /** Loses the memory, the turns that are not durable, and every socket. */
  crash(why: string): void {
    const lost = this.disk.lose();
    if (lost > 0 || this.#alarmRunning) this.#world.alarmMayBeGone();
    this.#world.note('object_crash', () => `object crashes (${why}), ${lost} turns lost, ${this.#held.length} messages lost`);
    this.#world.checks.crashed();
    const held = this.#held.splice(0);
    const sockets = this.sockets.splice(0);
    const waiting = this.#inbox.splice(0);
    this.#incarnation = null;
    for (const { lost: tell } of [...held, ...waiting]) tell?.();
    for (const { link } of sockets) link.serverGone(this.#world.random.chance(0.8));
    if (this.#alarmRunning) {
      this.#alarmRunning = false;
      // The platform documents that it repeats the alarm. There are reports that it sometimes does
      // not.
      if (this.#world.random.chance(0.5)) this.#world.clock.after(this.#world.random.int(0, 2000), () => this.#fireAlarm());
    }
    this.#alarmAt = null;
    this.#alarmTimer = this.#world.clock.cancel(this.#alarmTimer);
    this.#alarmNotBefore = this.#world.now + this.#world.random.int(0, 1000);
    this.#followAlarm();
  }

  /** The object crashes and stays down for this long. */
  goDown(ms: number): void {
    this.crash(`for ${ms} ms`);
    this.#downUntil = Math.max(this.#downUntil, this.#world.now + ms);
    this.#alarmNotBefore = Math.max(this.#alarmNotBefore, this.#downUntil);
    this.#alarmTimer = this.#world.clock.cancel(this.#alarmTimer);
    this.#alarmAt = null;
    this.#followAlarm();
  }

  /** Discards only the memory. An object hibernates only when it is idle. */
  hibernate(): boolean {
    const incarnation = this.#incarnation;
    if (!incarnation?.awake || incarnation.running > 0 || this.#held.length > 0) return false;
    this.#world.note('hibernation', () => 'object hibernates');
    this.#incarnation = null;
    return true;
  }

  get isDown(): boolean {
    return this.#world.now < this.#downUntil;
  }

  get asleep(): boolean {
    return this.#incarnation === null;
  }

  /** Microtasks of the session that can progress on their own run here, before the next event. */
  get unsettled(): boolean {
    const incarnation = this.#incarnation;
    return incarnation !== null && incarnation.running > incarnation.parked;
  }

  async settle(): Promise<void> {
    for (let hop = 0; this.unsettled; hop += 1) {
      if (hop > 1000) throw new Error('the session waits for something that is not simulated');
      await undefined;
    }
    this.#endTurn({ kind: 'later' });
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────

  /** Events wait while the incarnation wakes. */
  #deliver(lost: () => void, event: (incarnation: Incarnation) => void): void {
    if (this.isDown) return lost();
    const incarnation = this.#incarnation ?? this.#wake();
    if (incarnation.awake) event(incarnation);
    else this.#inbox.push({ event, lost });
  }

  #wake(): Incarnation {
    this.#incarnations += 1;
    const number = this.#incarnations;
    this.#world.trace(() => `object wakes, incarnation ${number}`);
    const { disk } = this;
    const handles = new Map<PlatformSocket, IncarnationSocket>();
    const incarnation: Incarnation = {
      number,
      handles,
      awake: false,
      parked: 0,
      running: 0,
      session: undefined as unknown as Session,
    };
    this.#incarnation = incarnation;
    incarnation.session = new Session(this.#runtime(incarnation), new MemoryStore(disk), 's1', {
      launch: (record) => this.#launch(incarnation, record),
      // No execution of the simulator waits in a pool (test/core/pool-model.test.ts does that).
      launchRequest: async () => {
        throw new Error('there is no pool');
      },
      leavePool: async () => {},
      release: async () => {},
      announce: (announcement) => this.#announce(incarnation, announcement),
      enqueue: (callback, execution) => this.#enqueue(incarnation, callback, execution),
      measure: null,
    });
    this.#background(
      incarnation,
      incarnation.session.wake(this.#world.now).then(
        () => {
          if (this.#incarnation !== incarnation) return;
          this.#endTurn({ kind: 'wake' });
          incarnation.awake = true;
          while (this.#incarnation === incarnation && this.#inbox.length > 0) this.#inbox.shift()?.event(incarnation);
        },
        (error: unknown) => {
          // An exception while the object wakes resets it.
          this.#threw(error, 'wake');
          this.#endTurn({ kind: 'wake' });
          if (this.#incarnation === incarnation) this.crash('it could not wake');
        },
      ),
      'wake',
    );
    return incarnation;
  }

  #background(incarnation: Incarnation, work: Promise<void>, what: string): void {
    incarnation.running += 1;
    work.then(
      () => {
        incarnation.running -= 1;
      },
      (error: unknown) => {
        incarnation.running -= 1;
        this.#threw(error, what);
      },
    );
  }

  #turn(cause: Cause, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#threw(error, cause.kind);
    }
    this.#endTurn(cause);
  }

  #threw(error: unknown, what: string): void {
    if (error instanceof DiskFault) {
      this.#world.trace(() => `${what} handler throws: ${error.message}`);
      this.#world.alarmMayBeGone();
    } else this.#world.violation(`the ${what} handler threw ${error instanceof Error ? error.stack : String(error)}`);
  }

  #endTurn(cause: Cause): void {
    const { disk } = this;
    this.#world.checks.turn(cause);
    const version = disk.endTurn();
    if (version !== null) {
      this.#flushAt = Math.max(this.#flushAt, this.#world.now + this.#world.diskDelayMs());
      this.#world.clock.after(this.#flushAt - this.#world.now, () => {
        disk.flushed(version);
        this.#world.checks.durable();
        this.#openGate();
      });
      this.#world.wrote();
    }
    this.#openGate();
    this.#followAlarm();
  }

  #emit(leave: () => void, lost: (() => void) | null = null): void {
    this.#held.push({ version: this.disk.version, leave, lost });
  }

  /** The output gate: a message leaves when its version is durable. */
  #openGate(): void {
    for (let next = this.#held[0]; next && next.version <= this.disk.durableVersion; next = this.#held[0]) {
      this.#held.shift();
      next.leave();
    }
  }

  // ── alarm ─────────────────────────────────────────────────────────────────────────────────────

  /** The timer follows the alarm that is on disk. */
  #followAlarm(): void {
    const { alarm } = this.disk;
    if (alarm === this.#alarmAt) return;
    const { clock } = this.#world;
    this.#alarmTimer = clock.cancel(this.#alarmTimer);
    this.#alarmAt = alarm;

    if (alarm === null) return;
    this.#alarmTimer = clock.after(Math.max(alarm, this.#alarmNotBefore) - clock.now + this.#world.alarmLatenessMs(), () =>
      this.#alarmDue(),
    );
  }

  #alarmDue(): void {
    // Waits for the end of the running one.
    if (this.#alarmRunning) return;
    this.disk.consumeAlarm();
    this.#alarmAt = null;
    this.#endTurn({ kind: 'later' });
    if (this.#world.faults.strike('alarm_lost')) {
      this.#world.trace(() => 'the alarm is lost');
      this.#world.alarmMayBeGone();
      return;
    }
    this.#fireAlarm();
  }

  #fireAlarm(): void {
    // An alarm that the platform repeats after a crash.
    const again = () => void this.#world.clock.after(this.#downUntil - this.#world.now, () => this.#fireAlarm());
    this.#deliver(again, (incarnation) => {
      if (this.#alarmRunning) return;
      this.#alarmRunning = true;
      this.#world.trace(() => 'alarm');
      const run = async () => {
        let failed = false;
        try {
          await incarnation.session.onAlarm(this.#world.now, () => this.#world.now);
        } catch (error) {
          failed = true;
          this.#threw(error, 'alarm');
        }
        if (this.#incarnation !== incarnation) return;
        this.#alarmRunning = false;
        const { clock, random, faults } = this.#world;
        if (failed) clock.after(2000, () => this.#fireAlarm());
        else if (this.disk.alarm !== null && this.disk.alarm <= this.#world.now) clock.after(0, () => this.#alarmDue());
        else if (faults.strike('alarm_doubled')) clock.after(random.int(0, 50), () => this.#fireAlarm());
      };
      this.#background(incarnation, run(), 'alarm');
      // The part of the handler before its first await is a turn of its own.
      this.#endTurn({ kind: 'alarm' });
    });
  }

  // ── sockets ───────────────────────────────────────────────────────────────────────────────────

  #serverEnd(socket: PlatformSocket): ServerEnd {
    const gone = () => {}; // The socket was lost with the object.
    return {
      message: (text) => {
        socket.lastHeardAt = this.#world.now;
        if (text === PING) {
          // ING17: the platform answers, and the object does not wake.
          if (socket.readyState !== 1) return;
          socket.lastPingAt = this.#world.now;
          socket.link.down((client) => client.message(PONG));
          return;
        }
        this.#deliver(gone, (incarnation) => {
          const ws = this.#handle(incarnation, socket);
          this.#turn(this.#causeOf(socket, 'message'), () => incarnation.session.onMessage(ws, text, this.#world.now));
        });
      },
      closed: (code, reason) => {
        if (socket.readyState === 3) return;
        // The closing socket is still listed while its handler runs.
        socket.readyState = socket.readyState === 1 ? 2 : 3;
        this.#deliver(gone, (incarnation) => {
          if (!this.sockets.includes(socket)) return;
          const ws = this.#handle(incarnation, socket);
          this.#turn(this.#causeOf(socket, 'close'), () => incarnation.session.onClose(ws, code, reason, this.#world.now));
          socket.readyState = 3;
          this.sockets = this.sockets.filter((other) => other !== socket);
        });
      },
    };
  }

  #causeOf(socket: PlatformSocket, kind: 'message' | 'close'): Cause {
    return socket.execution === null ? { kind: 'viewer' } : { kind, execution: socket.execution, socket };
  }

  #handle(
    incarnation: Incarnation,
    socket: PlatformSocket | null,
    accept?: (tags: readonly string[]) => PlatformSocket,
  ): IncarnationSocket {
    const known = socket && incarnation.handles.get(socket);
    if (known) return known;
    const refuse = () => {
      throw new Error('accepted twice');
    };
    const handle = new IncarnationSocket(accept ?? refuse, (leave) => this.#emit(leave), this.#world.checks, socket);
    if (socket) incarnation.handles.set(socket, handle);
    return handle;
  }

  #runtime(incarnation: Incarnation): SessionRuntime {
    return {
      getWebSockets: (tag) =>
        this.sockets
          .filter(({ tags }) => tag === undefined || tags.includes(tag))
          .map((socket) => this.#handle(incarnation, socket)),
      acceptWebSocket: (ws: SessionSocket, tags) => {
        const handle = ws as IncarnationSocket;
        const socket = handle.accept(tags);
        handle.platform = socket;
        incarnation.handles.set(socket, handle);
        this.#emit(() => socket.link.down((client) => client.opened()));
      },
      lastPingAt: (ws) => (ws as IncarnationSocket).platform?.lastPingAt ?? null,
      getAlarm: async () => this.disk.alarm,
      setAlarm: async (at) => {
        try {
          this.disk.setAlarm(at);
        } catch (error) {
          // A failed write of the alarm resets the object.
          this.#world.alarmMayBeGone();
          this.#world.clock.after(0, () => {
            if (this.#incarnation === incarnation) this.crash('the alarm could not be written');
          });
          throw error;
        }
      },
      pause: () => this.#parked(incarnation, (go) => void this.#world.clock.after(1, () => go(undefined))),
      waitUntil: (work) => this.#background(incarnation, work, 'waitUntil'),
      now: () => this.#world.now,
      deleteAll: async () => this.disk.deleteAll(),
    };
  }

  /** A promise that the world resolves. It never resolves after the incarnation is gone. */
  #parked<T>(incarnation: Incarnation, begin: (go: (value: T) => void) => void): Promise<T> {
    incarnation.parked += 1;
    return new Promise((resolve) => {
      begin((value) => {
        if (this.#incarnation !== incarnation) return;
        incarnation.parked -= 1;
        resolve(value);
      });
    });
  }

  /** The call to the launcher leaves through the output gate, as everything else does. */
  #launch(incarnation: Incarnation, record: ExecutionRecord): Promise<LaunchOutcome> {
    return this.#parked(incarnation, (go) => {
      this.#emit(() => this.#world.launcher.launch(record, go));
    });
  }

  /**
   * A directory update does, too: the directory must not learn of a change that can still be lost.
   */
  #announce(incarnation: Incarnation, announcement: Announcement): Promise<AnnouncementAnswer | null> {
    return this.#parked(incarnation, (go) => {
      this.#emit(() => this.#world.directory.announce(announcement, go));
    });
  }

  /** A callback does, too: a verdict that can still be lost must not be delivered. */
  #enqueue(incarnation: Incarnation, callback: CallbackFacts, execution: Execution): Promise<boolean> {
    return this.#parked(incarnation, (go) => {
      this.#emit(() => this.#world.queue.send(callback, execution, go));
    });
  }
}
