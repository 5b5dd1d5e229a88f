/**
 * One run of one command, from its options to its exit code. Creates what the run needs, hands it
 * to the supervisor, and cleans up.
 *
 * Owns: the spool's directory when the options name no directory, and this process's signals, which
 * it passes to the supervisor. A run that cannot begin (too much to redact, a spool of another run)
 * says why and touches nothing.
 */

import { rmdirSync } from 'node:fs';
import { newBootId } from '../protocol/index.ts';
import { WRAPPER_FAILED } from './job/end.ts';
import { readRedaction, tooMuchToRedact } from './output/redaction.ts';
import { Supervisor } from './run/supervisor.ts';
import type { RunOptions } from './run-options.ts';
import { isMissing } from './spool/files.ts';
import { newSpoolFolder } from './spool/home.ts';
import { Sender } from './spool/sender.ts';
import { Spool } from './spool/spool.ts';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Node resets every signal to its default before this runs, so an ignored SIGHUP cannot be
 * detected. Shells set `_` to the program that they started: that is `nohup`, and stays so when
 * nohup executes this process.
 */
const startedByNohup = ({ _: started = '' }: NodeJS.ProcessEnv): boolean => /(^|\/)nohup$/.test(started);

/**
 * Runs the command to its reported end. Resolves with the exit code; throws when the spool
 * directory cannot be used at all.
 */
export async function run(options: RunOptions): Promise<number> {
  const { env, jobEnv = {}, redact = [], log } = options;
  /**
   * The start's `secretNames` are always redacted, whatever options this wrapper has: the author of
   * the start may not know its host.
   */
  const redactionOf = (names: readonly string[], more: NodeJS.ProcessEnv = {}) =>
    readRedaction([env, jobEnv, more], [...(redact ?? []), ...names], { usual: redact !== null });
  const secrets = redactionOf([]);
  if (secrets.kind === 'too_much') {
    // Running it anyway would leak some of them.
    log.problem(tooMuchToRedact(secrets.bytes));
    return WRAPPER_FAILED;
  }
  const directory = options.spoolDirectory ?? newSpoolFolder(env, Date.now());
  const opening = Spool.open({
    directory,
    execution: new URL(options.url).pathname,
    bootId: newBootId(),
    ...(options.spoolLimitBytes === undefined ? {} : { limitBytes: options.spoolLimitBytes }),
    ...(options.spoolFiles ? { files: options.spoolFiles } : {}),
  });
  switch (opening.kind) {
    case 'locked':
      log.problem(
        `the spool ${directory} is in use by ${opening.pid === null ? 'someone' : `process ${opening.pid}`}; give this one its own --spool`,
      );
      return WRAPPER_FAILED;
    case 'other_execution':
      log.problem(`the spool ${directory} belongs to another execution (${opening.execution}); give this one its own --spool`);
      return WRAPPER_FAILED;
    case 'opened':
      break;
    default:
      opening satisfies never;
      return WRAPPER_FAILED;
  }
  const { spool, recovered, crashed, damage } = opening;
  for (const what of damage) log.problem(`the spool ${directory} is damaged: ${what}`);
  const lostEvents = recovered.lost.reduce((sum, { firstSeq, lastSeq }) => sum + lastSeq - firstSeq + 1, 0);
  if (recovered.cutBytes > 0 || lostEvents > 0) log.fact('spool_repaired', { cutBytes: recovered.cutBytes, lostEvents });
  const sender = new Sender(
    recovered.chunks[0]?.firstSeq ?? recovered.nextSeq,
    undefined,
    options.times?.slowestUplinkBytesPerSecond,
  );
  for (const chunk of recovered.chunks) sender.appended(chunk);
  const undamaged = damage.length === 0 && lostEvents === 0;
  const supervisor = new Supervisor({ run: options, redactionOf, spool, sender, recovered, crashed, undamaged });
  const onSignal = (signal: NodeJS.Signals) => {
    if (signal !== 'SIGHUP' || !startedByNohup(env)) supervisor.signalled(signal);
  };
  if (options.handleSignals) for (const signal of SIGNALS) process.on(signal, onSignal);
  const exitCode = await supervisor.start();
  for (const signal of SIGNALS) process.off(signal, onSignal);
  if (options.spoolDirectory === null) {
    try {
      rmdirSync(directory);
    } catch (error) {
      if (!isMissing(error)) log.problem(`what was not delivered is kept in ${directory}`);
    }
  }
  return exitCode;
}
