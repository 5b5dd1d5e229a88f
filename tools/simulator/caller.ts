/**
 * Callers of the API: start, interrupt, fail and input, at any time and repeatedly, because
 * responses can be lost.
 */

import { type CallbackEvent, isTerminal, type OnBusy, type Policy } from '../../protocol/index.ts';
import type { NormalAnswer } from '../../src/core/asking.ts';
import type { NormalInput } from '../../src/core/input.ts';
import type { NormalStart } from '../../src/session/contract.ts';
import type { Session } from '../../src/session/session.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

const ATTEMPTS_MAX = 4;

/** Each input has a text of its own, so that the checks recognise it. */
const inputOf = (inputId: string): NormalInput => ({
  text: inputId,
  base64: null,
  bytes: inputId.length,
  sha256: `of ${inputId}`,
  eof: false,
  inputId,
  secret: false,
  by: { kind: 'key', id: 'key_1' },
});

/** Half of the executions request a callback. */
export const wantsCallback = (id: string): boolean => id.charCodeAt(id.length - 1) % 2 === 0;

/** Those that the jobs of the simulator have. */
const SIMULATED_EVENTS: CallbackEvent[] = ['started', 'disconnected', 'settled'];

export class Caller {
  readonly #world: World;
  #inputs = 0;
  #answers = 0;

  constructor(world: World) {
    this.#world = world;
  }

  start(
    id: string,
    {
      policy,
      launcher,
      onBusy,
      maxActive,
      asks,
    }: { policy: Policy; launcher: 'none' | 'container'; onBusy: OnBusy; maxActive: number; asks: boolean },
  ): void {
    const request: NormalStart = {
      id,
      command: ['job'],
      cwd: null,
      env: { KEY: 'value' },
      stdin: null,
      openStdin: true,
      secretNames: null,
      format: asks ? 'claude' : 'text',
      merge: false,
      output: 'text',
      launcher,
      maxActive,
      labels: {},
      policy,
      callbackUrl: wantsCallback(id) ? 'https://caller.test/done' : null,
      callbackEvents: wantsCallback(id) ? SIMULATED_EVENTS : null,
      traceparent: null,
      origin: 'https://holdfast.test',
      digest: `digest of ${id}`,
      onBusy,
    };
    const touches = () => [id, ...this.#world.activeIds()];
    this.#call(`start ${id} ${launcher} ${onBusy}`, touches, (session) => session.startExecution(request, null, this.#world.now), {
      idempotent: true,
      answered: (result) => {
        if (!result.ok || launcher !== 'none' || this.#world.wrappersOf(id).length > 0) return;
        // With launcher `none` the caller also starts the wrapper. Some callers never do.
        if (this.#world.random.chance(0.9)) {
          this.#world.clock.after(this.#world.random.int(0, 500), () => this.#world.startWrapper(id));
        }
      },
    });
  }

  interrupt(id: string, force: boolean): void {
    const call = (session: Session) => session.interruptExecution(id, { reason: 'a user asked', force }, this.#world.now);
    this.#call(`interrupt ${id}${force ? ' by force' : ''}`, () => [id], call, { idempotent: true });
  }

  fail(id: string): void {
    const call = (session: Session) =>
      session.failExecution(id, { code: 'asked_to_fail', message: 'a caller said so' }, this.#world.now);
    this.#call(`fail ${id}`, () => [id], call, { idempotent: true });
  }

  input(id: string): void {
    this.#inputs += 1;
    const inputId = `i${this.#inputs}`;
    const input = inputOf(inputId);
    this.#call(
      `input to ${id}`,
      () => [id],
      (session) => session.acceptInput(id, input, this.#world.now),
      {
        idempotent: true,
        answered: (result) => {
          if (result.ok) this.#world.checks.inputAccepted(id, inputId, result.commandId);
        },
      },
    );
  }

  /** A person who looks at what is open from time to time, thinks, and answers it. */
  answerAll(id: string, random: Random): void {
    const { clock, host } = this.#world;
    const record = host.disk.executions.get(id);
    if (record && isTerminal(record.status)) return;
    clock.after(random.int(200, 2500), () => this.answerAll(id, random));
    if (!record?.asking || !random.chance(0.6)) return;
    const { id: question } = random.pick(record.asking);
    clock.after(random.pick([0, 200, 3000]), () => this.#answer(id, question, random.pick(['allow', 'deny'])));
  }

  #answer(id: string, question: string, option: string): void {
    this.#answers += 1;
    const answerId = `a${this.#answers}`;
    const answer: NormalAnswer = { question, choice: { option }, answerId, by: { kind: 'key', id: 'key_1' } };
    this.#call(
      `answer ${option} to ${id}/${question}`,
      () => [id],
      (session) => session.answerQuestion(id, answer, this.#world.now),
      {
        idempotent: true,
        answered: (result) => {
          if (result.ok) this.#world.checks.asking.accepted(id, question, answerId, { commandId: result.commandId, option });
        },
      },
    );
  }

  /** A read that changes nothing but wakes the object. */
  ask(): void {
    this.#call(
      'get session',
      () => [],
      (session) => session.getSession(),
      { idempotent: true },
    );
  }

  #call<T>(
    what: string,
    touches: () => string[],
    call: (session: Session) => T,
    { idempotent, answered = () => {} }: { idempotent: boolean; answered?: (result: T) => void },
    attempt = 1,
  ): void {
    const { clock, random, faults, host } = this.#world;
    const again = () => {
      if (!idempotent || attempt >= ATTEMPTS_MAX) return;
      clock.after(random.int(10, 1500), () => this.#call(what, touches, call, { idempotent, answered }, attempt + 1));
    };
    clock.after(random.int(1, 20), () => {
      this.#world.trace(() => `call: ${what}`);
      host.request(
        { kind: 'request', touches: touches() },
        call,
        (result) => {
          if (faults.strike('answer_lost')) return again();
          clock.after(random.int(1, 20), () => {
            this.#world.trace(() => `answer: ${what}: ${JSON.stringify(result).slice(0, 160)}`);
            answered(result);
          });
        },
        again,
      );
    });
  }
}
