/**
 * One conversation with an agent: opens the session, sends the messages one after the other, passes
 * questions on to stdout and answers back.
 *
 * Owns: the session, which message is next, which questions are open, how the program ends.
 * Does not own: the agent's process, files and terminals, what lines mean for a reader (agent/acp).
 *
 *   BR1  One turn at a time: a message that comes during a turn waits for its end.
 *   BR2  Each request of the agent gets one reply. A question whose answer cannot come any more is
 *        refused, so that the agent goes on: stdin has ended, or the turn is over or cancelled.
 *   BR3  The text of a message from stdin is not printed. The log has it as `input`, or has left it
 *        out because it is secret.
 *   BR4  Every wait ends with the agent (`#ended`), and each but that for a turn has a limit.
 *   BR5  The program ends when all lines of the agent are written. Exception: a second SIGINT,
 *        SIGTERM or SIGHUP (`#hurried`), because the reader of stdout may have stopped.
 */

import { type ClientApp, client, methods, RequestError } from '@agentclientprotocol/sdk';
import { acpCancelled, acpRefusal } from '../agent/acp-asking.ts';
import { isObject, type JsonObject } from '../protocol/json.ts';
import { REASON_CHARS_MAX } from '../protocol/limits.ts';
import type { AgentPort } from './agent-process.ts';
import { type Ending, EXIT } from './exit-codes.ts';
import { readInput, textPrompt } from './input.ts';
import { LOGIN_NEEDED, Opening } from './opening.ts';
import type { Options } from './options.ts';
import { Requests } from './requests.ts';
import type { Services } from './services.ts';
import { agentEndText } from './texts.ts';
import { Wire } from './wire.ts';

export interface BridgePorts {
  startAgent(onLine: (line: Buffer) => void): AgentPort;
  /** A line of stdout, without its end. */
  print(line: string | Buffer): void;
  /** Resolves when all lines so far are written. */
  printed(): Promise<void>;
  /** A sentence on stderr. */
  remark(text: string): void;
  services: Services;
  /** How long an agent may take to end a turn that was cancelled by a signal. */
  cancelMs: number;
}

interface OpenQuestion {
  line: JsonObject;
  reply(result: unknown): void;
  fail(error: Error): void;
}

export class Bridge {
  readonly #options: Options;
  readonly #ports: BridgePorts;
  readonly #name: string;
  readonly #agent: AgentPort;
  readonly #requests: Requests;
  readonly #opening: Opening;
  readonly #questions = new Map<string, OpenQuestion>();
  readonly #messages: JsonObject[][] = [];
  readonly #ended: Promise<Ending>;
  #end: (ending: Ending) => void = () => {};
  #wake: () => void = () => {};
  #inputEnded = false;
  #interrupted = false;
  #isHurried = false;
  readonly #hurried: Promise<void>;
  #hurry: () => void = () => {};
  #turnIs: 'over' | 'running' | 'cancelled' = 'over';
  #sessionId: string | null = null;
  #when = 'before it had opened a session';
  /** Of the last turn; null before the first. */
  #last: number | null = null;

