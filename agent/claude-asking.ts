/**
 * The questions of Claude Code: control requests `can_use_tool`, and the replies to them.
 *
 * AskUserQuestion and ExitPlanMode are tools whose permission is the question itself.
 */

import { isObject, type JsonObject } from '../protocol/json.ts';
import type { Answer, Question } from './items.ts';
import type { EndState, QuestionEnd } from './open-questions.ts';
import { titleOf } from './title.ts';
import { list, object, objects, text } from './values.ts';

const ALLOW = 'allow';
const ALWAYS = 'always';
const DENY = 'deny';

/** The line's request for a permission, or null. */
export function claudeRequest(line: JsonObject): { id: string; request: JsonObject } | null {
  const id = text(line.request_id);
  const request = object(line.request);
  if (line.type !== 'control_request' || id === null || request.subtype !== 'can_use_tool') return null;
  return { id, request };
}

/** Empty when the line asks nothing. */
export function claudeQuestions(line: JsonObject): Question[] {
  const asked = claudeRequest(line);
  if (!asked) return [];
  const { id, request } = asked;
  const tool = text(request.tool_use_id);
  const common = { request: id, freeText: true as const, ...(tool === null ? {} : { tool }) };
  const name = text(request.tool_name) ?? '';
  const input = object(request.input);
  const questions = name === 'AskUserQuestion' ? objects(input.questions) : [];
  if (questions.length > 0)
    return questions.map((question, index) => ({
      ...common,
      id: questionId(id, index, questions.length),
      kind: 'question' as const,
      text: text(question.question) ?? text(question.header) ?? '',
      options: objects(question.options).map(({ label, description }, place) => ({
        id: `${place + 1}`,
        label: text(label) ?? '',
        ...(text(description) ? { description: text(description) as string } : {}),
      })),
      ...(question.multiSelect === true ? { multiple: true as const } : {}),
    }));
  if (name === 'ExitPlanMode')
    return [
      {
        ...common,
        id,
        kind: 'plan',
        text: text(input.plan) ?? '',
        options: [
          { id: ALLOW, label: 'Approve the plan' },
          { id: DENY, label: 'Keep planning', refuses: true },
        ],
      },
    ];
  const about = titleOf(input) || (text(request.description) ?? '');
  return [
    {
      ...common,
      id,
      kind: 'permission',
      text: about === '' ? `Allow ${name}?` : `Allow ${name}: ${about}?`,
      options: [
        { id: ALLOW, label: 'Allow' },
        ...(objects(request.permission_suggestions).length > 0
          ? [{ id: ALWAYS, label: 'Allow always', description: 'Such calls are not asked about again in this run' }]
          : []),
        { id: DENY, label: 'Deny', refuses: true },
      ],
    },
  ];
}

/** A request with one question has its id; of several, each has a number. */
export const questionId = (request: string, index: number, count: number): string =>
  count === 1 ? request : `${request}.${index + 1}`;

/** The reply to a request, as the line of JSON that the agent reads. Null: an answer is missing. */
export function claudeReply(line: JsonObject, answers: Readonly<Record<string, Answer>>): JsonObject | null {
  const asked = claudeRequest(line);
  const questions = claudeQuestions(line);
  if (!asked || questions.some(({ id }) => !Object.hasOwn(answers, id))) return null;
  const reply = (response: JsonObject): JsonObject => claudeResponse(asked.id, response);
  // 2.1.197 fails the tool without `updatedInput`.
  const updatedInput = object(asked.request.input);
  const [first] = questions as [Question];
  if (first.kind === 'question') {
    const said = Object.fromEntries(questions.map((question) => [question.text, spoken(question, answers[question.id] as Answer)]));
    return reply({ behavior: 'allow', updatedInput: { ...updatedInput, answers: said } });
  }
  const { option, text: message } = answers[first.id] as Answer;
  if (option === ALLOW) return reply({ behavior: 'allow', updatedInput });
  if (option === ALWAYS) return reply({ behavior: 'allow', updatedInput, updatedPermissions: forThisRun(asked.request) });
  return reply({ behavior: 'deny', message: message || 'A person did not allow this.' });
}

/** The reply that says no where no person can be asked. Null: the line asks nothing. */
export function claudeRefusal(line: JsonObject, message: string): JsonObject | null {
  const asked = claudeRequest(line);
  return asked && claudeResponse(asked.id, { behavior: 'deny', message });
}

const claudeResponse = (id: string, response: JsonObject): JsonObject => ({
  type: 'control_response',
  response: { subtype: 'success', request_id: id, response },
});

/** `localSettings` and its like would write into the repository, or the user's home. */
const forThisRun = ({ permission_suggestions }: JsonObject): JsonObject[] =>
  list(permission_suggestions)
    .filter(isObject)
    .map((suggestion) => ({ ...suggestion, destination: 'session' }));

/** The labels that were chosen, and the text. */
function spoken({ options }: Question, answer: Answer): string {
  const chosen = [...(answer.option === undefined ? [] : [answer.option]), ...(answer.options ?? [])];
  const labels = options.filter(({ id }) => chosen.includes(id)).map(({ label }) => label);
  return [...labels, ...(answer.text === undefined ? [] : [answer.text])].join(', ');
}

/** The answer that this reply gives to a question, as far as it can be told. */
export function claudeAnswer(question: Question, response: JsonObject): Answer {
  if (response.behavior === 'deny')
    return { option: DENY, ...(text(response.message) ? { text: text(response.message) as string } : {}) };
  if (question.kind !== 'question') return { option: response.updatedPermissions === undefined ? ALLOW : ALWAYS };
  const said = text(object(object(response.updatedInput).answers)[question.text]);
  if (said === null) return {};
  const option = question.options.find(({ label }) => label === said);
  return option ? { option: option.id } : { text: said };
}

/** Which open questions a line of the agent ends, answered or withdrawn; null when it ends none. */
export function claudeEnds(line: JsonObject): QuestionEnd | null {
  if (line.type === 'control_cancel_request') return { of: 'request', id: text(line.request_id) ?? '', state: 'cancelled' };
  if (line.type === 'control_response')
    return { of: 'request', id: text(object(line.response).request_id) ?? '', state: 'answered' };
  if (line.type === 'result') return { of: 'all', state: 'cancelled' };
  if (line.type !== 'user') return null;
  const states = new Map<string, EndState>();
  for (const { tool_use_id: id, is_error } of objects(object(line.message).content))
    if (typeof id === 'string') states.set(id, is_error === true ? 'cancelled' : 'answered');
  return { of: 'tools', states };
}
