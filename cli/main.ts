#!/usr/bin/env node
/**
 * `holdfast`, the command line. Only wiring here:
 *
 *   program        commands and flags (commander)
 *   settings       the coordinator's URL and the credential: flags, then environment, then a
 *                  running local stack
 *   commands/      dev · run · attach · logs · open · delete
 *                  control (list, get, wait, interrupt, fail, send)
 *   follow, stop   follow a run to its end; signals meanwhile
 *   terminal/      a job's terminal in the own one: view, keys, sizes, what does not pass
 *   printer        events for people and for programs; lines: the last N of them
 *   status-line    progress
 *   terminal-text  untrusted text, made safe for a terminal
 *   exit-code      the exit code for an execution's end
 *   explain        errors, each with the next step
 *   io             output with backpressure, broken pipes, signals; browser: opens one;
 *                  web-socket: `ws` for the client's port
 */

import { processIo } from './io.ts';
import { runCli } from './program.ts';

const io = processIo();
const code = await runCli(process.argv.slice(2), io);
await io.flush();
process.exit(code);
