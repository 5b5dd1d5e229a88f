import { afterEach, expect, it } from 'vitest';
import { type ModelServer, placeIn, startModel } from '../../tools/agents/model.ts';

let model: ModelServer | null = null;
afterEach(async () => {
  await model?.close();
  model = null;
});

const user = (text: string) => ({ kind: 'user' as const, text });
const result = { kind: 'result' as const, text: '' };
const answer = { kind: 'model' as const, text: '' };

it('the last prompt names the scene, and each answer of the model is a step', () => {
  expect(placeIn([])).toEqual({ scene: null, step: 0 });
  expect(placeIn([user('[scene a] go')])).toEqual({ scene: 'a', step: 0 });
  expect(placeIn([user('[scene a] go'), answer, user('a result'), answer, user('')])).toEqual({ scene: 'a', step: 2 });
  expect(placeIn([user('[scene a] go'), answer, user('[scene b] go')])).toEqual({ scene: 'b', step: 0 });
});

it('the results of several tools at once are one step', () => {
  expect(placeIn([user('[scene a]'), result, result])).toEqual({ scene: 'a', step: 1 });
  expect(placeIn([user('[scene a]'), result, { kind: 'other', text: '' }, result])).toEqual({ scene: 'a', step: 2 });
});

async function ask(path: string, body: object): Promise<string> {
  model ??= await startModel('/repository');
  const response = await fetch(`${model.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
  return response.text();
}
const tools = [{ name: 'any' }];

it('speaks the Messages API', async () => {
  const messages = [{ role: 'user', content: [{ type: 'text', text: '[scene claude-permission] go' }] }];
  const { content, stop_reason } = JSON.parse(await ask('/v1/messages', { model: 'm', tools, messages }));
  expect(stop_reason).toBe('tool_use');
  expect(content[1]).toMatchObject({ type: 'tool_use', name: 'Write', input: { file_path: '/repository/new.txt' } });
  const streamed = await ask('/v1/messages', { model: 'm', tools, messages, stream: true });
  expect(streamed.match(/^event: .*$/gm)).toEqual(
    expect.arrayContaining(['event: message_start', 'event: content_block_delta', 'event: message_stop']),
  );
});

it('speaks the Responses API', async () => {
  const input = [
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: '[scene codex-tools] go' }] },
    { type: 'function_call_output', output: '' },
  ];
  const streamed = await ask('/v1/responses', { model: 'm', tools, input, stream: true });
  expect(streamed).toContain('"exec_command"');
  expect(streamed).toContain('event: response.completed');
});

it('speaks the Chat Completions API', async () => {
  const messages = [{ role: 'user', content: '[scene opencode-permission] go' }];
  const streamed = await ask('/v1/chat/completions', { model: 'm', tools, messages, stream: true });
  expect(streamed).toContain('"finish_reason":"tool_calls"');
  expect(streamed.trimEnd().endsWith('data: [DONE]')).toBe(true);
});

it('a request without tools is no step of a scene', async () => {
  const messages = [{ role: 'user', content: '[scene claude-permission] go' }];
  const { content } = JSON.parse(await ask('/v1/messages', { model: 'm', messages }));
  expect(content).toEqual([{ type: 'text', text: 'A title' }]);
});
