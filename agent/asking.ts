/**
 * Which questions are open, from an agent's lines. For a program that only has to know that: it
 * remembers the open questions and nothing else.
 */

import type { JsonObject } from '../protocol/json.ts';
import { acpEnds } from './acp-asking.ts';
import { questionsIn } from './answer.ts';
import { claudeEnds } from './claude-asking.ts';
import { detectFormat } from './detect.ts';
import type { AgentFormat, Question } from './items.ts';
import { OpenQuestions } from './open-questions.ts';

export class AskingReader {
  #format: AgentFormat;
  readonly #open = new OpenQuestions();

  constructor(format: AgentFormat) {
    this.#format = format;
  }

  /** What `auto` has decided, or `auto`. */
  get format(): AgentFormat {
    return this.#format;
  }

  /**
   * `asked`: the questions of this line. `ended`: ids of open ones that it ends, because the agent
   * withdrew them or was answered in another way.
   */
  line(line: JsonObject): { asked: Question[]; ended: string[] } {
    if (this.#format === 'auto') this.#format = detectFormat(line) ?? 'auto';
    const ends = this.#format === 'claude' ? claudeEnds(line) : this.#format === 'acp' ? acpEnds(line) : null;
    const ended = ends === null ? [] : this.#open.ended(ends).map(({ id }) => id);
    this.answered(ended);
    const asked = questionsIn(this.#format, line).filter(({ id }) => !this.#open.has(id));
    for (const question of asked) this.#open.add(question);
    return { asked, ended };
  }

  /** Takes up the questions that another process had open. */
  resume(questions: readonly Question[]): void {
    for (const question of questions) this.#open.add(question);
  }

  /** These were answered. */
  answered(ids: readonly string[]): void {
    for (const id of ids) this.#open.delete(id);
  }
}
