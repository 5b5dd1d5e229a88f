/**
 * Commands and flags. Each action returns an exit code; only this file's caller ends the process.
 */

import { Command, CommanderError, Option } from 'commander';
import { VERSION } from '../protocol/version.ts';
import { type AnswerFlags, answer } from './commands/answer.ts';
import { type AttachFlags, attach } from './commands/attach.ts';
import { type ChatFlags, chat } from './commands/chat.ts';
import * as control from './commands/control.ts';
import { type DeleteFlags, deleteCommand } from './commands/delete.ts';
import { type DevFlags, dev } from './commands/dev.ts';
import { type LogsFlags, logs } from './commands/logs.ts';
import { type OpenFlags, open } from './commands/open.ts';
import { type RunFlags, run } from './commands/run.ts';
import { type RunnersFlags, runners } from './commands/runners.ts';
import { type Context, createContext } from './context.ts';
import { EXIT } from './exit-code.ts';
import { explain } from './explain.ts';
import type { Io } from './io.ts';
import { type Flags, parseReference, readSettings, UsageError } from './settings.ts';
import { DETACH_KEYS_DEFAULT } from './terminal/detach-keys.ts';
import { escapeControls } from './terminal-text.ts';

const GIVE_UP_AFTER = '10m';

const AFTER_HELP = `
Begin with:
  holdfast dev
  holdfast run -- sh -c 'echo hello; sleep 5; echo done'
  holdfast run -t -- bash
  holdfast list
  holdfast logs -f SESSION/EXECUTION

A run is an execution in a session. It is named SESSION/EXECUTION, as \`run\` and \`list\` print it, or by its id with --session.
Flags go before the environment: HOLDFAST_URL (the coordinator), HOLDFAST_API_KEY, HOLDFAST_SESSION (default of --session), NO_COLOR.
Without URL and key, the local stack of \`holdfast dev\` is used while it runs.
Data is on stdout, all else on stderr.

Exit codes
  run, wait   the job's own (attach too); 128 + n when signal n ended it; 130 when it was interrupted; 124 when it ran longer than its limit;
              125 when it failed without a code
  run         130 after Ctrl-C and 143 after SIGTERM, which detach; 141 when the reader of its output left
  all         0 done; 2 a mistake in the call, nothing was done; 125 the coordinator refused, failed or could not be reached
  dev         0 when it was stopped; 1 when it could not start, or its coordinator or runner ended
  delete      1 when the answer was no`;

