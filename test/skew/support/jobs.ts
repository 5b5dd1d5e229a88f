/**
 * Jobs whose events arrive one at a time, whatever the load of the machine: each line waits for a
 * file, its gate. A recorded run can therefore be repeated event for event. The environment names
 * the folder of the gates, and no event contains it.
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const wait = (gate: string): string => `while [ ! -e "$GATES/${gate}" ]; do sleep 0.02; done`;

/**
 * `lines` are what it prints, one after the other. Gate i lets line i pass, and the gate after the
 * last line lets the job end.
 */
export const gatedJob = (lines: readonly string[], exitCode = 0): string[] => {
  const steps = lines.map((line, index) => `${wait(String(index + 1))}; printf '%s\\n' '${line}'`);
  return ['sh', '-c', [...steps, wait(String(lines.length + 1)), `exit ${exitCode}`].join('\n')];
};

/** Reads one line, then runs until SIGINT. */
export const LISTENING_JOB: readonly string[] = [
  'sh',
  '-c',
  `echo ready; read -r answer; trap 'echo stopping; exit 3' INT; echo "got $answer"; while :; do sleep 0.05; done`,
];

export const TEXT_LINES = ['line 1', 'line 2 with \\ and "quotes"', 'zeile 3: grün 🌱', 'line 4'] as const;
export const JSONL_LINES = [
  '{"type":"message","n":1,"id":12345678901234567890}',
  'not a line of JSON',
  '{"type":"tool","input":{"path":"a/b","nested":[1,[2,[3]]]}}',
] as const;

export class Gates {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-gates-'));

  /** Opens all gates up to this one. */
  open(last: number): void {
    for (let gate = last; gate > 0 && !existsSync(join(this.folder, String(gate))); gate -= 1) {
      writeFileSync(join(this.folder, String(gate)), '');
    }
  }

  get env(): Record<string, string> {
    return { GATES: this.folder };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Seq of the last event of an events frame, by its header; 0 for any other frame. */
export function lastSeqIn(frame: string): number {
  if (!frame.startsWith('{')) return 0;
  const { type, seq, count } = JSON.parse(frame.slice(0, frame.indexOf('\n') === -1 ? undefined : frame.indexOf('\n'))) as {
    type?: string;
    seq?: number;
    count?: number;
  };
  return type === 'events' ? (seq ?? 0) + (count ?? 0) - 1 : 0;
}
