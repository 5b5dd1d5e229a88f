/**
 * A model server on loopback that plays scenes: Anthropic's Messages API for Claude Code, OpenAI's
 * Responses API for Codex and its Chat Completions API for OpenCode. It keeps nothing between two
 * requests: scene and step follow from the messages, which an agent sends whole each time.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Part, type Step, scenes } from './scenes.ts';

const SCENE_PATTERN = /\[scene ([\w-]+)\]/g;
/** Text comes in pieces, as a model's does. */
const PIECE_CHARS = 14;
const PIECE = new RegExp(`[\\s\\S]{1,${PIECE_CHARS}}`, 'g');
/** Requests of an agent outside of a scene, such as for a title. */
const ASIDE: Step = [{ kind: 'say', text: 'A title' }];

type Json = Record<string, unknown>;

export interface ModelServer {
  url: string;
  close(): Promise<void>;
}

export async function startModel(repository: string): Promise<ModelServer> {
  const model = new Model(scenes(repository));
  const server = createServer((request, response) => void model.answer(request, response));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

class Model {
  readonly #scenes: Readonly<Record<string, readonly Step[]>>;
  #ids = 0;

  constructor(all: Readonly<Record<string, readonly Step[]>>) {
    this.#scenes = all;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://model');
    const body = await readJson(request);
    if (pathname === '/v1/messages') this.#messages(body, response);
    else if (pathname === '/v1/messages/count_tokens') sendJson(response, { input_tokens: 10 });
    else if (pathname === '/v1/responses') this.#responses(body, response);
    else if (pathname === '/v1/chat/completions') this.#chat(body, response);
    else sendJson(response, { object: 'list', data: [], models: [] });
  }

  #step(body: Json, turns: readonly Turn[]): Step {
    const tools = Array.isArray(body.tools) ? body.tools.length : 0;
    if (tools === 0) return ASIDE;
    const { scene, step } = placeIn(turns);
    return (
      (scene === null ? null : this.#scenes[scene]?.[step]) ?? [{ kind: 'say', text: `There is no step ${step} in ${scene}.` }]
    );
  }

  #id(prefix: string): string {
    this.#ids += 1;
    return `${prefix}_${String(this.#ids).padStart(4, '0')}`;
  }

  // ── Anthropic ───────────────────────────────────────────────────────────────────────────────────

  #messages(body: Json, response: ServerResponse): void {
    const messages = asList(body.messages);
    const turns = messages.map(
      ({ role, content }): Turn => ({
        kind: role === 'assistant' ? 'model' : 'user',
        text: textOf(content),
      }),
    );
    const parts = this.#step(body, turns);
    const usage = { input_tokens: 100, cache_creation_input_tokens: 0, cache_read_input_tokens: 50, output_tokens: 20 };
    const stop_reason = hasCall(parts) ? 'tool_use' : 'end_turn';
    const message = {
      ...{ id: this.#id('msg'), type: 'message', role: 'assistant', model: body.model },
      ...{ content: [], stop_reason: null, stop_sequence: null, usage: { ...usage, output_tokens: 1 } },
    };
    const blocks = parts.map((part) => this.#block(part));
    if (body.stream !== true) {
      sendJson(response, { ...message, content: blocks.map(({ whole }) => whole), stop_reason, usage });
      return;
    }
    const send = eventStream(response, (type, data) => ({ type, ...data }));
    send('message_start', { message });
    for (const [index, { start, deltas }] of blocks.entries()) {
      send('content_block_start', { index, content_block: start });
      for (const delta of deltas) send('content_block_delta', { index, delta });
      send('content_block_stop', { index });
    }
    send('message_delta', { delta: { stop_reason, stop_sequence: null }, usage });
    send('message_stop', {});
    response.end();
  }

  #block(part: Part): { whole: Json; start: Json; deltas: Json[] } {
    switch (part.kind) {
      case 'say':
        return {
          whole: { type: 'text', text: part.text },
          start: { type: 'text', text: '' },
          deltas: pieces(part.text).map((text) => ({ type: 'text_delta', text })),
        };
      case 'think':
        return {
          whole: { type: 'thinking', thinking: part.text, signature: 'c2ln' },
          start: { type: 'thinking', thinking: '', signature: '' },
          deltas: [
            ...pieces(part.text).map((thinking) => ({ type: 'thinking_delta', thinking })),
            { type: 'signature_delta', signature: 'c2ln' },
          ],
        };
      case 'call':
      case 'callText': {
        const tool = { type: 'tool_use', id: this.#id('toolu'), name: part.tool };
        return {
          whole: { ...tool, input: part.input },
          start: { ...tool, input: {} },
          deltas: pieces(JSON.stringify(part.input)).map((partial_json) => ({ type: 'input_json_delta', partial_json })),
        };
      }
    }
  }

  // ── OpenAI, Responses ───────────────────────────────────────────────────────────────────────────

  #responses(body: Json, response: ServerResponse): void {
    const turns = asList(body.input).map(({ type, role, content }): Turn => {
      if (typeof type === 'string' && type.endsWith('_output')) return { kind: 'result', text: '' };
      return { kind: role === 'user' ? 'user' : 'other', text: textOf(content) };
    });
    const parts = this.#step(body, turns);
    const base = { id: this.#id('resp'), object: 'response', created_at: 1, model: body.model, status: 'in_progress', output: [] };
    let sequence_number = 0;
    const send = eventStream(response, (type, data) => ({ type, sequence_number: sequence_number++, ...data }));
    send('response.created', { response: base });
    for (const [output_index, part] of parts.entries()) {
      const { first, last } = this.#item(part);
      send('response.output_item.added', { output_index, item: first });
      if (part.kind === 'say') {
        for (const delta of pieces(part.text))
          send('response.output_text.delta', { item_id: first.id, output_index, content_index: 0, delta });
      }
      send('response.output_item.done', { output_index, item: last });
    }
    const usage = {
      ...{ input_tokens: 100, input_tokens_details: { cached_tokens: 50 } },
      ...{ output_tokens: 20, output_tokens_details: { reasoning_tokens: 5 }, total_tokens: 120 },
    };
    send('response.completed', { response: { ...base, status: 'completed', usage } });
    response.end();
  }

  #item(part: Part): { first: Json; last: Json } {
    switch (part.kind) {
      case 'say': {
        const item = { id: this.#id('msg'), type: 'message', role: 'assistant' };
        const content = [{ type: 'output_text', text: part.text, annotations: [] }];
        return { first: { ...item, status: 'in_progress', content: [] }, last: { ...item, status: 'completed', content } };
      }
      case 'think': {
        const item = { id: this.#id('rs'), type: 'reasoning' };
        return { first: { ...item, summary: [] }, last: { ...item, summary: [{ type: 'summary_text', text: part.text }] } };
      }
      case 'call': {
        const item = { id: this.#id('fc'), type: 'function_call', call_id: this.#id('call'), name: part.tool, status: 'completed' };
        return { first: { ...item, arguments: '' }, last: { ...item, arguments: JSON.stringify(part.input) } };
      }
      case 'callText': {
        const item = {
          id: this.#id('ct'),
          type: 'custom_tool_call',
          call_id: this.#id('call'),
          name: part.tool,
          status: 'completed',
        };
        return { first: { ...item, input: '' }, last: { ...item, input: part.input } };
      }
    }
  }

  // ── OpenAI, Chat Completions ────────────────────────────────────────────────────────────────────

  #chat(body: Json, response: ServerResponse): void {
    const turns = asList(body.messages).map(
      ({ role, content }): Turn => ({
        kind: role === 'tool' ? 'result' : role === 'user' ? 'user' : 'other',
        text: textOf(content),
      }),
    );
    const parts = this.#step(body, turns);
    const id = this.#id('chatcmpl');
    const send = eventStream(response, (_, data) => ({
      ...{ id, object: 'chat.completion.chunk', created: 1, model: body.model },
      ...data,
    }));
    const delta = (given: Json, finish_reason: string | null = null, more: Json = {}): void =>
      send(null, { choices: [{ index: 0, delta: given, finish_reason }], ...more });
    delta({ role: 'assistant', content: '' });
    let index = 0;
    for (const part of parts) {
      if (part.kind === 'say') for (const content of pieces(part.text)) delta({ content });
      else if (part.kind === 'think') for (const reasoning_content of pieces(part.text)) delta({ reasoning_content });
      else {
        const name = part.tool;
        delta({ tool_calls: [{ index, id: this.#id('call'), type: 'function', function: { name, arguments: '' } }] });
        delta({ tool_calls: [{ index, function: { arguments: JSON.stringify(part.input) } }] });
        index += 1;
      }
    }
    const usage = {
      ...{ prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 },
      ...{ prompt_tokens_details: { cached_tokens: 50 }, completion_tokens_details: { reasoning_tokens: 5 } },
    };
    delta({}, hasCall(parts) ? 'tool_calls' : 'stop', { usage });
    response.end('data: [DONE]\n\n');
  }
}

// ── reading of a request ──────────────────────────────────────────────────────────────────────────

interface Turn {
  /** `model`: an answer of the model, `result`: of a tool; a request has one of the two kinds. */
  kind: 'user' | 'model' | 'result' | 'other';
  text: string;
}

/** The scene that the last prompt names, and how many steps of it were played. Pure. */
export function placeIn(turns: readonly Turn[]): { scene: string | null; step: number } {
  let scene: string | null = null;
  let step = 0;
  let previous: Turn['kind'] | null = null;
  for (const { kind, text } of turns) {
    const named = kind === 'user' ? [...text.matchAll(SCENE_PATTERN)].at(-1)?.[1] : undefined;
    if (named !== undefined) {
      scene = named;
      step = 0;
    } else if (kind === 'model' || (kind === 'result' && previous !== 'result')) {
      // The results of several tools at once belong to one step.
      step += 1;
    }
    previous = kind;
  }
  return { scene, step };
}

const hasCall = (parts: Step): boolean => parts.some(({ kind }) => kind === 'call' || kind === 'callText');

const pieces = (text: string): string[] => text.match(PIECE) ?? [''];

const asList = (value: unknown): Json[] =>
  Array.isArray(value) ? value.filter((each): each is Json => typeof each === 'object' && each !== null) : [];

/** Of a message's content: a string, or a list of parts. */
const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : asList(content)
        .map(({ text }) => (typeof text === 'string' ? text : ''))
        .join('\n');

async function readJson(request: IncomingMessage): Promise<Json> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    return typeof body === 'object' && body !== null ? (body as Json) : {};
  } catch {
    return {};
  }
}

// ── writing of an answer ──────────────────────────────────────────────────────────────────────────

function sendJson(response: ServerResponse, body: Json): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** `type` null: the event has no name. */
function eventStream(response: ServerResponse, envelope: (type: string | null, data: Json) => Json) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  return (type: string | null, data: Json): void => {
    const name = type === null ? '' : `event: ${type}\n`;
    response.write(`${name}data: ${JSON.stringify(envelope(type, data))}\n\n`);
  };
}
