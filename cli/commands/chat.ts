/**
 * `holdfast chat`: a conversation with an agent, message by message. A session is the conversation:
 * a message goes to the agent that runs, or begins another execution that continues the last one.
 *
 *   ../chat/console    where messages come from
 *   ../chat/chat-run   one execution: what it prints, whether a turn runs, what it asks
 *
 * Losing this process loses nothing: the turn goes on, and the next `holdfast chat` finds it.
 */

import { answerError, conversationCommand, formatOfCommand, messageOf, nextTurn } from '../../agent/index.ts';
import { HoldfastError } from '../../client/index.ts';
import {
  type AnswerRequest,
  type AskingData,
  choiceText,
  type Execution,
  isTerminal,
  type StartRequest,
  startTermsOf,
} from '../../protocol/index.ts';
import { ChatRun } from '../chat/chat-run.ts';
import { Console } from '../chat/console.ts';
import { type Context, printJson, printNote } from '../context.ts';
import { type Ending, EXIT, exitCodeOf } from '../exit-code.ts';
import { explain } from '../explain.ts';
import { checkId, formatReference, UsageError } from '../settings.ts';
import { StatusLine } from '../status-line.ts';
import { escapeControls } from '../terminal-text.ts';
import { type RunFlags, readRunFlags } from './run.ts';

export type ChatFlags = Pick<
  RunFlags,
  'cwd' | 'env' | 'secret' | 'label' | 'launcher' | 'pool' | 'requires' | 'timeout' | 'maxLog' | 'giveUpAfter'
> & { message?: string };

/** How far back the agent's own id is looked for. */
const TURNS_BACK_MAX = 8;

export async function chat(context: Context, session: string, command: string[], flags: ChatFlags): Promise<number> {
  checkId(session, 'session');
  if (flags.message !== undefined && flags.message.trim() === '') throw new UsageError('--message is empty');
  const given = command.length === 0 ? null : conversationCommand(command);
  if (given === null && command.length > 0) {
    throw new UsageError(
      `${command[0]} is no agent that is known: the command begins with claude, codex, opencode or holdfast-acp (behind at most four words)`,
    );
  }
  return new Chat(context, session, given, flags).run();
}

class Chat {
  readonly #context: Context;
  readonly #session: string;
  readonly #command: string[] | null;
  readonly #flags: ChatFlags;
  readonly #giveUpAfterMs: number;
  /** Of the start, without command and message. */
  readonly #request: StartRequest;
  readonly #console: Console;
  readonly #leaving = new AbortController();
  readonly #left: Promise<'left'>;
  #leave: () => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #run: ChatRun | null = null;
  #interrupts = 0;
  #exitCode: number = EXIT.ok;

