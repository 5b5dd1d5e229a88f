/**
 * The questions of the Agent Client Protocol: `session/request_permission` and
 * `elicitation/create`, and the replies to them.
 */

import { isObject, type JsonObject } from '../protocol/json.ts';
import { questionId } from './claude-asking.ts';
import type { Answer, Question, QuestionOption } from './items.ts';
import type { QuestionEnd } from './open-questions.ts';
import { list, object, objects, text } from './values.ts';

/** The id of a JSON-RPC message as text. Both sides count from 0. */
export const rpcId = ({ id }: JsonObject): string | null => (typeof id === 'string' || typeof id === 'number' ? `${id}` : null);

/** Fields with this end hold a free text beside the field before them (claude-agent-acp). */
const CUSTOM = '_custom';

export function acpQuestions(line: JsonObject): Question[] {
  const id = rpcId(line);
  if (id === null) return [];
  const params = object(line.params);
  if (line.method === 'session/request_permission') return [permission(id, params)];
  if (line.method === 'elicitation/create') return elicited(id, params);
  return [];
}

function permission(id: string, params: JsonObject): Question {
  const call = object(params.toolCall);
  const tool = text(call.toolCallId);
  const about = text(call.title) ?? text(call.name) ?? '';
  return {
    id,
    request: id,
    kind: call.kind === 'switch_mode' ? 'plan' : 'permission',
    text: about === '' ? 'Allow this?' : `Allow: ${about}?`,
    options: objects(params.options).map(({ optionId, name, kind }) => ({
      id: text(optionId) ?? '',
      label: text(name) ?? text(optionId) ?? '',
      ...(text(kind)?.startsWith('reject') ? { refuses: true as const } : {}),
    })),
    ...(tool === null ? {} : { tool }),
  };
}

/** A question for each field of the form. */
function elicited(id: string, params: JsonObject): Question[] {
  const fields = fieldsOf(params);
  const tool = text(params.toolCallId);
  const message = text(params.message) ?? '';
  const common = { request: id, kind: 'question' as const, ...(tool === null ? {} : { tool }) };
  if (fields.length === 0) {
    const options: QuestionOption[] = [
      { id: 'accept', label: 'Accept' },
      { id: 'decline', label: 'Decline', refuses: true },
    ];
    return [{ ...common, id, text: message, options }];
  }
  return fields.map(([name, field], index) => {
    const options = optionsOf(field);
    const title = text(field.title) ?? name;
    return {
      ...common,
      id: questionId(id, index, fields.length),
      text: fields.length === 1 ? message || title : [...(index === 0 && message !== '' ? [message] : []), title].join('\n\n'),
      options,
      ...(field.type === 'array' ? { multiple: true as const } : {}),
      ...(options.length === 0 || Object.hasOwn(properties(params), `${name}${CUSTOM}`) ? { freeText: true as const } : {}),
    };
  });
}

const properties = (params: JsonObject): JsonObject => object(object(params.requestedSchema).properties);

function fieldsOf(params: JsonObject): [string, JsonObject][] {
  const all = properties(params);
  const isCustom = (name: string): boolean => name.endsWith(CUSTOM) && Object.hasOwn(all, name.slice(0, -CUSTOM.length));
  return Object.entries(all)
    .filter(([name]) => !isCustom(name))
    .map(([name, field]) => [name, object(field)]);
}

/** The choices of a field: `oneOf`, `enum`, the same of the `items` of a list, or yes and no. */
function optionsOf(field: JsonObject): QuestionOption[] {
  if (field.type === 'boolean')
    return [
      { id: 'true', label: 'Yes' },
      { id: 'false', label: 'No' },
    ];
  const choices = field.type === 'array' ? object(field.items) : field;
  const titled = [...objects(choices.oneOf), ...objects(choices.anyOf)].filter((each) => text(each.const) !== null);
  if (titled.length > 0)
    return titled.map((each) => ({
      id: text(each.const) as string,
      label: text(each.title) ?? (text(each.const) as string),
      ...(text(each.description) ? { description: text(each.description) as string } : {}),
    }));
  return list(choices.enum).flatMap((each) => (typeof each === 'string' ? [{ id: each, label: each }] : []));
}

