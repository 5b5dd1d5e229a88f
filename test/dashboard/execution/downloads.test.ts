/** Downloads: what is asked for, what is saved, and when the browser is left to do it by itself. */

import { describe, expect, test } from 'vitest';
import {
  BLOB_BYTES_MAX,
  BLOB_OFFSETS_MAX,
  type DownloadPort,
  downloadJsonl,
  downloadText,
  fileName,
} from '../../../dashboard/src/execution/downloads.ts';
import { FakeRun, problem } from './fake-run.ts';
import { line, madeExecution } from './made.ts';

function portOf(
  run: FakeRun,
  answer: () => Response,
): { port: DownloadPort; saved: [Blob, string][]; opened: string[]; asked: Request[] } {
  const saved: [Blob, string][] = [];
  const opened: string[] = [];
  const asked: Request[] = [];
  const port: DownloadPort = {
    url: 'http://localhost',
    session: 's1',
    execution: 'e1',
    client: run.options().client,
    fetch: async (address, init) => {
      asked.push(new Request(address as string, { headers: init?.headers ?? {} }));
      return answer();
    },
    bearer: 'key',
    getTicket: async () => 'a.b.c',
    save: (blob, name) => saved.push([blob, name]),
    open: (address, name) => opened.push(`${address} ${name}`),
    onProgress: () => {},
    signal: new AbortController().signal,
  };
  return { port, saved, opened, asked };
}

const run = () =>
  new FakeRun(
    madeExecution(),
    Array.from({ length: 1_000 }, (_, index) => line(index + 1, `l${index + 1}\n`, index + 1)),
  );

describe('text', () => {
  test('is fetched with the credential in a header and saved under the run’s name', async () => {
    const { port, saved, asked } = portOf(run(), () => new Response('hello\n'));
    expect(await downloadText(port, 1_000)).toBe('saved');
    expect(asked[0]?.url).toBe('http://localhost/v1/sessions/s1/executions/e1/log');
    expect(asked[0]?.headers.get('authorization')).toBe('Bearer key');
    expect(saved[0]?.[1]).toBe('s1-e1.log');
    expect(await saved[0]?.[0].text()).toBe('hello\n');
  });

  test('of a run that keeps every byte is saved byte for byte', async () => {
    const bytes = new Uint8Array(512).map((_, n) => n);
    const headers = { 'content-type': 'application/octet-stream' };
    const { port, saved } = portOf(run(), () => new Response(bytes, { headers }));
    expect(await downloadText(port, 1_000)).toBe('saved');
    expect(saved[0]?.[0].type).toBe('application/octet-stream');
    expect(new Uint8Array((await saved[0]?.[0].arrayBuffer()) ?? new ArrayBuffer())).toEqual(bytes);
  });

  test('of a large log is left to the browser, with a ticket in the address', async () => {
    const { port, saved, opened, asked } = portOf(run(), () => new Response(''));
    expect(await downloadText(port, BLOB_OFFSETS_MAX + 1)).toBe('handed_over');
    expect(opened).toEqual(['http://localhost/v1/sessions/s1/executions/e1/log?ticket=a.b.c s1-e1.log']);
    expect([saved, asked]).toEqual([[], []]);
  });

  test('that turns out to be large is aborted and left to the browser', async () => {
    const piece = new Uint8Array(BLOB_BYTES_MAX / 4);
    let given = 0;
    const body = () =>
      new ReadableStream<Uint8Array<ArrayBuffer>>({
        pull(controller) {
          given += 1;
          controller.enqueue(piece);
        },
      });
    const { port, saved, opened } = portOf(run(), () => new Response(body()));
    expect(await downloadText(port, 10)).toBe('handed_over');
    expect(saved).toEqual([]);
    expect(opened).toHaveLength(1);
    expect(given).toBeLessThan(10);
  });

  test('a refusal is shown in the coordinator’s words', async () => {
    const { port } = portOf(run(), () => Response.json({ code: 'execution_not_found', detail: 'gone' }, { status: 404 }));
    await expect(downloadText(port, 10)).rejects.toMatchObject({ message: 'gone', status: 404 });
    const { port: other } = portOf(run(), () => new Response('<html>', { status: 502 }));
    await expect(downloadText(other, 10)).rejects.toMatchObject({ message: 'HTTP 502' });
  });
});

describe('JSON lines', () => {
  test('hold every event that is kept, page after page', async () => {
    const { port, saved } = portOf(run(), () => new Response(''));
    await downloadJsonl(port, 0);
    const [blob, name] = saved[0] ?? [];
    expect(name).toBe('s1-e1.jsonl');
    const lines = (await blob?.text())?.trimEnd().split('\n') ?? [];
    expect(lines.map((text) => JSON.parse(text).offset)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
  });

  test('begin where the log begins by now', async () => {
    const made = run();
    made.earliest = 901;
    const { port, saved } = portOf(made, () => new Response(''));
    await downloadJsonl(port, 10);
    expect((await saved[0]?.[0].text())?.trimEnd().split('\n')).toHaveLength(100);
  });

  test('[STR30] are not put together of two logs', async () => {
    const made = run();
    made.saysGeneration = true;
    made.sessionMadeAt = 1_000;
    const { port, saved } = portOf(made, () => new Response(''));
    const read = port.client.readEvents;
    port.client = {
      readEvents: async (...call) => {
        const page = await read(...call);
        made.sessionMadeAt = 2_000;
        return page;
      },
    };
    await expect(downloadJsonl(port, 0)).rejects.toMatchObject({ code: 'log_replaced' });
    expect(saved).toEqual([]);
  });

  test('are not saved in part', async () => {
    const made = run();
    made.readErrors.push(null, problem(0, 'unreachable'));
    const { port, saved } = portOf(made, () => new Response(''));
    await expect(downloadJsonl(port, 0)).rejects.toMatchObject({ code: 'unreachable' });
    expect(saved).toEqual([]);
  });
});

test('a name that any file system takes', () => {
  expect(fileName('a:b', 'exec_01', '.log')).toBe('a_b-exec_01.log');
});
