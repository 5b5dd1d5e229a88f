/**
 * The process methods of Cloudflare Sandbox SDK 0.12 over Holdfast: a sandbox is a session, and a
 * process is an execution with the same id. docs/from-sandbox-sdk.md compares each method.
 *
 * SP2  The object has no state. Every call asks the coordinator, so any program may ask about a
 *      process that another one started.
 */

import { type Execution, type HoldfastClient, HoldfastError, isEvent, isTerminal, terminalStatusOf } from '@holdfast/client';
import { exitCodeOf, statusOf } from './ends.ts';
import { type LogEvent, type Process, ProcessError, type ProcessOptions, type SandboxOptions } from './types.ts';

/** The most that LIF20 allows. With logs of 256 MiB they fit into one session (LIF35). */
const MAX_ACTIVE = 16;
const POLICY = {
  maxLogBytes: 268_435_456,
  // Servers run until they are killed; a run of Holdfast has a limit.
  maxRuntimeMs: 2_592_000_000,
  // A kill is SIGINT, after a third of this SIGTERM, and after two thirds SIGKILL.
  interruptGraceMs: 15_000,
};

const isUnknown = (error: unknown): boolean =>
  error instanceof HoldfastError && (error.code === 'execution_not_found' || error.code === 'session_not_found');

export class SandboxProcesses {
  readonly #client: HoldfastClient;
  readonly #id: string;
  readonly #options: SandboxOptions;

  constructor(client: HoldfastClient, sandboxId: string, options: SandboxOptions = {}) {
    this.#client = client;
    this.#id = sandboxId;
    this.#options = options;
  }

