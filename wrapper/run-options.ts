/**
 * The options of a run, and how `holdfast-wrapper run` reads them. Arguments override variables;
 * prefer a variable or file for a token.
 */

import { fstatSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { OUTPUT_FORMATS, OUTPUT_MODES, type OutputFormat, type OutputMode } from '../protocol/index.ts';
import type { StdinSource } from './job/child.ts';
import { decodeJobEnv, readPrivate } from './job/env.ts';
import { type JobUser, readJobUser } from './job/user.ts';
import { type Log, stderrLog } from './log.ts';
import { STOP_REASON_VARIABLE } from './run/stop-reason.ts';
import type { SpoolFiles } from './spool/files.ts';
import type { WrapperTimes } from './times.ts';
import { type Credential, fileCredential, fixedCredential } from './transport/credential.ts';
import { TRANSPORT_KINDS, type TransportKind } from './transport/transport-switch.ts';

export interface RunOptions {
  command: readonly string[];
  /** http(s) or ws(s) URL of the ingest path. */
  url: string;
  credential: Credential;
  transport?: TransportKind;
  /** Null: a new one (spool/home), removed at the end. */
  spoolDirectory: string | null;
  spoolLimitBytes?: number;
  format: OutputFormat;
  /** In addition to what the start asks for (`welcome.job`). */
  merge?: boolean;
  output?: OutputMode;
  cwd: string | null;
  /** As whom the job runs. Absent: as this process. */
  user?: JobUser | null;
  /** This process's own environment; the job gets it without the wrapper's variables. */
  env: NodeJS.ProcessEnv;
  /** For the job alone. */
  jobEnv?: Readonly<Record<string, string>>;
  /** Variables whose values are redacted in addition to the usual names. Null: redaction is off. */
  redact?: readonly string[] | null;
  stdin: StdinSource;
  tee: boolean;
  /** Event stream of an agent server that the job runs. */
  sse?: string | null;
  /** Only report what became of the job; never run it. */
  recoverOnly: boolean;
  /** Begins as if this process had received SIGTERM. */
  stopAtOnce?: boolean;
  log: Log;
  /** SIGTERM, SIGINT and SIGHUP of this process are passed to the job. */
  handleSignals: boolean;
  /** Where the sender of such a signal may have left the reason (stop-reason). */
  stopReasonFile?: string | undefined;
  times?: Partial<WrapperTimes>;
  /** Tests make the disk fail here. */
  spoolFiles?: SpoolFiles;
}

export const RUN_USAGE = `Usage: holdfast-wrapper run [options] -- command [argument…]

Runs the command, reports each line of it to a coordinator, and exits with its exit code
(128+n for signal n; 127 if it could not be started; 125 if the wrapper itself failed).

  --url URL               ingest URL of the execution                HOLDFAST_INGEST_URL
  --token T               its token; better given by variable        HOLDFAST_INGEST_TOKEN
  --token-file FILE       a file with it, read again when refused    HOLDFAST_INGEST_TOKEN_FILE
  --transport T           auto, websocket or http (auto: HTTP only   HOLDFAST_TRANSPORT
                          where WebSocket does not get through)
  --spool DIR             where events are kept until acknowledged   HOLDFAST_SPOOL
                          (a new folder in ~/.local/state/holdfast/spools)
  --spool-limit-bytes N   then the job has to wait (1 GiB)           HOLDFAST_SPOOL_LIMIT_BYTES
  --format F              jsonl: JSON lines of stdout become agent events, or progress and status;
                          claude, codex, opencode, acp, auto: so do those of this agent (text)
  --merge                 stdout and stderr in one pipe, in the order written; all of it is stdout
  --output text|bytes     bytes: output that is not UTF-8 is kept as it is; otherwise it is replaced
                          by U+FFFD (text)
  --sse URL               event stream of an agent server that the   HOLDFAST_SSE
                          job runs: its events become agent events
  --cwd DIR               working directory of the command
  --run-as USER           the command runs as this user, with the user's groups; needs Linux and root
  --stdin open|null       open: stays open for input (null)          HOLDFAST_STDIN
  --stdin-file FILE       what the command reads first               HOLDFAST_STDIN_FILE
  --redact NAME           replaces the value of this variable in the output too, not only of those that
                          are called …_TOKEN, …_SECRET, …_KEY or …PASSWORD; may be given several times
  --no-redact             the output is reported as it is, whatever it contains
  --tee                   also writes the output to this stdout and stderr, as it is
  --recover               never runs the command: takes over the job that an earlier wrapper left in
                          the spool, or reports what became of it
  --stop                  stops that job
  (no option)             variables for the job alone, as JSON       HOLDFAST_JOB_ENV
  --private-fd N          reads token and variables for the job from this open file, which a runner
                          gives: {"token":"…","env":{…}}
  --verbose               connection facts as JSON lines on stderr   HOLDFAST_LOG=debug
`;

export type RunReading = { kind: 'run'; options: RunOptions } | { kind: 'help' } | { kind: 'wrong'; message: string };

const wrong = (message: string): RunReading => ({ kind: 'wrong', message });

export function readRunOptions(argv: string[], env: NodeJS.ProcessEnv): RunReading {
  let values: Record<string, string | boolean | string[] | undefined>;
  let command: string[];
  try {
    ({ values, positionals: command } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        token: { type: 'string' },
        'token-file': { type: 'string' },
        transport: { type: 'string' },
        spool: { type: 'string' },
        'spool-limit-bytes': { type: 'string' },
        format: { type: 'string' },
        merge: { type: 'boolean' },
        output: { type: 'string' },
        sse: { type: 'string' },
        cwd: { type: 'string' },
        'run-as': { type: 'string' },
        'private-fd': { type: 'string' },
        stdin: { type: 'string' },
        'stdin-file': { type: 'string' },
        redact: { type: 'string', multiple: true },
        'no-redact': { type: 'boolean' },
        tee: { type: 'boolean' },
        recover: { type: 'boolean' },
        stop: { type: 'boolean' },
        verbose: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    return wrong((error as Error).message);
  }
  if (values.help) return { kind: 'help' };
  const text = (option: string, variable?: string): string | undefined =>
    (values[option] as string | undefined) ?? ((variable && env[variable]) || undefined);

  const url = text('url', 'HOLDFAST_INGEST_URL');
  if (!url) return wrong('--url or HOLDFAST_INGEST_URL is needed');
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !['http:', 'https:', 'ws:', 'wss:'].includes(parsed.protocol))
    return wrong('the ingest URL must be an absolute http(s) URL');
  if (command.length === 0 || command[0] === '') return wrong('the command is missing; it comes after --');

  const tokenFile = text('token-file', 'HOLDFAST_INGEST_TOKEN_FILE');
  const fd = values['private-fd'] as string | undefined;
  const given = fd === undefined ? null : readPrivate(fd);
  if (fd !== undefined && given === null) return wrong('--private-fd must be an open file with {"token":"…","env":{…}}');
  const token = given?.token ?? (values.token as string | undefined) ?? (tokenFile ? undefined : env.HOLDFAST_INGEST_TOKEN);
  if (!token && !tokenFile) return wrong('--token, --token-file or HOLDFAST_INGEST_TOKEN is needed');

  const transport = TRANSPORT_KINDS.find((kind) => kind === (text('transport', 'HOLDFAST_TRANSPORT') ?? 'auto'));
  if (!transport) return wrong(`--transport must be ${TRANSPORT_KINDS.join(', ')}`);

  const limit = text('spool-limit-bytes', 'HOLDFAST_SPOOL_LIMIT_BYTES');
  if (limit !== undefined && !(/^[1-9]\d*$/.test(limit) && Number.isSafeInteger(Number(limit)))) {
    return wrong('--spool-limit-bytes must be a number of bytes');
  }
  const format = OUTPUT_FORMATS.find((each) => each === (text('format') ?? 'text'));
  if (!format) return wrong(`--format must be one of ${OUTPUT_FORMATS.join(', ')}`);
  const output = OUTPUT_MODES.find((mode) => mode === (text('output') ?? 'text'));
  if (!output) return wrong('--output must be text or bytes');
  const sse = text('sse', 'HOLDFAST_SSE') ?? null;
  if (sse !== null && !(URL.canParse(sse) && ['http:', 'https:'].includes(new URL(sse).protocol))) {
    return wrong('--sse must be an absolute http(s) URL');
  }
  const stdinMode = text('stdin', 'HOLDFAST_STDIN') ?? 'null';
  if (stdinMode !== 'open' && stdinMode !== 'null') return wrong('--stdin must be open or null');

  const redact = (values.redact as string[] | undefined) ?? [];
  if (redact.length > 0 && values['no-redact']) return wrong('--redact and --no-redact exclude each other');

  const jobEnv = given?.env ?? decodeJobEnv(env);
  if (!jobEnv) return wrong('HOLDFAST_JOB_ENV must be a JSON object of strings');

  const runAs = text('run-as');
  const reading = runAs === undefined ? null : readJobUser(runAs);
  if (reading && !reading.ok) return wrong(reading.why);

  let credential: RunOptions['credential'];
  try {
    credential = token || !tokenFile ? fixedCredential(token ?? '') : fileCredential(tokenFile);
  } catch (error) {
    return wrong(`the token file cannot be read: ${(error as Error).message}`);
  }
  // However it was given, it is as secret as a variable of this environment, so it is redacted
  // (RD1). The job never gets it (CH4).
  const ownEnv = { ...env, HOLDFAST_OWN_TOKEN: credential.current() };
  const spool = text('spool', 'HOLDFAST_SPOOL');
  const cwd = text('cwd');
  return {
    kind: 'run',
    options: {
      command,
      url,
      credential,
      transport,
      spoolDirectory: spool === undefined ? null : resolve(spool),
      ...(limit === undefined ? {} : { spoolLimitBytes: Number(limit) }),
      format,
      merge: values.merge === true,
      output,
      cwd: cwd === undefined ? null : resolve(cwd),
      user: reading?.user ?? null,
      env: ownEnv,
      jobEnv,
      stdin: stdinSource(text('stdin-file', 'HOLDFAST_STDIN_FILE'), stdinMode === 'open'),
      sse,
      redact: values['no-redact'] ? null : redact,
      tee: values.tee === true,
      recoverOnly: values.recover === true,
      stopAtOnce: values.stop === true,
      log: stderrLog(values.verbose === true || env.HOLDFAST_LOG === 'debug', url),
      handleSignals: true,
      stopReasonFile: env[STOP_REASON_VARIABLE],
    },
  };
}

/**
 * A file that this process itself got as stdin (`< file`, or from a runner) is passed to the job:
 * it has an end. A terminal or pipe is not, because a job that reads it may hang forever by
 * accident.
 */
function stdinSource(file: string | undefined, open: boolean): StdinSource {
  if (file !== undefined) return { file: resolve(file), open };
  let inherited = false;
  try {
    inherited = fstatSync(0).isFile();
  } catch {
    // There is no stdin at all.
  }
  return { file: inherited ? 0 : null, open };
}
