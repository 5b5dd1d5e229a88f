#!/usr/bin/env node
/**
 * `holdfast`, the command line. Only wiring here:
 *
 *   program      commands and flags (commander)
 *   settings     where the coordinator is and who asks: flags over environment over a local stack that runs
 *   commands/    dev · run · logs · open · delete · control (list, get, wait, interrupt, fail, send)
 *   printer      events for people and for programs; lines: the last N of them; status-line: progress, written over and over
 *   terminal-text  other people's words, made harmless for a terminal
 *   exit-code    what an execution's end means to a shell
 *   explain      errors, each with the next step
 *   io           output with backpressure, broken pipes, signals; browser: opens one; web-socket: `ws` behind the client's port
 */

import { processIo } from './io.ts';
import { runCli } from './program.ts';

const io = processIo();
const code = await runCli(process.argv.slice(2), io);
await io.flush();
process.exit(code);
