/** The requests of an agent that its client serves: files and terminals. */

import { type ClientApp, type ClientCapabilities, methods, RequestError } from '@agentclientprotocol/sdk';
import type { JsonObject } from '../protocol/json.ts';
import { FileRefusal, type Files } from './files.ts';
import { TERMINALS_MAX, type Terminal, type Terminals } from './terminals.ts';

export interface ServiceOptions {
  files: Files;
  terminals: Terminals;
  /** The working directory. */
  root: string;
  offers: { files: boolean; terminal: boolean };
}

export interface Reports {
  /** For people: what was refused because it is outside of the working directory. */
  tell(text: string): void;
  /** A line of the protocol, for those who read the log. */
  print(line: JsonObject): void;
}

/**
 * The method of the line with the output of a terminal. No agent prints that output, because it asks
 * this program for it.
 */
export const TERMINAL_ENDED = '_holdfast/terminal';
/** Of the output in that line: it is one event of the log. */
const PRINTED_BYTES_MAX = 128 * 1024;

export class Services {
  readonly #options: ServiceOptions;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  get capabilities(): ClientCapabilities {
    const { files, terminal } = this.#options.offers;
    return { fs: { readTextFile: files, writeTextFile: files }, terminal };
  }

  /** A method that is not offered is unknown. */
  register(app: ClientApp, reports: Reports): ClientApp {
    const { offers } = this.#options;
    if (offers.files) this.#registerFiles(app, reports);
    if (offers.terminal) this.#registerTerminals(app, reports);
    return app;
  }

  close(): Promise<void> {
    return this.#options.terminals.close();
  }

  #registerFiles(app: ClientApp, reports: Reports): void {
    const { files } = this.#options;
    app
      .onRequest(methods.client.fs.readTextFile, async ({ params: { path, line, limit } }) => ({
        content: await served(() => files.read(path, line, limit), 'read', reports),
      }))
      .onRequest(methods.client.fs.writeTextFile, async ({ params: { path, content } }) => {
        await served(() => files.write(path, content), 'write', reports);
        return {};
      });
  }

  #registerTerminals(app: ClientApp, reports: Reports): void {
    const { terminals, files, root } = this.#options;
    const { terminal: method } = methods.client;
    const find = (id: string): Terminal => {
      const found = terminals.get(id);
      if (!found) throw RequestError.resourceNotFound(id);
      return found;
    };
    app
      .onRequest(method.create, async ({ params: { command, args = [], env = [], cwd, outputByteLimit } }) => {
        const place = cwd ? await served(() => files.directory(cwd), 'run a command', reports) : root;
        const variables = Object.fromEntries(env.map(({ name, value }) => [name, value]));
        const terminalId = await terminals
          .create({ command, args, env: variables, cwd: place, outputBytesMax: outputByteLimit ?? null })
          .catch((error: Error) => {
            throw RequestError.internalError(undefined, `${command} cannot be started: ${error.message}`);
          });
        if (terminalId === null)
          throw RequestError.internalError(undefined, `${TERMINALS_MAX} terminals are open; release one first`);
        const terminal = find(terminalId);
        void terminal.exit.then((exit) => {
          const { output, truncated } = terminal.tail(PRINTED_BYTES_MAX);
          reports.print({ method: TERMINAL_ENDED, params: { terminalId, output, truncated, ...exit } });
        });
        return { terminalId };
      })
      .onRequest(method.output, ({ params: { terminalId } }) => {
        const { output, truncated, exitStatus } = find(terminalId).output;
        return { output, truncated, ...(exitStatus ? { exitStatus } : {}) };
      })
      .onRequest(method.waitForExit, ({ params: { terminalId } }) => find(terminalId).exit)
      .onRequest(method.kill, ({ params: { terminalId } }) => {
        find(terminalId).kill();
        return {};
      })
      .onRequest(method.release, ({ params: { terminalId } }) => {
        if (!terminals.release(terminalId)) throw RequestError.resourceNotFound(terminalId);
        return {};
      });
  }
}

async function served<T>(work: () => Promise<T>, what: string, reports: Reports): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof FileRefusal)) throw error;
    switch (error.refusal) {
      case 'outside':
        reports.tell(`Refused to ${what}: ${error.message}`);
        throw RequestError.invalidParams(undefined, error.message);
      case 'not_found':
        throw new RequestError(-32002, `Resource not found: ${error.message}`);
      case 'not_possible':
        throw RequestError.internalError(undefined, error.message);
      default:
        throw error.refusal satisfies never;
    }
  }
}