/** Null: an answer is missing. */
export function acpReply(line: JsonObject, answers: Readonly<Record<string, Answer>>): JsonObject | null {
  const questions = acpQuestions(line);
  if (questions.length === 0 || questions.some(({ id }) => !Object.hasOwn(answers, id))) return null;
  const reply = (result: JsonObject): JsonObject => ({ jsonrpc: '2.0', id: line.id, result });
  const first = answers[(questions[0] as Question).id] as Answer;
  if (line.method === 'session/request_permission') return reply({ outcome: { outcome: 'selected', optionId: first.option } });
  const params = object(line.params);
  const fields = fieldsOf(params);
  if (fields.length === 0) return reply({ action: first.option === 'decline' ? 'decline' : 'accept', content: {} });
  const content = fields.flatMap(([name, field], index) =>
    contentOf(params, name, field, answers[(questions[index] as Question).id] as Answer),
  );
  return reply({ action: 'accept', content: Object.fromEntries(content) });
}

function contentOf(params: JsonObject, name: string, field: JsonObject, answer: Answer): [string, unknown][] {
  const given: [string, unknown][] = [];
  if (field.type === 'array')
    given.push([name, [...(answer.options ?? []), ...(answer.option === undefined ? [] : [answer.option])]]);
  else if (answer.option !== undefined) given.push([name, field.type === 'boolean' ? answer.option === 'true' : answer.option]);
  if (answer.text === undefined) return given;
  if (Object.hasOwn(properties(params), `${name}${CUSTOM}`)) return [...given, [`${name}${CUSTOM}`, answer.text]];
  const isNumber = field.type === 'number' || field.type === 'integer';
  return [...given, [name, isNumber && Number.isFinite(Number(answer.text)) ? Number(answer.text) : answer.text]];
}

/** The reply that says no where no person can be asked. */
export function acpRefusal(line: JsonObject): JsonObject {
  const reply = (result: JsonObject): JsonObject => ({ jsonrpc: '2.0', id: line.id, result });
  if (line.method === 'elicitation/create') return reply({ action: 'decline' });
  const { optionId } = objects(object(line.params).options).find(({ kind }) => kind === 'reject_once') ?? {};
  return optionId === undefined ? acpCancelled(line) : reply({ outcome: { outcome: 'selected', optionId } });
}

/** The reply with which a client withdraws from a question, as after `session/cancel`. */
export const acpCancelled = (line: JsonObject): JsonObject => ({
  jsonrpc: '2.0',
  id: line.id,
  result: line.method === 'elicitation/create' ? { action: 'cancel' } : { outcome: { outcome: 'cancelled' } },
});

/** The answer that this result gives, as far as it can be told; null for a withdrawal. */
export function acpAnswer(question: Question, result: JsonObject): Answer | null {
  const outcome = object(result.outcome);
  if (outcome.outcome === 'selected') return text(outcome.optionId) === null ? {} : { option: text(outcome.optionId) as string };
  if (result.action !== 'accept') return null;
  for (const value of Object.values(object(result.content))) {
    if (question.options.some(({ id }) => id === value)) return { option: value as string };
    if (question.options.length === 0 && typeof value === 'string') return { text: value };
  }
  return {};
}

export const isAcpReply = (line: JsonObject): boolean =>
  isObject(line.result) && line.method === undefined && (isObject(line.result.outcome) || typeof line.result.action === 'string');

/** Which open questions a line ends, answered or withdrawn; null when it ends none. */
export function acpEnds(line: JsonObject): QuestionEnd | null {
  const params = object(line.params);
  if (line.method === '$/cancel_request') return { of: 'request', id: `${params.requestId}`, state: 'cancelled' };
  if (isAcpReply(line)) return { of: 'request', id: rpcId(line) ?? '', state: 'answered' };
  if (text(object(line.result).stopReason) !== null) return { of: 'all', state: 'cancelled' };
  const { toolCallId: tool, status } = object(params.update);
  if (line.method !== 'session/update' || typeof tool !== 'string') return null;
  if (status !== 'completed' && status !== 'failed') return null;
  return { of: 'tools', states: new Map([[tool, status === 'failed' ? 'cancelled' : 'answered']]) };
}
