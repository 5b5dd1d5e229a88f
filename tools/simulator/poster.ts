/**
 * A wrapper without WebSocket: the same frames in HTTP bodies (ING18). Each body begins with a
 * hello. Its events start at or before the first unacknowledged one. Bodies and responses can be
 * lost, and the wrapper then posts the same again.
 */

import {
  CLOSE,
  encodeEventsFrame,
  encodeFrame,
  nextStepAfterClose,
  POLICY_DEFAULTS,
  type Policy,
  parseCoordinatorFrame,
} from '../../protocol/index.ts';
import type { Session } from '../../src/session/session.ts';
import type { Spool } from './spool.ts';
import type { World } from './world.ts';

const ANSWER_WAIT_MS = 10_000;
const EVENTS_MAX = 8;

export class Poster {
  readonly label: string;
  readonly spool: Spool;
  readonly #world: World;
  #left: number;
  #exit: { exitCode: number | null; signal: string | null };
  #policy: Policy = POLICY_DEFAULTS;
  #welcomed = false;
  #acked = 0;
  #toAck: number[] = [];
  #generation = 0;
  phase: 'posting' | 'ended' = 'posting';

  constructor(world: World, spool: Spool) {
    this.#world = world;
    this.spool = spool;
    this.label = `poster ${spool.wrapperId} of ${spool.execution}`;
    this.#left = world.random.int(0, 30);
    this.#exit = { exitCode: world.random.pick([0, 0, 1]), signal: null };
    if (world.random.chance(0.2)) world.clock.after(world.random.int(100, 20_000), () => this.#end('its host is gone'));
    this.#post();
  }

  get alive(): boolean {
    return this.phase !== 'ended';
  }

  #end(why: string): void {
    this.#world.trace(() => `${this.label} ends: ${why}`);
    this.phase = 'ended';
  }

  #post(): void {
    if (!this.alive) return;
    const { clock, random, faults, host } = this.#world;
    this.#generation += 1;
    const generation = this.#generation;
    const body = this.#body();
    const again = (ms: number) => {
      this.#generation += 1;
      clock.after(ms, () => this.#post());
    };
    clock.after(ANSWER_WAIT_MS, () => {
      if (generation === this.#generation && this.alive) again(0);
    });
    if (faults.strike('upgrade_lost')) return;
    clock.after(random.int(1, 40), () => {
      const call = (session: Session) => session.postIngest(this.spool.execution, body, this.#world.now);
      const failed = () => {
        if (generation === this.#generation) again(random.int(50, 500));
      };
      const answered = (result: ReturnType<typeof call>) => {
        if (faults.strike('answer_lost')) return;
        clock.after(random.int(1, 40), () => {
          if (generation !== this.#generation || !this.alive) return;
          if (!result.ok) return this.#end(result.code);
          for (const line of result.lines) this.#received(line);
          again(this.#terminal && this.#acked < this.spool.storedSeq ? 0 : random.int(1, this.#policy.heartbeatMs));
        });
      };
      host.request({ kind: 'request', touches: [this.spool.execution] }, call, answered, failed);
    });
  }

  #terminal = false;

  get #lateMark(): { late?: true } {
    return this.#welcomed ? { late: true } : {};
  }

  #body(): string {
    const { random } = this.#world;
    const { wrapperId } = this.spool;
    if (this.#welcomed) this.#work();
    const nextSeq = this.spool.storedSeq + 1;
    const hello = { type: 'hello', protocol: 1, wrapperId, bootId: `b_${wrapperId}`, nextSeq, lost: 0, ...this.#lateMark } as const;
    const frames = [encodeFrame(hello), ...this.#toAck.splice(0).map((id) => encodeFrame({ type: 'command_ack', id }))];
    for (let seq = Math.max(1, this.#acked + 1 - random.int(0, 2)); this.#welcomed && seq < nextSeq; ) {
      const count = Math.min(nextSeq - seq, random.int(1, EVENTS_MAX));
      frames.push(encodeEventsFrame(seq, count, this.spool.lines({ seq, count })));
      seq += count;
    }
    return frames.join('\n');
  }

  #work(): void {
    const { random, now } = this.#world;
    const store = (type: string, data: object, terminal = false) =>
      this.spool.store(JSON.stringify({ type, at: now, data }), terminal);
    for (let lines = random.int(0, 4); lines > 0 && this.#left > 0; lines -= 1) {
      this.#left -= 1;
      store('output', { stream: 'stdout', text: `${this.#left}\n` });
    }
    if (this.#left > 0 || this.#terminal) return;
    this.#terminal = true;
    store('exit', this.#exit, true);
  }

  #received(line: string): void {
    const parsed = parseCoordinatorFrame(line);
    if (!parsed.ok) return this.#world.violation(`${this.label} got a line that it does not understand: ${line.slice(0, 200)}`);
    const { frame } = parsed;
    const { checks } = this.#world;
    switch (frame.type) {
      case 'welcome':
        if (!this.#welcomed) checks.spawned(this.spool.execution);
        this.#welcomed = true;
        if (frame.late && !this.#terminal) this.#left = 0;
        this.#policy = frame.policy;
        checks.welcomed(this.spool.execution, frame);
        this.#acked = Math.max(this.#acked, frame.ackedSeq);
        for (const command of frame.commands) {
          this.#toAck.push(command.id);
          if (command.command !== 'interrupt' || this.#terminal) continue;
          this.#left = 0;
          this.#exit = { exitCode: null, signal: 'SIGINT' };
        }
        return;
      case 'ack':
        checks.acked(this.spool.execution, frame.seq);
        this.#acked = Math.max(this.#acked, frame.seq);
        return;
      case 'nack':
        return checks.nacked(this.label);
      case 'close':
        if (frame.code === CLOSE.settled) checks.toldSettled(this.spool.execution, frame.reason);
        if (nextStepAfterClose(frame.code, frame.reason) === 'stop') this.#end(`closed ${frame.code}`);
        return;
      case 'command':
        return;
      default:
        frame satisfies never;
    }
  }
}