  constructor(options: Options, ports: BridgePorts) {
    this.#options = options;
    this.#ports = ports;
    this.#name = options.agent[0].split('/').at(-1) as string;
    this.#ended = new Promise((ended) => {
      this.#end = ended;
    });
    this.#hurried = new Promise((hurried) => {
      this.#hurry = () => {
        this.#isHurried = true;
        hurried();
      };
    });
    const wire = new Wire({ print: ports.print, write: (text) => this.#agent.write(text) });
    this.#agent = ports.startAgent((line) => wire.line(line));
    const { agent } = this.#app().connect(wire.stream);
    this.#requests = new Requests(agent, this.#ended, options.startTimeoutMs);
    this.#opening = new Opening({
      options,
      name: this.#name,
      requests: this.#requests,
      wire,
      capabilities: ports.services.capabilities,
      status: (text) => this.#status(text),
    });
    void this.#agent.ended.then((end) => {
      const isEarly = this.#sessionId === null;
      const why = agentEndText(this.#name, end, this.#when, isEarly ? wire.firstOther : null);
      this.#end({ exitCode: this.#interrupted ? EXIT.cancelled : isEarly ? EXIT.noAgent : EXIT.agentEnded, why });
      wire.close();
    });
  }

  /** The exit code. */
  async run(): Promise<number> {
    const { exitCode, why } = await this.#converse();
    if (why !== null) this.#ports.remark(why);
    await Promise.all([this.#stopAgent(), this.#ports.services.close()]);
    await Promise.race([this.#ports.printed(), this.#hurried]); // BR5
    return exitCode;
  }

  async #stopAgent(): Promise<void> {
    const agent = this.#agent;
    const atOnce = this.#hurried.then(() => agent.stop(true));
    if (this.#isHurried) return atOnce;
    await Promise.race([agent.stop(false).then(() => agent.ended), atOnce]); // BR5
  }

  // ── from outside ────────────────────────────────────────────────────────────────────────────────

  /** A line of stdin. */
  input(line: string): void {
    const input = readInput(line);
    switch (input.kind) {
      case 'nothing':
        return;
      case 'message':
        this.#messages.push(input.prompt);
        this.#wake();
        return;
      case 'reply':
        this.#replied(input.line);
        return;
      case 'cancel':
        this.#cancelTurn();
        return;
      case 'unknown':
        this.#ports.remark(input.why);
        return;
      default:
        input satisfies never;
    }
  }

  inputEnded(): void {
    this.#inputEnded = true;
    this.#wake();
    for (const { line, reply } of this.#takeQuestions()) reply(this.#refusal(line)); // BR2
  }

  /** SIGINT: cancels the turn and ends. A second one does not wait. */
  interrupt(): void {
    const isSecond = this.#interrupted;
    this.#interrupted = true;
    if (isSecond || this.#turnIs === 'over') {
      if (isSecond) this.#hurry();
      this.#end({ exitCode: EXIT.cancelled, why: null });
      return;
    }
    this.#cancelTurn();
    const seconds = this.#ports.cancelMs / 1000;
    const why = `${this.#name} did not end its turn within ${seconds} s after session/cancel, and was ended.`;
    setTimeout(() => this.#end({ exitCode: EXIT.cancelled, why }), this.#ports.cancelMs).unref();
  }

  /** SIGTERM, SIGHUP, or stdout is gone. */
  terminate(): void {
    this.#hurry();
    this.#end({ exitCode: EXIT.terminated, why: null });
  }

  // ── the conversation ────────────────────────────────────────────────────────────────────────────

  async #converse(): Promise<Ending> {
    const opened = await this.#opening.open();
    if (typeof opened !== 'string') return opened;
    this.#sessionId = opened;
    this.#when = 'between two turns';
    if (this.#options.prompt !== null) this.#messages.unshift(textPrompt(this.#options.prompt));
    for (let isOfOptions = this.#options.prompt !== null; ; isOfOptions = false) {
      const next = await this.#next();
      if (!Array.isArray(next)) return next;
      const ending = await this.#turn(next, isOfOptions);
      if (ending) return ending;
    }
  }

  /** The next message, or the end (BR1). */
  async #next(): Promise<JsonObject[] | Ending> {
    for (;;) {
      const message = this.#messages.shift();
      if (message) return message;
      if (this.#inputEnded) {
        if (this.#last !== null) return { exitCode: this.#last, why: null };
        return { exitCode: EXIT.usage, why: 'no message came: give --prompt TEXT, or a line on stdin (holdfast run --open-stdin)' };
      }
      const more = new Promise<null>((woken) => {
        this.#wake = () => woken(null);
      });
      const ending = await Promise.race([this.#ended, more]);
      if (ending) return ending;
    }
  }

  /** Null: the conversation goes on. */
  async #turn(prompt: JsonObject[], isOfOptions: boolean): Promise<Ending | null> {
    const sessionId = this.#sessionId;
    // BR3
    this.#print({ method: 'session/prompt', params: { sessionId, ...(isOfOptions ? { prompt } : {}) } });
    this.#turnIs = 'running';
    this.#when = 'before its turn was over';
    const outcome = await this.#requests.request<{ stopReason?: unknown }>(
      methods.agent.session.prompt,
      { sessionId, prompt },
      null,
    );
    this.#turnIs = 'over';
    this.#when = 'between two turns';
    for (const { line, reply } of this.#takeQuestions()) reply(acpCancelled(line).result); // BR2
    if (outcome.kind === 'ended') return outcome.ending;
    if (outcome.kind === 'refused' && outcome.code === LOGIN_NEEDED) return this.#opening.needsLogin(outcome.message);
    if (this.#interrupted) return { exitCode: EXIT.cancelled, why: null };
    if (outcome.kind === 'refused' && outcome.code === null) this.#ports.remark(`${this.#name}: ${outcome.message}`);
    const reason = outcome.kind === 'reply' ? outcome.value.stopReason : null;
    this.#last = reason === 'end_turn' ? EXIT.ok : reason === 'cancelled' ? EXIT.cancelled : EXIT.turnFailed;
    return null;
  }

  #cancelTurn(): void {
    if (this.#turnIs === 'over') return;
    this.#turnIs = 'cancelled';
    this.#requests.notify(methods.agent.session.cancel, { sessionId: this.#sessionId });
    for (const { line, reply } of this.#takeQuestions()) reply(acpCancelled(line).result);
  }

  // ── requests of the agent ───────────────────────────────────────────────────────────────────────

  #app(): ClientApp {
    const { session, elicitation } = methods.client;
    // The question is read by those who read the log, so it passes as it is.
    const asIs = (params: unknown): JsonObject => (isObject(params) ? params : {});
    const app = client({ name: 'holdfast-acp' })
      .onRequest(session.requestPermission, asIs, (context) => this.#ask(context))
      .onRequest(elicitation.create, asIs, (context) => this.#ask(context));
    return this.#ports.services.register(app, { tell: (text) => this.#status(text), print: (line) => this.#print(line) });
  }

  #ask({
    method,
    requestId,
    params,
    signal,
  }: {
    method: string;
    requestId: unknown;
    params: JsonObject;
    signal: AbortSignal;
  }): Promise<unknown> {
    const line: JsonObject = { jsonrpc: '2.0', id: requestId, method, params };
    const key = JSON.stringify(requestId);
    return new Promise((reply, fail) => {
      const done = (result: unknown): void => {
        this.#questions.delete(key);
        this.#print({ id: requestId, result });
        reply(result);
      };
      // BR2
      if (this.#turnIs === 'cancelled') return done(acpCancelled(line).result);
      if (this.#inputEnded) return done(this.#refusal(line));
      this.#questions.set(key, { line, reply: done, fail });
      signal.addEventListener('abort', () => {
        if (this.#questions.delete(key)) fail(RequestError.requestCancelled());
      });
    });
  }

  /** An answer to a question. */
  #replied(line: JsonObject): void {
    const question = this.#questions.get(JSON.stringify(line.id));
    if (!question) {
      this.#ports.remark(`ignored a reply to ${JSON.stringify(line.id)} on stdin: the agent has no such open question`);
      return;
    }
    if (isObject(line.error)) {
      this.#questions.delete(JSON.stringify(line.id));
      question.fail(new RequestError(Number(line.error.code) || -32603, String(line.error.message ?? 'refused')));
    } else question.reply(line.result);
  }

  #refusal(line: JsonObject): unknown {
    this.#status('stdin has ended, so the question of the agent was refused');
    return acpRefusal(line).result;
  }

  #takeQuestions(): OpenQuestion[] {
    const open = [...this.#questions.values()];
    this.#questions.clear();
    return open;
  }

  // ── helpers ─────────────────────────────────────────────────────────────────────────────────────

  #print(line: JsonObject): void {
    this.#ports.print(JSON.stringify({ jsonrpc: '2.0', ...line }));
  }

  /** For the log: a remark of this program about the run. */
  #status(message: string): void {
    this.#ports.print(JSON.stringify({ holdfast: 'status', message: message.slice(0, REASON_CHARS_MAX) }));
  }
}
