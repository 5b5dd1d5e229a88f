// The server of the page: it has the API key, and gives a ticket to whom it lets in. Here that is
// everybody who reaches it.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { build } from 'esbuild';

const { HOLDFAST_URL: url = 'http://127.0.0.1:8787', HOLDFAST_API_KEY: key = '', PORT = '8791' } = process.env;
const here = import.meta.dirname;

const { outputFiles } = await build({
  entryPoints: [`${here}/page.ts`],
  alias: { '@holdfast/client/agent': `${here}/../../client/agent.ts`, '@holdfast/client': `${here}/../../client/index.ts` },
  bundle: true,
  format: 'esm',
  write: false,
  logLevel: 'warning',
});
const files = {
  '/': { type: 'text/html; charset=utf-8', body: readFileSync(`${here}/index.html`) },
  '/page.js': { type: 'text/javascript', body: outputFiles[0].contents },
};

/** A ticket for one run, with which its questions can be answered. */
async function ticketOf(run) {
  const [session, execution] = run.split('/').map(encodeURIComponent);
  return fetch(`${url}/v1/sessions/${session}/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ execution: decodeURIComponent(execution ?? ''), can: ['read', 'input'] }),
  });
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://page');
  const file = files[pathname];
  if (file) return response.writeHead(200, { 'content-type': file.type }).end(file.body);
  if (pathname !== '/ticket') return response.writeHead(404).end();
  const answer = await ticketOf(searchParams.get('run') ?? '').catch(() => null);
  if (!answer?.ok) return response.writeHead(answer?.status ?? 502).end();
  const { ticket } = await answer.json();
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ url, ticket }));
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