  constructor(outer: Context, session: string, command: string[] | null, flags: ChatFlags) {
    // The foot of the terminal is the prompt.
    const context = { ...outer, status: new StatusLine(outer.io.stdout, outer.io.stderr, false) };
    this.#context = context;
    this.#session = session;
    this.#command = command;
    this.#flags = flags;
    const read = readRunFlags({ ...flags, session }, command ?? ['-'], context.io.env);
    this.#request = read.request;
    this.#giveUpAfterMs = read.giveUpAfterMs;
    this.#left = new Promise((left, failed) => {
      this.#fail = failed;
      this.#leave = () => left('left');
    });
    this.#console = new Console(context.io, {
      forPeople: !context.json,
      given: flags.message === undefined ? null : [flags.message],
      onInterrupt: () => void this.#onInterrupt(),
    });
  }

  async run(): Promise<number> {
    const unlisten = this.#context.io.onSignal(['SIGINT', 'SIGTERM'], (signal) => {
      if (signal === 'SIGINT') void this.#onInterrupt();
      else this.#leave();
    });
    try {
      const how = await Promise.race([this.#converse(), this.#left]);
      if (how === 'left') this.#exitCode = EXIT.interrupted;
      await this.#sayHowToComeBack(how);
      return this.#exitCode;
    } finally {
      unlisten();
      this.#leaving.abort();
      this.#console.close();
    }
  }

  async #converse(): Promise<'ended'> {
    await this.#begin();
    const first = this.#flags.message === undefined && this.#command ? messageOf(this.#command) : null;
    if (first !== null && !(await this.#take(first))) return 'ended';
    for (;;) {
      if (!this.#console.isInteractive && !(await this.#settle())) return 'ended';
      const line = await this.#console.next();
      if (line === null) break;
      if (line.trim() !== '' && !(await this.#take(line))) return 'ended';
    }
    // Leaving closes the console, and leaves the agent as it is.
    if (this.#leaving.signal.aborted) return 'ended';
    if (!this.#console.isInteractive) await this.#settle();
    // An agent that waits for messages would wait until its time limit.
    const run = this.#run;
    if (run?.takesMessages && !run.isBusy) {
      await run.endInput();
      await run.ended;
    }
    return 'ended';
  }

  /** Finds the last turn of the session, and follows it. */
  async #begin(): Promise<void> {
    const last = await this.#lastTurn();
    if (last === null) {
      if (this.#command === null)
        throw new UsageError(`session ${this.#session} has no run of an agent: holdfast chat ${this.#session} -- claude`);
      return;
    }
    const run = this.#follow(last, !this.#console.isInteractive);
    if (isTerminal(last.status)) await run.ended;
    else await printNote(this.#context, `${formatReference({ session: this.#session, execution: last.id })} is active`);
  }

  /** The newest execution whose command is that of an agent. */
  async #lastTurn(): Promise<Execution | null> {
    try {
      const { data } = await this.#context.client.list(this.#session, { limit: 200 });
      return data.find(({ format, command }) => format !== 'text' && formatOfCommand(command) !== null) ?? null;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'session_not_found') return null;
      throw error;
    }
  }

  #follow(execution: Execution, isSilentFirst: boolean): ChatRun {
    const run = new ChatRun(this.#context, execution, {
      console: this.#console,
      signal: this.#leaving.signal,
      giveUpAfterMs: this.#giveUpAfterMs,
      isSilentFirst,
      onFailure: this.#fail,
      onQuestions: async (question) => {
        if (question && !this.#context.json) await this.#note(answerHint(question));
      },
    });
    this.#run = run;
    this.#interrupts = 0;
    return run;
  }

  /** A line: an answer, or a message. False: the conversation cannot go on here. */
  async #take(line: string): Promise<boolean> {
    try {
      const question = this.#run?.question;
      if (question) return await this.#answer(question, line);
      await this.#say(line);
      return true;
    } catch (error) {
      // A person can try again.
      if (!this.#console.isInteractive) throw error;
      await this.#report(error);
      return true;
    }
  }

  async #say(message: string): Promise<void> {
    this.#interrupts = 0;
    const before = this.#run;
    if (before && !before.isEnded) {
      await before.running();
      if (before.takesMessages && (await sent(before, message))) return;
      if (!before.isEnded) await this.#note('sent when this turn is over');
      await before.ended;
    }
    await this.#start(before, message);
  }

  async #start(before: ChatRun | null, message: string): Promise<void> {
    const last = before?.execution ?? null;
    const command = this.#command ?? last?.command ?? [];
    const format = formatOfCommand(command);
    if (format === null) throw new UsageError('the command of the last run is not that of a known agent');
    const resumes = last !== null && formatOfCommand(last.command) === format;
    const resumeId = resumes && before ? await this.#resumeId(before) : null;
    if (resumes && resumeId === null) {
      const why = `${formatReference({ session: this.#session, execution: last.id })} ended before its agent had named the conversation`;
      if (this.#command === null) throw new UsageError(`${why}: give the command to begin another one`);
      await this.#note(`${why}; this is the beginning of another one`);
    }
    const turn = nextTurn(format, command, resumeId, message);
    if (turn === null) throw new UsageError(`there is no way to continue: ${command.join(' ')}`);
    const { cwd } = last ?? {};
    const terms = this.#command === null && last ? startTermsOf(last) : resumes && cwd !== undefined ? { cwd } : {};
    const request: StartRequest = {
      format,
      ...terms,
      ...this.#request,
      command: turn.command,
      openStdin: turn.openStdin,
      ...(resumeId !== null && last ? { continues: last.id } : {}),
    };
    delete request.id;
    const { execution } = await this.#context.client.start(this.#session, request);
    await this.#note(
      `${formatReference({ session: this.#session, execution: execution.id })} ${resumeId ? 'continues' : 'begins'}`,
    );
    const run = this.#follow(execution, false);
    run.isSpokenTo = true;
    if (turn.input === null) return run.begins(message);
    await run.running();
    if (!run.isEnded && (await sent(run, message, turn.input))) return;
    await this.#note('the agent did not get the message: its run ended before');
  }

  /** Of a turn that ended before the agent said it, the turn before knows it. */
  async #resumeId(run: ChatRun): Promise<string | null> {
    let found = run.resumeId;
    let at: Execution = run.execution;
    for (let back = 0; found === null && at.continues !== undefined && back < TURNS_BACK_MAX; back += 1) {
      at = await this.#context.client.get(this.#session, at.continues);
      const earlier = new ChatRun(this.#context, at, {
        console: this.#console,
        signal: this.#leaving.signal,
        giveUpAfterMs: this.#giveUpAfterMs,
        isSilentFirst: true,
        onFailure: this.#fail,
        onQuestions: async () => {},
      });
      await earlier.ended;
      found = earlier.resumeId;
    }
    return found;
  }

  async #answer(question: AskingData, line: string): Promise<boolean> {
    const choice = choiceOf(question, line);
    const wrong = answerError(question as Parameters<typeof answerError>[0], choice);
    if (wrong !== null) {
      if (!this.#console.isInteractive) throw new UsageError(`${JSON.stringify(line)} answers nothing: ${wrong}`);
      await this.#note(`${wrong}\n${answerHint(question)}`);
      return true;
    }
    const { session, id } = (this.#run as ChatRun).execution;
    await this.#context.client.answer(session, id, { id: question.id, ...choice });
    this.#run?.answered(question.id);
    await this.#note(`answered: ${choiceText(choice, question.options)}`);
    return true;
  }

  /** Waits for the end of the turn. False: it failed, and no other message is sent. */
  async #settle(): Promise<boolean> {
    const run = this.#run;
    if (run === null) return true;
    await run.settled();
    if (run.question || !run.isSpokenTo) return true;
    const { turnEnd } = run;
    const ending = run.exit && ({ ...run.exit.data, status: run.exit.type.slice('execution_'.length) } as unknown as Ending);
    if (turnEnd === null && ending === null) return true;
    this.#exitCode = turnEnd?.state === 'done' ? EXIT.ok : (ending && exitCodeOf(ending)) || EXIT.refused;
    if (this.#context.json && run.takeReported()) {
      const { session, id } = run.execution;
      await printJson(this.#context, {
        reference: formatReference({ session, execution: id }),
        state: turnEnd?.state ?? 'unknown',
        text: run.said,
        resumeId: run.resumeId,
        exitCode: this.#exitCode,
      });
    }
    return this.#exitCode === EXIT.ok;
  }

  /** The first one interrupts the turn, the second leaves. */
  async #onInterrupt(): Promise<void> {
    const run = this.#run;
    this.#interrupts += 1;
    if (this.#interrupts > 1 || run === null || run.isEnded || !run.isBusy) return this.#leave();
    await this.#note('interrupting the turn; Ctrl-C again leaves');
    try {
      await run.interrupt();
    } catch (error) {
      await this.#report(error);
    }
  }

  async #sayHowToComeBack(how: 'ended' | 'left'): Promise<void> {
    const run = this.#run;
    if (run === null) return;
    if (!run.isEnded && run.isBusy) await this.#note('the turn goes on');
    if (this.#console.isInteractive || how === 'left') await this.#note(`come back with: holdfast chat ${this.#session}`);
  }

  async #report(error: unknown): Promise<void> {
    const { message, hint } = explain(error, { url: this.#context.settings.url, reference: { session: this.#session } });
    await this.#console.around(() => this.#context.io.stderr.write(`holdfast: ${escapeControls(message)}\n`));
    if (hint) await this.#note(hint);
  }

  async #note(text: string): Promise<void> {
    await this.#console.around(async () => {
      for (const line of text.split('\n')) await printNote(this.#context, line);
    });
  }
}

