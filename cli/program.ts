/** Commands and flags. Each action gives an exit code; nothing below this file ends the process. */

import { Command, CommanderError, Option } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import * as control from './commands/control.ts';
import { type LogsFlags, logs } from './commands/logs.ts';
import { type RunFlags, run } from './commands/run.ts';
import { type Context, createContext } from './context.ts';
import { EXIT } from './exit-code.ts';
import { explain } from './explain.ts';
import type { Io } from './io.ts';
import { type Flags, parseReference, readSettings, UsageError } from './settings.ts';

const GIVE_UP_AFTER = '10m';

const AFTER_HELP = `
Environment: HOLDFAST_URL, HOLDFAST_API_KEY, HOLDFAST_SESSION (default of --session), NO_COLOR.
An execution is named session/execution, or by its id with --session.

Exit codes of run and wait: the job's own; 128 + n when signal n ended it; 130 when it was interrupted;
125 when the coordinator failed or the job failed without an exit code. Of all commands: 2 for a mistake in the call.`;

export async function runCli(args: string[], io: Io): Promise<number> {
  let exitCode: number = EXIT.ok;
  let flags: Flags = {};
  let url = '';
  let reference: { session: string } | undefined;

  const program = new Command('holdfast')
    .description('Runs long jobs anywhere, and never loses a line of them.')
    .version(manifest.version, '-V, --version')
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

  /** Adds the flags of all commands, and turns an action into one that is given its context and gives an exit code. */
  const add = (name: string, aliases: string[], description: string): Command =>
    common(program.command(name).aliases(aliases).description(description)).exitOverride();
  const contextOf = (command: Command): Context => {
    const outer: Flags = program.opts();
    const own: Flags = command.opts();
    flags = { ...outer, ...own, color: outer.color !== false && own.color !== false };
    const settings = readSettings(flags, io.env);
    url = settings.url;
    return createContext(io, settings, flags);
  };
  /** For the next step that an error names. A reference that is none is told by the command itself. */
  const about = (id: string, own: { session?: string }): void => {
    reference = parseReference(id, own, io.env);
  };
  const collect = (value: string, before: string[] = []): string[] => [...before, value];

  add('run', [], 'start a job, show its output, end as it ends')
    .usage('[options] -- command...')
    .argument('<command...>', 'the job')
    .option('-s, --session <id>', 'session to run in; made up when left out (HOLDFAST_SESSION)')
    .option('--id <id>', 'execution id; the same id and request start nothing new')
    .option('-d, --detach', 'print session/execution and leave the job to itself')
    .option('--queue', 'wait behind an active run of the session instead of failing')
    .option('--cwd <dir>', 'working directory of the job')
    .option('-e, --env <KEY=VALUE>', "variable of the job; KEY alone takes this shell's (repeatable)", collect)
    .option('-l, --label <key=value>', 'label of the run (repeatable)', collect)
    .option('--open-stdin', "keep the job's stdin open for `holdfast send`; it is at its end otherwise")
    .option('--format <format>', 'what the job prints: text or jsonl')
    .option('--launcher <launcher>', 'who starts the job: none, runner or container')
    .option('--timeout <duration>', 'interrupt the job after this long, such as 30m')
    .option('--interrupt-on-exit', 'Ctrl-C, and any other way out, interrupts the job instead of detaching (for CI)')
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .passThroughOptions()
    .action(async (command: string[], own: RunFlags, self: Command) => {
      if (own.session) reference = { session: own.session };
      exitCode = await run(contextOf(self), command, own);
    });

  add('logs', [], 'show what a run printed')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('-f, --follow', 'go on until the run ends')
    .option('-n, --tail <lines>', 'only the last so many lines (events with --json)')
    .option('--after <offset>', 'only what came after this offset')
    .option('--types <a,b>', 'only events of these types')
    .option('-t, --timestamps', 'put the time before each line')
    .option('--give-up-after <duration>', 'exit 125 when the coordinator is away for so long', GIVE_UP_AFTER)
    .action(async (id: string, own: LogsFlags, self: Command) => {
      about(id, own);
      exitCode = await logs(contextOf(self), id, own);
    });

  add('list', ['ls', 'ps'], 'list the runs of a session, or the sessions with their newest run')
    .option('-s, --session <id>', 'session to list (HOLDFAST_SESSION)')
    .option('--status <status>', 'only runs with this status')
    .option('--limit <n>', 'at most so many')
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

  add('interrupt', ['cancel'], 'stop a run')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--force', 'kill the job at once')
    .option('--reason <text>', 'kept with the run')
    .action(async (id: string, own: control.InterruptFlags, self: Command) => {
      about(id, own);
      exitCode = await control.interrupt(contextOf(self), id, own);
    });

  add('fail', [], 'end a run as failed, without its word')
    .argument('<id>', 'session/execution')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .requiredOption('--code <code>', 'failure code, such as lost_host')
    .requiredOption('--message <text>', 'what happened')
    .action(async (id: string, own: control.FailFlags, self: Command) => {
      about(id, own);
      exitCode = await control.fail(contextOf(self), id, own);
    });

  add('send', [], "write to the job's stdin")
    .argument('<id>', 'session/execution')
    .argument('[text]', 'one line; - or nothing reads stdin')
    .option('-s, --session <id>', 'session of the execution (HOLDFAST_SESSION)')
    .option('--no-newline', 'send the text without a line end')
    .action(async (id: string, text: string | undefined, own: control.SendFlags, self: Command) => {
      about(id, own);
      exitCode = await control.send(contextOf(self), id, text, own);
    });

  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has written its message, or the help.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof UsageError) {
      await report(io, flags, { code: 'usage', message: error.message });
      return EXIT.usage;
    }
    await report(io, flags, explain(error, { url, ...(reference ? { reference } : {}) }));
    return EXIT.coordinator;
  }
}

async function report(io: Io, { json }: Flags, { code, message, hint, requestId }: ReturnType<typeof explain>): Promise<void> {
  if (json) {
    await io.stderr.write(`${JSON.stringify({ error: { code, message, hint, requestId } })}\n`);
    return;
  }
  await io.stderr.write(`holdfast: ${message}${requestId ? ` (${code}, request ${requestId})` : ''}\n`);
  if (hint) await io.stderr.write(`holdfast: ${hint}\n`);
}
