/**
 * Goal: the receiver that docs/callbacks.md shows can be copied. Method: it is, and is sent good
 * requests and forged ones.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { POLICY_DEFAULTS } from '../../protocol/index.ts';
import { callbackMessage, signedHeaders } from '../../src/callbacks/message.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const text = readFileSync(join(ROOT, 'docs', 'callbacks.md'), 'utf8');
const KEY = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;

let folder: string;
let receiver: ChildProcess | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-receiver-'));
});
afterEach(async () => {
  if (receiver && receiver.exitCode === null) {
    receiver.kill();
    await once(receiver, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
});

test('[CB3] it takes what is signed, and refuses what is not', async () => {
  const [, code = ''] = /^```js\n(.*?)^```/ms.exec(text) ?? [];
  const listening = code.replace('.listen(8080)', ".listen(0, '127.0.0.1', function () { console.log(this.address().port); })");
  expect(listening).not.toBe(code);
  writeFileSync(join(folder, 'receiver.mjs'), listening);
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  receiver = spawn(process.execPath, [join(folder, 'receiver.mjs')], {
    env: { ...process.env, HOLDFAST_CALLBACK_KEY: KEY },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: receiver.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const { value: port } = await lines.next();

  const messageOf = (id: string) =>
    callbackMessage({ id, url: `http://127.0.0.1:${port}/`, event: 'settled', offset: 2, createdAt: 0 }, 'acme', {
      ...{ id: 'e1', session: 's1', status: 'completed', command: ['wörth'], format: 'text', launcher: 'none', labels: {} },
      ...{ policy: POLICY_DEFAULTS, createdAt: 0, endedAt: 1, epoch: 1, firstOffset: 1 },
    });
  const message = messageOf('cb_1');
  const send = async (body: string, key: string, of = message): Promise<number> =>
    (await fetch(of.url, { method: 'POST', body, headers: signedHeaders(of, [key], Date.now()) })).status;
  expect(await send(message.body, KEY)).toBe(204);
  expect((await lines.next()).value).toBe('cb_1 execution.completed e1');
  expect(await send(message.body.replace('e1', 'e2'), KEY)).toBe(401);
  expect(await send(message.body, `whsec_${Buffer.alloc(32, 2).toString('base64')}`)).toBe(401);
  // A repetition is taken and leads to nothing: the next line is the other one's.
  expect(await send(message.body, KEY)).toBe(204);
  const other = messageOf('cb_2');
  expect(await send(other.body, KEY, other)).toBe(204);
  expect((await lines.next()).value).toBe('cb_2 execution.completed e1');
});
