/**
 * The questions of a simulated agent: what it asks and when, and the folder in which its wrapper
 * keeps them. What makes facts of its lines is the wrapper's own code (wrapper/job/questions.ts).
 */

import type { JsonObject } from '../../protocol/index.ts';
import type { SpoolFiles } from '../../wrapper/spool/files.ts';
import type { Random } from './random.ts';

export interface AgentQuestion {
  id: string;
  /** It is asked behind this many lines of output. */
  after: number;
  pauseMs: number;
  /** Nothing is printed until the answer is there. */
  waits: boolean;
  /** It is withdrawn after so long. Null: never. */
  withdrawnAfterMs: number | null;
}

/** More than may be open at once (ASK2). */
const MANY = 18;

export function drawQuestions(random: Random, lines: number): AgentQuestion[] {
  const many = random.chance(0.15);
  const count = many ? MANY : random.int(1, 4);
  const questions = Array.from({ length: count }, (_, index) => ({
    after: many ? 0 : random.int(0, lines),
    pauseMs: random.int(0, many ? 5 : 2000),
    waits: many ? index === count - 1 : random.chance(0.8),
    withdrawnAfterMs: !many && random.chance(0.25) ? random.int(200, 8000) : null,
  }));
  return questions.sort((a, b) => a.after - b.after).map((question, index) => ({ id: `q${index + 1}`, ...question }));
}

export const askingLine = (id: string): JsonObject => ({
  type: 'control_request',
  request_id: id,
  request: { subtype: 'can_use_tool', tool_name: 'Bash', input: { command: id } },
});

export const withdrawingLine = (id: string): JsonObject => ({ type: 'control_cancel_request', request_id: id });

/** The question of this reply, and whether it allows. */
export function readReply(text: string): { id: string; allows: boolean } {
  const { response } = JSON.parse(text) as { response: { request_id: string; response: { behavior: string } } };
  return { id: response.request_id, allows: response.response.behavior === 'allow' };
}

/** Files in memory, as far as `replaceFile` and its readers need them. */
export function memoryFiles(): SpoolFiles {
  const files = new Map<string, Buffer>();
  const open: string[] = [];
  const content = (file: number): Buffer => files.get(open[file] ?? '') ?? Buffer.alloc(0);
  const missing = (): never => {
    throw new Error('the simulated folder has no such operation');
  };
  return {
    makeFolder: missing,
    list: missing,
    exists: (path) => files.has(path),
    readWhole: (path) => files.get(path) ?? missing(),
    open: (path, flags) => {
      if (flags.startsWith('w')) files.set(path, Buffer.alloc(0));
      return open.push(path) - 1;
    },
    close: () => {},
    size: (file) => content(file).length,
    read: missing,
    write: (file, bytes, position) => {
      files.set(open[file] ?? '', Buffer.concat([content(file).subarray(0, position), bytes]));
      return bytes.length;
    },
    writev: missing,
    truncate: (file, length) => void files.set(open[file] ?? '', content(file).subarray(0, length)),
    sync: () => {},
    flush: async () => {},
    rename: (from, to) => {
      files.set(to, files.get(from) ?? missing());
      files.delete(from);
    },
    remove: (path) => void files.delete(path),
    symlink: missing,
    readLink: missing,
  };
}