export async function runCli(args: string[], io: Io): Promise<number> {
  let exitCode: number = EXIT.ok;
  let flags: Flags = {};
  let url = '';
  let reference: { session: string } | undefined;
  let context: Context | undefined;

  const program = new Command('holdfast')
    .description(
      'Runs long jobs anywhere, and never loses a line of them. Close the terminal: the job continues, and can be followed again.',
    )
    .version(VERSION, '-V, --version')
    .enablePositionalOptions()
    .showHelpAfterError('(see: holdfast help)')
    .addHelpText('after', AFTER_HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    });

  const common = (command: Command): Command =>
    command
      .addOption(new Option('--url <url>', 'the coordinator (HOLDFAST_URL)'))
      .addOption(new Option('--api-key <key>', 'API key (HOLDFAST_API_KEY)'))
      .option('--json', 'data for programs, on stdout')
      .option('-q, --quiet', 'no remarks on stderr, only errors')
      .option('--no-color', 'no colours (also NO_COLOR)');
  common(program);

  /**
   * Adds the flags of all commands, and wraps an action so that it gets its context and returns an
   * exit code.
   */
  const add = (name: string, aliases: string[], description: string): Command =>
    common(program.command(name).aliases(aliases).description(description))
      .showHelpAfterError(`(see: holdfast help ${name})`)
      .exitOverride();
  const contextOf = (command: Command): Context => {
    const outer: Flags = program.opts();
    const own: Flags = command.opts();
    flags = { ...outer, ...own, color: outer.color !== false && own.color !== false };
    const settings = readSettings(flags, io.env);
    url = settings.url;
    context = createContext(io, settings, flags);
    return context;
  };
  /** For the next step that an error names. The command itself reports an invalid reference. */
  const about = (id: string, own: { session?: string }): void => {
    reference = parseReference(id, own, io.env);
  };
  const collect = (value: string, before: string[] = []): string[] => [...before, value];

  add('dev', [], 'start a coordinator with its dashboard, and a runner, on this machine, until Ctrl-C')
    .option('--port <n>', "the coordinator's port (8787; 0 picks a free one)")
    .option('--runner-port <n>', "the port of the runner's status (8788; 0 picks a free one)")
    .option('--data <dir>', 'keys, logs, sessions (~/.local/state/holdfast/dev); the same folder continues where it was')
    .action(async (own: DevFlags, self: Command) => {
      flags = { ...program.opts(), ...self.opts() };
      exitCode = await dev(io, { ...own, ...flags });
    });

  add('run', [], 'start a job, show its output, end as it ends')
    .usage('[options] -- command...')
    .argument('<command...>', 'the job')
    .option('-s, --session <id>', 'session to run in; made up when left out (HOLDFAST_SESSION)')
    .option('--id <id>', 'execution id; the same id and request start nothing new')
    .option('-d, --detach', 'print session/execution and leave the job to itself')
    .option('--queue', 'wait behind an active run of the session instead of failing')
    .option('--max-active <n>', 'begin while fewer than this number of runs of the session are active (default 1)')
    .option('--continues <execution>', 'the run of the session that this one continues, as the next turn of a conversation')
    .option(
      '--cwd <dir>',
      "working directory of the job, on its host; its runner's when left out, and a relative one counts from there",
    )
    .option('-e, --env <KEY=VALUE>', "variable of the job; KEY alone takes this shell's (repeatable)", collect)
    .option('--secret <NAME>', 'redact the value of this variable in what the job prints (repeatable)', collect)
    .option('-l, --label <key=value>', 'label of the run, kept with it and shown by `holdfast get` (repeatable)', collect)
    .option('--open-stdin', "keep the job's stdin open for `holdfast send`, also after the end of a piped stdin")
    .option('-n, --no-stdin', "do not send this command's stdin to the job, as for a loop that reads it itself")
    .option('-t, --terminal', 'run the job in a terminal of the size of this one, as an editor or a shell needs it')
    .option('--detach-keys <keys>', 'with --terminal: keys that detach, such as ctrl-p,ctrl-q; or none (default: ctrl-\\)')
    .option('--format <format>', 'what the job prints: text (default), jsonl, or an agent: claude, codex, opencode, acp, auto')
    .option('--raw', 'show the JSON lines of an agent as they are, not its conversation')
    .option('--merge', 'stdout and stderr in one pipe, in the order written; all of it is stdout')
    .option('--bytes', 'keep output that is not UTF-8 byte for byte; otherwise it is replaced by U+FFFD')
    .option('--launcher <launcher>', "who starts the job: pool, container, or none (you do); default: the deployment's own")
    .option('--pool <pool>', 'give it to a runner of this pool (with the launcher pool: default)')
    .option('--requires <key=value>', 'only to a runner with this label, such as gpu=a100 (repeatable)', collect)
    .option('--priority <n>', 'from -10 to 10; a higher one is taken first (0)')
    .option('--concurrency <key=limit>', 'at most so many runs with this key in the pool at the same time, such as deploy=1')
    .option('--wait <duration>', 'fail when no runner has taken it for this long, such as 1h (24h)')
    .option('--timeout <duration>', 'interrupt the job after this long, such as 30m (6h when left out); the exit code is then 124')
    .option(
      '--grace <duration>',
      'fail when the job has no connection for this long, such as 1h (default 5m); what it prints arrives late then',
    )
    .option('--max-log <size>', 'keep at most this much of its output, such as 500M (default 2G); the job continues')
    .option('--interrupt-on-exit', 'Ctrl-C, and any other way out, interrupts the job instead of detaching (for CI)')
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .passThroughOptions()
    .action(async (command: string[], own: RunFlags, self: Command) => {
      if (own.session) reference = { session: own.session };
      const made = contextOf(self);
      exitCode = await run(made, command, { ...own, json: made.json });
    });

  add('attach', [], 'show the terminal of a run, and type into it; detach with Ctrl-\\')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--read-only', 'only watch: send neither keys nor the size of this terminal')
    .option('--detach-keys <keys>', 'keys that detach, such as ctrl-p,ctrl-q; or none', DETACH_KEYS_DEFAULT)
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .action(async (id: string, own: AttachFlags, self: Command) => {
      about(id, own);
      exitCode = await attach(contextOf(self), id, own);
    });

  add('logs', [], 'show what a run printed')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('-f, --follow', 'go on until the run ends, through cuts of the connection; Ctrl-C leaves the job alone')
    .option('-n, --tail <lines>', 'only the last so many lines (events with --json)')
    .option('--after <offset>', 'only what came after this place in the log: `offset` of an event of --json')
    .option('--types <a,b>', 'only events of these types, such as output,agent,progress')
    .option('-t, --timestamps', 'put the time before each line')
    .option('--raw', 'the JSON lines of an agent as they are, not its conversation')
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .action(async (id: string, own: LogsFlags, self: Command) => {
      about(id, own);
      exitCode = await logs(contextOf(self), id, own);
    });

  add('list', ['ls', 'ps'], 'list the runs of a session, or the sessions with their newest run')
    .option('-s, --session <id>', 'session to list (HOLDFAST_SESSION)')
    .option('--status <status>', 'only with this status: queued, pending, running, completed, failed or interrupted')
    .option('--limit <n>', 'at most so many, 50 when left out')
    .option('--cursor <cursor>', 'go on where a list stopped')
    .action(async (own: control.ListFlags, self: Command) => {
      exitCode = await control.list(contextOf(self), own);
    });

  add('get', ['inspect'], 'show one run')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .action(async (id: string, own: control.ReferenceFlags, self: Command) => {
      about(id, own);
      exitCode = await control.get(contextOf(self), id, own);
    });

  add('wait', [], 'wait for a run to end, and exit as it did')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .action(async (id: string, own: control.WaitFlags, self: Command) => {
      about(id, own);
      exitCode = await control.wait(contextOf(self), id, own);
    });

  add('interrupt', ['cancel'], 'stop a run: SIGINT first, then stronger')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--force', 'kill the job at once, without a chance to clean up')
    .option('--reason <text>', 'why; it is kept with the run')
    .action(async (id: string, own: control.InterruptFlags, self: Command) => {
      about(id, own);
      exitCode = await control.interrupt(contextOf(self), id, own);
    });

  add('fail', [], 'declare a run failed whose job cannot report any more, because its host is lost')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .requiredOption('--code <code>', 'failure code, such as lost_host')
    .requiredOption('--message <text>', 'what happened')
    .action(async (id: string, own: control.FailFlags, self: Command) => {
      about(id, own);
      exitCode = await control.fail(contextOf(self), id, own);
    });

  add('send', [], 'write to the stdin of a job that was started with --open-stdin, or end it')
    .argument('<id>', 'session/execution')
    .argument('[text]', 'one line; - or nothing sends all of stdin')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--no-newline', 'send the text without a line end')
    .option('--eof', "end the job's stdin afterwards; without a text, only end it")
    .option('--secret', 'keep the text out of the log')
    .action(async (id: string, text: string | undefined, own: control.SendFlags, self: Command) => {
      about(id, own);
      exitCode = await control.send(contextOf(self), id, text, own);
    });

  add('answer', [], 'answer what the agent of a run asks')
    .argument('<id>', 'session/execution')
    .argument('[options...]', 'the id or the label of an option; several where the question allows it')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--id <question>', 'the question, as `logs` and `get` name it; the oldest open one when left out')
    .option('--text <text>', 'a text in the place of an option, where the question allows it')
    .action(async (id: string, options: string[], own: AnswerFlags, self: Command) => {
      about(id, own);
      exitCode = await answer(contextOf(self), id, options, own);
    });

  add('chat', [], 'talk with an agent; a session is the conversation')
    .usage('[options] <session> [-- agent...]')
    .argument('<session>', 'the session: each turn is an input to its running agent, or a run that continues the last one')
    .argument('[agent...]', 'claude, codex, opencode or holdfast-acp with its options; left out: as the last run')
    .option('-m, --message <text>', 'send this message, print the turn, and end; without it messages are typed, or lines of stdin')
    .option('--cwd <dir>', 'working directory of the agent, on its host')
    .option('-e, --env <KEY=VALUE>', "variable of the agent; KEY alone takes this shell's (repeatable)", collect)
    .option('--secret <NAME>', 'redact the value of this variable in what the agent prints (repeatable)', collect)
    .option('-l, --label <key=value>', 'label of each run (repeatable)', collect)
    .option('--launcher <launcher>', "who starts the agent: pool, container or none; default: the deployment's own")
    .option('--pool <pool>', 'give it to a runner of this pool')
    .option('--requires <key=value>', 'only to a runner with this label (repeatable)', collect)
    .option('--timeout <duration>', 'interrupt a run after this long (6h)')
    .option('--max-log <size>', 'keep at most this much output of a run (2G)')
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .action(async (session: string, agent: string[], own: ChatFlags, self: Command) => {
      reference = { session };
      exitCode = await chat(contextOf(self), session, agent, own);
    });

  add('open', [], 'open the page of a run in the browser, or print a link to share it')
    .argument('[id]', 'session/execution; left out: the page of --session, or of the deployment')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--print', 'only print the address, which is what happens anyway when stdout is no terminal')
    .option('--share', 'print a link with which anyone can read this one run, without a key, for a while')
    .option('--ttl <duration>', 'how long that link works, up to 1h (default: 15m)')
    .action(async (id: string | undefined, own: OpenFlags, self: Command) => {
      if (id !== undefined) about(id, own);
      exitCode = await open(contextOf(self), id, own);
    });

  add('runners', [], 'list the runners of your pools, drain or remove one, or make a key with which a machine joins')
    .usage('[list] | drain RUNNER | remove RUNNER | key [list] | key create | key revoke KEY')
    .argument('[words...]', 'list (the default), drain, remove or key')
    .option('--pool <pool>', 'the pool; list shows all when left out, the others take default')
    .option('--name <name>', 'with key create: what the key is for')
    .option('--expires <duration>', 'with key create: how long the key is valid, such as 30d; for ever when left out')
    .action(async (words: string[], own: RunnersFlags, self: Command) => {
      exitCode = await runners(contextOf(self), words, own);
    });

  add('delete', [], 'delete a session with all its runs and their logs, for good')
    .argument('<session>', 'the session')
    .option('-y, --yes', 'do not ask')
    .action(async (id: string, own: DeleteFlags, self: Command) => {
      reference = { session: id };
      exitCode = await deleteCommand(contextOf(self), id, own);
    });

  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has already written its message, or the help.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof UsageError) {
      await report(io, flags, { code: 'usage', message: error.message });
      return EXIT.usage;
    }
    await report(io, flags, explain(error, { url, ...(reference ? { reference } : {}) }));
    return EXIT.coordinator;
  } finally {
    context?.status.end();
  }
}

async function report(io: Io, { json }: Flags, { code, message, hint, requestId }: ReturnType<typeof explain>): Promise<void> {
  if (json) {
    await io.stderr.write(`${JSON.stringify({ error: { code, message, hint, requestId } })}\n`);
    return;
  }
  await io.stderr.write(
    `holdfast: ${escapeControls(message)}${requestId ? escapeControls(` (${code}, request ${requestId})`) : ''}\n`,
  );
  if (hint) await io.stderr.write(`holdfast: ${escapeControls(hint)}\n`);
}
