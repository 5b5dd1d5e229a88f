/** From a started agent to an open session: initialize, login, session, mode and model. */

import { type ClientCapabilities, type InitializeResponse, methods, type NewSessionResponse } from '@agentclientprotocol/sdk';
import { VERSION } from '../protocol/version.ts';
import { type Ending, EXIT } from './exit-codes.ts';
import type { Options } from './options.ts';
import type { Late, Outcome, Requests } from './requests.ts';
import { loginText, noAnswerText, terminalCommand } from './texts.ts';
import type { Wire } from './wire.ts';

/** ACP's code for a missing login. */
export const LOGIN_NEEDED = -32000;
const PROTOCOL_VERSION = 1;

type Session = Pick<NewSessionResponse, 'modes' | 'configOptions'> & { sessionId: string };

export interface OpeningOptions {
  options: Options;
  /** The agent, in sentences. */
  name: string;
  requests: Requests;
  wire: Wire;
  capabilities: ClientCapabilities;
  /** For the log. */
  status: (text: string) => void;
}

export class Opening {
  readonly #at: OpeningOptions;
  #began: InitializeResponse | null = null;

  constructor(at: OpeningOptions) {
    this.#at = at;
  }

  /** The id of the session, or why there is none. */
  async open(): Promise<string | Ending> {
    const { auth, mode, model } = this.#at.options;
    const failure = (await this.#initialize()) ?? (auth === null ? null : await this.#login(auth));
    if (failure) return failure;
    const session = await this.#session();
    if ('exitCode' in session) return session;
    return (await this.#choose('mode', mode, session)) ?? (await this.#choose('model', model, session)) ?? session.sessionId;
  }

  needsLogin(why: string): Ending {
    const { name, options } = this.#at;
    return { exitCode: EXIT.noLogin, why: loginText(name, options.agent, this.#began?.authMethods ?? [], why) };
  }

  async #initialize(): Promise<Ending | null> {
    const { requests, capabilities, name, options, wire } = this.#at;
    const outcome = await requests.request<InitializeResponse>(
      methods.agent.initialize,
      {
        protocolVersion: PROTOCOL_VERSION,
        clientInfo: { name: 'holdfast-acp', title: 'Holdfast', version: VERSION },
        clientCapabilities: { ...capabilities, elicitation: { form: {} } },
      },
      { exitCode: EXIT.noAgent, why: () => noAnswerText(name, options.startTimeoutMs / 1000, wire.firstOther) },
    );
    if (outcome.kind === 'ended') return outcome.ending;
    if (outcome.kind === 'refused') return this.#fails(`refuses to begin: ${outcome.message}`);
    this.#began = outcome.value;
    const { protocolVersion } = outcome.value;
    if (protocolVersion === PROTOCOL_VERSION) return null;
    return this.#fails(`speaks version ${protocolVersion} of ACP; this program speaks version ${PROTOCOL_VERSION}`);
  }

  async #login(id: string): Promise<Ending | null> {
    const { name, options, requests } = this.#at;
    const known = this.#began?.authMethods ?? [];
    const method = known.find((each) => each.id === id);
    if (!method) {
      const ids = known.map((each) => each.id).join(', ') || 'none';
      return { exitCode: EXIT.usage, why: `${name} has no login method ${JSON.stringify(id)}; it has ${ids}` };
    }
    const terminal = terminalCommand(options.agent, method);
    if (terminal !== null)
      return { exitCode: EXIT.noLogin, why: `the login ${id} is made in a terminal, once on this machine: ${terminal}` };
    const late = this.#late(EXIT.noLogin, `log in with ${id}`);
    const outcome = await requests.request(methods.agent.authenticate, { methodId: id }, late);
    if (outcome.kind === 'ended') return outcome.ending;
    return outcome.kind === 'refused' ? this.needsLogin(outcome.message) : null;
  }

  /** `session/resume` opens a conversation as it is; `session/load` repeats all of it first. */
  async #session(): Promise<Session | Ending> {
    const { requests, wire, options, status } = this.#at;
    const { resume, cwd } = options;
    const place = { cwd, mcpServers: [] };
    const late = this.#late(EXIT.noAgent, 'open a session');
    const { session } = methods.agent;
    if (resume === null) return this.#opened(await requests.request<Session>(session.new, place, late));
    const { loadSession, sessionCapabilities } = this.#began?.agentCapabilities ?? {};
    const params = { sessionId: resume, ...place };
    if (sessionCapabilities?.resume) return this.#opened(await requests.request<Session>(session.resume, params, late));
    if (!loadSession) return this.#fails('cannot continue a conversation: it has neither session/resume nor session/load');
    wire.hideHistory();
    const outcome = await requests.request<Session>(session.load, params, late);
    const hidden = wire.showUpdates();
    if (hidden > 0) status(`The agent repeated the conversation so far in ${hidden} lines, which are left out`);
    return this.#opened(outcome);
  }

  #opened(outcome: Outcome<Session | null>): Session | Ending {
    if (outcome.kind === 'ended') return outcome.ending;
    const { resume } = this.#at.options;
    if (outcome.kind === 'refused') {
      if (outcome.code === LOGIN_NEEDED) return this.needsLogin(outcome.message);
      return this.#fails(`${resume === null ? 'opens no session' : `does not continue ${resume}`}: ${outcome.message}`);
    }
    // Only the reply to session/new has the id, and that to session/load may be null.
    const sessionId = resume ?? outcome.value?.sessionId;
    return sessionId === undefined ? this.#fails('opened a session without an id') : { ...outcome.value, sessionId };
  }

  /** Agents have modes, or settings of which one is the mode. Models are settings. */
  async #choose(what: 'mode' | 'model', wanted: string | null, session: Session): Promise<Ending | null> {
    if (wanted === null) return null;
    const { requests, name } = this.#at;
    const { sessionId, modes, configOptions } = session;
    const inModes = what === 'mode' ? (modes?.availableModes ?? []).map(({ id }) => id) : [];
    const setting = (configOptions ?? []).find((each) => each.type === 'select' && (each.category ?? each.id) === what);
    const groups = setting?.type === 'select' ? setting.options : [];
    const inSetting = groups.flatMap((each) => ('options' in each ? each.options : [each])).map(({ value }) => value);
    const known = [...new Set([...inModes, ...inSetting])];
    if (!known.includes(wanted)) {
      const has = known.length > 0 ? `it has ${known.join(', ')}` : `it offers none over ACP: set it in the agent's own command`;
      return { exitCode: EXIT.usage, why: `${name} has no ${what} ${JSON.stringify(wanted)}; ${has}` };
    }
    const late = this.#late(EXIT.noAgent, `set its ${what}`);
    const outcome = inModes.includes(wanted)
      ? await requests.request(methods.agent.session.setMode, { sessionId, modeId: wanted }, late)
      : await requests.request(methods.agent.session.setConfigOption, { sessionId, configId: setting?.id, value: wanted }, late);
    if (outcome.kind === 'ended') return outcome.ending;
    return outcome.kind === 'refused' ? this.#fails(`does not take the ${what} ${wanted}: ${outcome.message}`) : null;
  }

  #late(exitCode: number, what: string): Late {
    const { name, options } = this.#at;
    return {
      exitCode,
      why: () => `${name} did not ${what} within ${options.startTimeoutMs / 1000} s; --start-timeout gives it more time.`,
    };
  }

  #fails(how: string): Ending {
    return { exitCode: EXIT.noAgent, why: `${this.#at.name} ${how}.` };
  }
}
