import { exports } from 'cloudflare:workers';
import { expect, test } from 'vitest';
test('healthz', async () => {
  const r = await exports.default.fetch('https://holdfast.test/healthz');
  expect(await r.json()).toEqual({ status: 'ok', version: '0.1.0' });
  const s = await exports.default.fetch('https://holdfast.test/v1/sessions/s1/executions', { method: 'POST', headers: { authorization: 'Bearer acme-key-0123456789abcdef' }, body: JSON.stringify({ command: ['true'] }) });
  console.log(s.status, await s.text());
});
