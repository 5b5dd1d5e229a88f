/**
 * Goal: [AGT6] JSON lines of many MiB reach every reader as the job printed them, against the real
 * stack.
 * Method: the built CLI, the HTTP log and the client; digests of what the job wrote and of what was
 * read.
 */

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readAgent } from '../../client/agent.ts';
import { AGENT_LINE_BYTES_MAX, utf8Bytes } from '../../protocol/index.ts';
import { RealStack } from '../support/real-stack.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

const MIB = 1024 * 1024;
const said = (n: number, bytes: number): string => {
  const around = JSON.stringify({ type: 'assistant', message: { id: `m${n}`, content: [{ type: 'text', text: '' }] } });
  return around.replace('"text":""', `"text":"${'é\\"'.repeat((bytes - around.length) / 4)}"`);
};
const INIT = '{"type":"system","subtype":"init","session_id":"s","uuid":"u"}';
const LINES = [INIT, said(1, MIB), 'text', said(2, AGENT_LINE_BYTES_MAX), said(3, 9 * MIB), '{"type":"result","result":"done"}'];
const KEPT = LINES.filter((line) => utf8Bytes(line) <= AGENT_LINE_BYTES_MAX);

const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');
const DIGEST = sha256(KEPT.map((line) => `${line}\n`).join(''));

let real: RealStack;
let file: string;

beforeAll(async () => {
  real = await RealStack.start();
  file = join(temporaryFolder(), 'lines');
  writeFileSync(file, LINES.map((line) => `${line}\n`).join(''));
});
afterAll(async () => {
  await real?.close();
  removeTemporaryFolders();
});

it('run, logs, the log over HTTP and the client have each line whole, and a gap for the one that is too long', async () => {
  const ran = await real.holdfast('run', '-q', '--raw', '--format', 'claude', '-s', 'l1', '--id', 'e1', '--', 'cat', file);
  expect(ran).toMatchObject({
    code: 0,
    stderr: expect.stringContaining(`(${9 * MIB} bytes) is missing here: line_too_long`),
  });
  expect(sha256(ran.stdout)).toBe(DIGEST);
  expect(sha256((await real.holdfast('logs', '-q', '--raw', 'l1/e1')).stdout)).toBe(DIGEST);

  const messages: string[] = [];
  for await (const { changed } of readAgent(real.client.execution('l1', 'e1')))
    for (const item of changed) if (item.type === 'message') messages.push(item.markdown);
  const texts = [LINES[1], LINES[3]].map((line) => JSON.parse(line as string).message.content[0].text as string);
  expect(messages.map((text) => text.length)).toEqual(texts.map((text) => text.length));
  expect(messages.map((text) => sha256(text))).toEqual(texts.map((text) => sha256(text)));

  const { HOLDFAST_URL: url, HOLDFAST_API_KEY: key } = real.userEnv as Record<string, string>;
  const log = async (execution: string): Promise<string> =>
    (await fetch(`${url}/v1/sessions/l1/executions/${execution}/log`, { headers: { authorization: `Bearer ${key}` } })).text();
  const conversation = await log('e1');
  for (const text of texts) expect(conversation.includes(`\n${text}\n`) || conversation.startsWith(`${text}\n`)).toBe(true);

  await real.holdfast('run', '-q', '--format', 'jsonl', '-s', 'l1', '--id', 'e2', '--', 'cat', file);
  const lines = (await log('e2')).split('\n');
  const [gap] = lines.splice(-3, 1);
  expect(gap).toMatch(/^\[holdfast: 1 event .* is missing here: line_too_long\]$/);
  expect(sha256(lines.join('\n'))).toBe(DIGEST);
}, 240_000);
