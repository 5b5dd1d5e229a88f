/**
 * Workers RPC: the operations of the HTTP API for another Worker, over a service binding with
 * `entrypoint = "Holdfast"`. The tenant comes from the binding's props, so a caller cannot name
 * another. Results are tagged unions; expected failures are not thrown.
 */

import { WorkerEntrypoint } from 'cloudflare:workers';
import type {
  AnswerRequest,
  Failure,
  HoldfastRpc,
  InputRequest,
  ServiceVersion,
  StartRequest,
  TerminalSize,
  TicketRequest,
} from '../protocol/index.ts';
import { isId, PROBLEMS, PROTOCOL_VERSION, type ProblemCode } from '../protocol/index.ts';
import { VERSION } from '../protocol/version.ts';
import { failure } from './contract/failure.ts';
import * as pools from './operations/pools.ts';
import * as service from './operations/service.ts';
import { readConfig } from './platform/config.ts';
import type { Env } from './platform/env.ts';
import { logLine } from './platform/log.ts';
import { checkRateLimit, type RateKind } from './platform/rate-limits.ts';

export interface HoldfastProps {
  tenant?: string;
}

export class Holdfast extends WorkerEntrypoint<Env, HoldfastProps> implements HoldfastRpc {
  async startExecution(session: string, request: StartRequest) {
    return this.#call({ method: 'startExecution', session }, (caller) => service.startExecution(caller, session, request));
  }
  async getExecution(session: string, execution: string, options: { waitSeconds?: number } = {}) {
    return this.#call({ method: 'getExecution', session }, (caller) => service.getExecution(caller, session, execution, options));
  }
  async listExecutions(session: string, query: { status?: string; limit?: number; cursor?: string } = {}) {
    return this.#call({ method: 'listExecutions', session }, (caller) => service.listExecutions(caller, session, query));
  }
  async interruptExecution(session: string, execution: string, options: { reason?: string; force?: boolean } = {}) {
    return this.#call({ method: 'interruptExecution', session }, (caller) =>
      service.interruptExecution(caller, session, execution, options),
    );
  }
  async failExecution(session: string, execution: string, failed: { code: string; message: string }) {
    return this.#call({ method: 'failExecution', session }, (caller) => service.failExecution(caller, session, execution, failed));
  }
  async sendInput(session: string, execution: string, input: string | InputRequest) {
    const request = typeof input === 'object' && input !== null ? input : { data: input };
    return this.#call({ method: 'sendInput', session }, (caller) => service.sendInput(caller, session, execution, request));
  }
  async answerQuestion(session: string, execution: string, answer: AnswerRequest) {
    return this.#call({ method: 'answerQuestion', session }, (caller) =>
      service.answerQuestion(caller, session, execution, answer),
    );
  }
  async resizeTerminal(session: string, execution: string, size: TerminalSize) {
    return this.#call({ method: 'resizeTerminal', session }, (caller) => service.resizeTerminal(caller, session, execution, size));
  }
  async readEvents(session: string, query: { after?: number; limit?: number; generation?: string } = {}) {
    return this.#call({ method: 'readEvents', session }, (caller) => service.readEvents(caller, session, query));
  }
  async createTicket(session: string, options: TicketRequest = {}) {
    return this.#call({ method: 'createTicket', session }, (caller) => service.createTicket(caller, session, options));
  }
  async getSession(session: string) {
    return this.#call({ method: 'getSession', session }, (caller) => service.getSession(caller, session));
  }
  async listSessions(query: { status?: string; limit?: number; cursor?: string } = {}) {
    return this.#call({ method: 'listSessions' }, (caller) => service.listSessions(caller, query));
  }
  async deleteSession(session: string) {
    return this.#call({ method: 'deleteSession', session }, (caller) => service.deleteSession(caller, session));
  }
  async listPools() {
    return this.#call({ method: 'listPools' }, (caller) => pools.listPools(caller));
  }
  async getPool(pool: string) {
    return this.#call({ method: 'getPool' }, (caller) => pools.getPool(caller, pool));
  }
  async drainRunner(pool: string, runner: string) {
    return this.#call({ method: 'drainRunner' }, (caller) => pools.drainRunner(caller, pool, runner));
  }
  async removeRunner(pool: string, runner: string) {
    return this.#call({ method: 'removeRunner' }, (caller) => pools.removeRunner(caller, pool, runner));
  }
  /** The deployed version. Needs no configuration, so that a caller can ask for it first. */
  async version(): Promise<ServiceVersion> {
    return { protocol: PROTOCOL_VERSION, version: VERSION };
  }

  async #call<T extends object>(
    { method, session }: { method: keyof typeof RATE_KINDS; session?: string },
    operation: (caller: service.Caller) => Promise<T>,
  ): Promise<T | Failure> {
    const configured = readConfig(this.env);
    if (!configured.ok) return failure('not_configured', configured.message);
    const tenant = this.ctx.props?.tenant;
    if (!isId(tenant)) return failure('unauthorized', 'The service binding has no props.tenant.');
    const limited = await checkRateLimit(this.env, RATE_KINDS[method], tenant);
    if (limited) return limited;
    const result = await operation({
      env: this.env,
      config: configured.config,
      tenant,
      author: { kind: 'rpc', id: tenant },
      origin: null,
    });
    const code = failedWith(result);
    // A failure that HTTP would answer with 5xx.
    if (code && PROBLEMS[code].status >= 500) {
      logLine('error', 'rpc_failed', { method, tenant, session: isId(session) ? session : undefined, code });
    }
    return result;
  }
}

/** The kind by which each method is counted, together with the tenant's requests over HTTP. */
const RATE_KINDS = {
  startExecution: 'change',
  getExecution: 'read',
  listExecutions: 'read',
  interruptExecution: 'change',
  failExecution: 'change',
  sendInput: 'input',
  answerQuestion: 'input',
  resizeTerminal: 'input',
  readEvents: 'read',
  createTicket: 'ticket',
  getSession: 'read',
  listSessions: 'read',
  deleteSession: 'change',
  listPools: 'read',
  getPool: 'read',
  drainRunner: 'change',
  removeRunner: 'change',
} as const satisfies Record<Exclude<keyof HoldfastRpc, 'version'>, RateKind>;

const failedWith = (result: object): ProblemCode | null => ('code' in result ? (result as Failure).code : null);