  async startProcess(command: string, options: ProcessOptions = {}): Promise<Process> {
    if (command.trim() === '') throw new TypeError('the command is empty');
    const { launcher = 'pool', pool, requires, ...defaults } = this.#options;
    const cwd = options.cwd ?? defaults.cwd;
    const env = Object.entries({ ...defaults.env, ...options.env }).filter(
      (pair): pair is [string, string] => pair[1] !== undefined,
    );
    try {
      const { execution } = await this.#client.start(this.#id, {
        command: ['bash', '-c', command],
        launcher,
        onBusy: 'queue',
        env: Object.fromEntries(env),
        policy: { ...POLICY, ...(options.timeout !== undefined && { maxRuntimeMs: options.timeout }) },
        ...(launcher === 'pool' && { maxActive: MAX_ACTIVE, ...(pool && { pool }), ...(requires && { requires }) }),
        ...(options.processId !== undefined && { id: options.processId }),
        ...(cwd !== undefined && { cwd }),
      });
      const process = this.#processOf(execution);
      options.onStart?.(process);
      if (options.onOutput || options.onExit) void this.#report(process.id, options);
      return process;
    } catch (error) {
      if (error instanceof Error) options.onError?.(error);
      throw error;
    }
  }

  /** In the order of their starts, those of earlier days included. */
  async listProcesses(): Promise<Process[]> {
    return (await this.#executions()).map((execution) => this.#processOf(execution)).reverse();
  }

  async getProcess(id: string): Promise<Process | null> {
    try {
      return this.#processOf(await this.#client.get(this.#id, id));
    } catch (error) {
      if (isUnknown(error)) return null;
      throw error;
    }
  }

  /** Resolves when the process has ended. SIGKILL is sent at once; SIGINT and SIGTERM escalate. */
  async killProcess(id: string, signal = 'SIGTERM'): Promise<void> {
    if (!['SIGINT', 'SIGTERM', 'SIGKILL'].includes(signal)) throw new TypeError(`${signal}: use SIGINT, SIGTERM or SIGKILL`);
    await this.#known(id, this.#client.interrupt(this.#id, id, { reason: 'killProcess', force: signal === 'SIGKILL' }));
    await this.#known(id, this.#client.wait(this.#id, id));
  }

  /** Returns how many it ended. */
  async killAllProcesses(): Promise<number> {
    const killed: string[] = [];
    // Newest first: what waits for room must not begin when the others end.
    for (const { id, status } of await this.#executions()) {
      if (isTerminal(status)) continue;
      const { accepted, settled } = await this.#client.interrupt(this.#id, id, { reason: 'killAllProcesses' });
      if (accepted || settled) killed.push(id);
    }
    return (await Promise.all(killed.map((id) => this.#client.wait(this.#id, id)))).length;
  }

  async getProcessLogs(id: string): Promise<{ stdout: string; stderr: string; processId: string }> {
    const logs = { stdout: '', stderr: '', processId: id };
    for (let after = 0, more = true; more; ) {
      const page = await this.#known(id, this.#client.readEvents(this.#id, { execution: id, after, types: ['output'] }));
      for (const event of page.events) {
        if (isEvent(event, 'output')) logs[event.data.stream === 'stderr' ? 'stderr' : 'stdout'] += event.data.text;
      }
      after = page.next;
      more = !page.upToDate;
    }
    return logs;
  }

  /** The log from its beginning, then live, as server-sent events. Ends with `exit` or `error`. */
  async streamProcessLogs(id: string, options: { signal?: AbortSignal } = {}): Promise<ReadableStream<Uint8Array>> {
    await this.#known(id, this.#client.get(this.#id, id, options));
    const cancel = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, cancel.signal]) : cancel.signal;
    const events = this.#logEvents(id, { signal });
    const encoder = new TextEncoder();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await events.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(`data: ${JSON.stringify(value)}\n\n`));
      },
      // Not `events.return()`, which waits for the next event.
      cancel: () => cancel.abort(),
    });
  }

  /** The first line, from the beginning of the log, that has the pattern. */
  waitForLog(id: string, pattern: string | RegExp, timeout?: number): Promise<{ line: string; match?: RegExpMatchArray }> {
    // Without the flags that make an expression remember its last match.
    const regex = typeof pattern === 'string' ? null : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
    return this.#within(id, String(pattern), timeout, async (options) => {
      await this.#known(id, this.#client.get(this.#id, id, options));
      const open = { stdout: '', stderr: '' };
      for await (const { type, data, exitCode } of this.#logEvents(id, options)) {
        if (type === 'exit' || type === 'error')
          throw new ProcessError('PROCESS_EXITED_BEFORE_READY', id, `ended (${data}) before ${pattern} was in its log`, exitCode);
        const lines = (open[type] + data).split('\n');
        for (const line of lines) {
          const match = regex?.exec(line);
          if (match) return { line, match };
          if (typeof pattern === 'string' && line.includes(pattern)) return { line };
        }
        open[type] = lines.at(-1) ?? '';
      }
      throw new Error('aborted');
    });
  }

  waitForExit(id: string, timeout?: number): Promise<{ exitCode: number }> {
    return this.#within(id, 'its end', timeout, async (options) => {
      const execution = await this.#known(id, this.#client.wait(this.#id, id, options));
      const exitCode = exitCodeOf(execution);
      if (exitCode !== undefined) return { exitCode };
      const why = execution.error ?? execution.reason ?? execution.status;
      throw new ProcessError('PROCESS_ERROR', id, `ended without an exit code: ${why}`); // SP1
    });
  }

  /** Ends with the process, or early when the signal aborts. */
  async *#logEvents(id: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<LogEvent, void> {
    const types = ['output', 'execution_completed', 'execution_failed', 'execution_interrupted'];
    for await (const event of this.#client.execution(this.#id, id).events({ types, ...options })) {
      const base = { timestamp: new Date(event.at).toISOString(), processId: id };
      const status = terminalStatusOf(event.type);
      if (isEvent(event, 'output')) {
        yield { type: event.data.stream === 'stderr' ? 'stderr' : 'stdout', data: event.data.text, ...base };
      } else if (status) {
        const exitCode = exitCodeOf({ status, ...event.data });
        if (exitCode === undefined) yield { type: 'error', data: String(event.data.error ?? event.data.reason ?? status), ...base };
        else yield { type: 'exit', data: `${statusOf({ status, ...event.data })}, exit code ${exitCode}`, exitCode, ...base };
        return;
      }
    }
  }

  #processOf(execution: Execution): Process {
    const { id, command, createdAt, startedAt, endedAt } = execution;
    const exitCode = exitCodeOf(execution);
    const reason = execution.error ?? execution.reason;
    return {
      ...{ id, status: statusOf(execution), startTime: new Date(startedAt ?? createdAt) },
      command: command[0] === 'bash' && command[1] === '-c' ? (command[2] ?? '') : command.join(' '),
      ...(endedAt !== undefined && { endTime: new Date(endedAt) }),
      ...(exitCode !== undefined && { exitCode }),
      ...(reason !== undefined && { reason }),
      kill: (signal) => this.killProcess(id, signal),
      getStatus: async () => (await this.getProcess(id))?.status ?? 'error',
      getLogs: async () => {
        const { stdout, stderr } = await this.getProcessLogs(id);
        return { stdout, stderr };
      },
      waitForLog: (pattern, timeout) => this.waitForLog(id, pattern, timeout),
      waitForExit: (timeout) => this.waitForExit(id, timeout),
    };
  }

  /** All of them, newest first. */
  async #executions(): Promise<Execution[]> {
    const found: Execution[] = [];
    try {
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page = await this.#client.list(this.#id, { limit: 200, ...(cursor && { cursor }) });
        found.push(...page.data);
        cursor = page.next;
      }
    } catch (error) {
      if (!isUnknown(error)) throw error; // A sandbox without a process is not a session yet.
    }
    return found;
  }

  /** For the callbacks. Ends with the process, or with this program. */
  async #report(id: string, { onOutput, onExit, onError }: ProcessOptions): Promise<void> {
    try {
      for await (const { type, data, exitCode } of this.#logEvents(id)) {
        if (type === 'stdout' || type === 'stderr') onOutput?.(type, data);
        if (type === 'error') onError?.(new ProcessError('PROCESS_ERROR', id, data));
        if (type === 'error' || type === 'exit') onExit?.(exitCode ?? null);
      }
    } catch (error) {
      onError?.(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #known<T>(id: string, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (isUnknown(error)) throw new ProcessError('PROCESS_NOT_FOUND', id, `sandbox ${this.#id} has no such process`);
      throw error;
    }
  }

  async #within<T>(
    id: string,
    what: string,
    ms: number | undefined,
    work: (options: { signal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const signal = ms === undefined ? undefined : AbortSignal.timeout(ms);
    try {
      return await work(signal ? { signal } : {});
    } catch (error) {
      if (!signal?.aborted || error instanceof ProcessError) throw error;
      throw new ProcessError('PROCESS_READY_TIMEOUT', id, `waited ${ms} ms for ${what}; the process continues`);
    }
  }
}
