/** What 0.12 calls a process, and what this example adds to it. */

export type ProcessStatus = 'starting' | 'running' | 'completed' | 'failed' | 'killed' | 'error';

export interface ProcessOptions {
  /** An id that this sandbox has not used. Default: a new one. */
  processId?: string;
  cwd?: string;
  /** In addition to that of the sandbox. Undefined values are skipped. */
  env?: Record<string, string | undefined>;
  /** The process is killed after this many milliseconds, from 1000 to 30 days. Default: 30 days. */
  timeout?: number;
  onStart?: (process: Process) => void;
  onOutput?: (stream: 'stdout' | 'stderr', data: string) => void;
  onExit?: (code: number | null) => void;
  onError?: (error: Error) => void;
}

export interface Process {
  readonly id: string;
  readonly command: string;
  readonly status: ProcessStatus;
  readonly startTime: Date;
  readonly endTime?: Date;
  readonly exitCode?: number;
  /** Not in 0.12: why it ended, if it did not exit by itself with 0. */
  readonly reason?: string;
  kill(signal?: string): Promise<void>;
  getStatus(): Promise<ProcessStatus>;
  getLogs(): Promise<{ stdout: string; stderr: string }>;
  waitForLog(pattern: string | RegExp, timeout?: number): Promise<{ line: string; match?: RegExpMatchArray }>;
  waitForExit(timeout?: number): Promise<{ exitCode: number }>;
}

export interface LogEvent {
  type: 'stdout' | 'stderr' | 'exit' | 'error';
  timestamp: string;
  data: string;
  processId: string;
  exitCode?: number;
}

export interface SandboxOptions {
  /** `pool`: several processes at once. `container`: one after the other, with files of their own. */
  launcher?: 'pool' | 'container';
  pool?: string;
  /** Labels of the runner. Name one machine here where processes share files. */
  requires?: Record<string, string>;
  cwd?: string;
  env?: Record<string, string | undefined>;
}

type ErrorCode = 'PROCESS_NOT_FOUND' | 'PROCESS_READY_TIMEOUT' | 'PROCESS_EXITED_BEFORE_READY' | 'PROCESS_ERROR';

/** With the codes of 0.12. A call that the coordinator refuses throws `HoldfastError`. */
export class ProcessError extends Error {
  override readonly name = 'ProcessError';
  readonly code: ErrorCode;
  readonly processId: string;
  readonly exitCode: number | undefined;

  constructor(code: ErrorCode, processId: string, message: string, exitCode?: number) {
    super(`process ${processId}: ${message}`);
    this.code = code;
    this.processId = processId;
    this.exitCode = exitCode;
  }
}