/** False: it takes no message any more. */
async function sent(run: ChatRun, message: string, input?: string): Promise<boolean> {
  try {
    await run.send(message, input);
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && ['not_running', 'stdin_closed'].includes(error.code)) return false;
    throw error;
  }
}

/** `1 Allow, 2 Deny`: numbers stand for the options in their order. */
export function answerHint({ options, multiple, freeText }: AskingData): string {
  const numbered = options.map(({ label }, i) => `${i + 1} ${label}`).join(', ');
  const several = multiple ? '; several with commas, such as 1,2' : '';
  const text = numbered === '' ? 'a text' : '; or a text';
  return `answer: ${numbered}${several}${freeText ? text : ''}`;
}

/** Numbers, ids or labels of options; anything else is a text, where the question takes one. */
export function choiceOf({ options, multiple, freeText }: AskingData, line: string): Omit<AnswerRequest, 'id'> {
  const optionOf = (word: string): string | null => {
    const number = /^\d{1,3}$/.test(word) ? options[Number(word) - 1] : undefined;
    const named = options.filter(({ id, label }) => id === word || label.toLowerCase() === word.toLowerCase());
    return number?.id ?? (named.length === 1 ? (named[0]?.id ?? null) : null);
  };
  const text = line.trim();
  const one = optionOf(text);
  if (one !== null) return { option: one };
  const several = multiple ? text.split(/[\s,]+/).map(optionOf) : [];
  if (several.length > 1 && several.every((id) => id !== null)) return { options: [...new Set(several)] };
  // A number that is none of them is a slip of the finger, and no text for the agent.
  const isNumber = options.length > 0 && /^\d{1,3}$/.test(text);
  return freeText && !isNumber ? { text: line } : { option: text };
}
