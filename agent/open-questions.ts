/** The questions that are open, found by their own id, their request or their tool call. */

import type { Question } from './items.ts';

export type EndState = 'answered' | 'cancelled';

/** Which open questions a line ends, and how. */
export type QuestionEnd =
  | { of: 'all'; state: EndState }
  | { of: 'request'; id: string; state: EndState }
  /** By id of the tool call. */
  | { of: 'tools'; states: ReadonlyMap<string, EndState> };

export class OpenQuestions {
  /** Oldest first. */
  readonly #open = new Map<string, Question>();
  readonly #ofRequest = new Map<string, Set<string>>();
  readonly #ofTool = new Map<string, Set<string>>();

  has(id: string): boolean {
    return this.#open.has(id);
  }

  get oldest(): string | null {
    return this.#open.keys().next().value ?? null;
  }

  add(question: Question): void {
    this.#open.set(question.id, question);
    join(this.#ofRequest, question.request, question.id);
    if (question.tool !== undefined) join(this.#ofTool, question.tool, question.id);
  }

  delete(id: string): void {
    const question = this.#open.get(id);
    if (!question) return;
    this.#open.delete(id);
    leave(this.#ofRequest, question.request, id);
    if (question.tool !== undefined) leave(this.#ofTool, question.tool, id);
  }

  ended(end: QuestionEnd): { id: string; state: EndState }[] {
    if (end.of === 'all') return [...this.#open.keys()].map((id) => ({ id, state: end.state }));
    if (end.of === 'request') return this.ofRequest(end.id).map((id) => ({ id, state: end.state }));
    return [...end.states].flatMap(([tool, state]) => [...(this.#ofTool.get(tool) ?? [])].map((id) => ({ id, state })));
  }

  ofRequest(request: string): string[] {
    return [...(this.#ofRequest.get(request) ?? [])];
  }
}

function join(sets: Map<string, Set<string>>, key: string, id: string): void {
  const set = sets.get(key);
  if (set) set.add(id);
  else sets.set(key, new Set([id]));
}

function leave(sets: Map<string, Set<string>>, key: string, id: string): void {
  const set = sets.get(key);
  set?.delete(id);
  if (set?.size === 0) sets.delete(key);
}
