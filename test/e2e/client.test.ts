/**
 * Goal: the client and the coordinator agree: pages of the log are the stream, a ticket is a
 * credential, a plain WebSocket is enough. Method: the real stack; one run of many lines, read in
 * every way that the client has.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient, HoldfastError, isEvent, type LoggedEvent } from '../../client/index.ts';
import { RealStack, until } from '../support/real-stack.ts';

const LINES = 30_000;

let real: RealStack;
let execution: string;
let streamed: LoggedEvent[];

beforeAll(async () => {
  real = await RealStack.start();
  const script = `for (let i = 1; i <= ${LINES}; i += 1) console.log('line ' + i + ' ' + 'x'.repeat(60))`;
  const started = await real.client.start('pages', { command: [process.execPath, '-e', script] });
  execution = started.execution.id;
  streamed = await real.read('pages', execution);
});
afterAll(() => real?.close());

async function readAll(client = real.client): Promise<{ events: LoggedEvent[]; pages: number }> {
  const events: LoggedEvent[] = [];
  let after = 0;
  for (let pages = 1; ; pages += 1) {
    const page = await client.readEvents('pages', { execution, after });
    events.push(...page.events);
    if (page.closed) return { events, pages };
    after = page.next;
  }
}

describe('a run of many lines', () => {
  test('[STR22] its pages are the streamed bytes, and the last one is marked as closed', async () => {
    const { events, pages } = await readAll();
    expect(pages).toBeGreaterThan(1);
    expect(events).toEqual(streamed);
    const text = events.flatMap((event) => (isEvent(event, 'output') ? [event.data.text] : [])).join('');
    expect(text.split('\n').length - 1).toBe(LINES);
  });

  test('every event of it is one of the known ones', () => {
    expect(streamed.filter((event) => !isEvent(event, event.type as 'output')).map(({ type }) => type)).toEqual([]);
  });

  test('a ticket reads the same, of its own execution only', async () => {
    const { ticket } = await real.client.execution('pages', execution).ticket();
    const reader = createClient({ url: real.stack.url, ticket });
    expect((await readAll(reader)).events.length).toBe(streamed.length);
    expect((await reader.get('pages', execution)).status).toBe('completed');
    const refused = await reader.readEvents('pages', { after: 0, execution: 'another' }).catch((error) => error);
    expect(refused).toBeInstanceOf(HoldfastError);
    const interrupted = await reader.interrupt('pages', execution).catch((error) => error);
    expect(interrupted).toMatchObject({ code: 'unauthorized' });
  });

  test('with an API key and the platform’s WebSocket the client creates tickets itself', async () => {
    const events: number[] = [];
    for await (const batch of real.client.execution('pages', execution).events().batches()) {
      events.push(...batch.map(({ offset }) => offset));
    }
    expect(events).toEqual(streamed.map(({ offset }) => offset));
  });
});

test('a session that is deleted is gone for its readers, and deleting it again is refused', async () => {
  await real.client.start('short', { command: [process.execPath, '-e', 'setInterval(() => {}, 60_000)'] });
  const stream = real.client.events('short');
  const reading = (async () => {
    for await (const _event of stream);
  })();
  await until(() => stream.state.status === 'live', 'the stream is live');
  await real.client.deleteSession('short');
  await expect(reading).rejects.toMatchObject({ name: 'StreamFailure', code: 'session_not_found' });
  await expect(real.client.deleteSession('short')).rejects.toMatchObject({ code: 'session_not_found' });
  await expect(real.client.readEvents('short', { after: 0 })).rejects.toMatchObject({ code: 'session_not_found' });
});
