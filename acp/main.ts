#!/usr/bin/env node
/**
 * `holdfast-acp -- gemini --acp`: the job of an execution whose agent speaks the Agent Client
 * Protocol. It is the agent's client: stdout has the agent's lines, stdin takes messages and answers.
 *
 *   options        the arguments
 *   bridge         the conversation: turns, questions, the end
 *   opening        from a started agent to an open session
 *   requests       requests to the agent, with limits
 *   input          what a line of stdin means (pure)
 *   wire           the agent's lines and the protocol's library
 *   agent-process  the agent's process; lines: bytes to lines; process-group
 *   services       what is served for the agent
 *     files          files, inside the working directory
 *     terminals      commands
 *   texts          what went wrong, and the next step (pure); exit-codes
 */

import { realpathSync, statSync } from 'node:fs';
import { VERSION } from '../protocol/version.ts';
import { AgentProcess } from './agent-process.ts';
import { Bridge } from './bridge.ts';
import { EXIT } from './exit-codes.ts';
import { Files } from './files.ts';
import { LineSplitter } from './lines.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { Services } from './services.ts';
import { Terminals } from './terminals.ts';

/** Messages come through Holdfast, whose inputs are far smaller. */
const INPUT_LINE_BYTES_MAX = 16 * 1024 * 1024;
/** Before the SIGTERM with which Holdfast goes on after 10 s. */
const CANCEL_MS = 8000;

const LINE_END = Buffer.from('\n');

const remark = (text: string): void => void process.stderr.write(`holdfast-acp: ${text}\n`);

async function converse(options: Options): Promise<number> {
  let cwd: string;
  try {
    cwd = realpathSync(options.cwd);
    if (!statSync(cwd).isDirectory()) throw new Error('it is no directory');
  } catch (error) {
    remark(`--cwd ${options.cwd} cannot be used: ${(error as Error).message}`);
    return EXIT.usage;
  }
  const files = new Files(cwd);
  const services = new Services({
    files,
    terminals: new Terminals(),
    root: cwd,
    offers: { files: options.files, terminal: options.terminal },
  });
  const { stdout } = process;
  let agent: AgentProcess | null = null;
  const bridge = new Bridge(
    { ...options, cwd },
    {
      startAgent: (onLine) => {
        agent = new AgentProcess(options.agent, { cwd, onLine });
        return agent;
      },
      // A pipe takes what its reader has room for. Without the pause the rest would be in memory.
      print: (line) => {
        if (!stdout.write(typeof line === 'string' ? `${line}\n` : Buffer.concat([line, LINE_END]))) agent?.pause();
      },
      printed: () => new Promise((written) => stdout.write('', () => written())),
      remark,
      services,
      cancelMs: CANCEL_MS,
    },
  );
  process.on('SIGINT', () => bridge.interrupt());
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => bridge.terminate());
  stdout.on('drain', () => agent?.resume());
  stdout.on('error', () => bridge.terminate());
  readStdin(bridge);
  return bridge.run();
}

function readStdin(bridge: Bridge): void {
  const lines = new LineSplitter(INPUT_LINE_BYTES_MAX);
  const end = (): void => {
    const rest = lines.rest();
    if (rest.length > 0) bridge.input(rest.toString('utf8'));
    bridge.inputEnded();
  };
  process.stdin.on('data', (chunk: Buffer) => {
    const complete = lines.push(chunk);
    for (const line of complete ?? []) bridge.input(line.toString('utf8'));
    if (complete !== null) return;
    remark(`a line on stdin has more than ${INPUT_LINE_BYTES_MAX} bytes: nothing more is read`);
    process.stdin.destroy();
    lines.rest();
    bridge.inputEnded();
  });
  process.stdin.on('end', end);
  process.stdin.on('error', end);
}

async function main(): Promise<number> {
  const reading = readOptions(process.argv.slice(2), process.cwd());
  switch (reading.kind) {
    case 'help':
      process.stdout.write(USAGE);
      return EXIT.ok;
    case 'version':
      process.stdout.write(`${VERSION}\n`);
      return EXIT.ok;
    case 'wrong':
      process.stderr.write(`holdfast-acp: ${reading.message}\n\n${USAGE}`);
      return EXIT.usage;
    case 'options':
      return converse(reading.options);
    default:
      return reading satisfies never;
  }
}

process.exit(await main());
