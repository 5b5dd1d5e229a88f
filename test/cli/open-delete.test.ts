/**
 * Goal: `open` gives the right address and opens nothing unasked; `delete` deletes nothing unasked.
 * Method: the program in this process against a coordinator that a test steers, with a browser that
 * only notes what it is given.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CallOptions, result as resultOf } from '../support/cli-call.ts';
import { FakeSession } from '../support/fake-session.ts';

let fake: FakeSession;

beforeEach(async () => {
  fake = await new FakeSession().start();
});
afterEach(() => fake.stop());

const result = (args: string[], options?: CallOptions) => resultOf(fake.url, args, options);

describe('open', () => {
  test('prints the address of the page; on a terminal it opens it too', async () => {
    fake.addExecution('e1');
    const page = `${fake.url}/sessions/s1/executions/e1`;
    expect(await result(['open', 's1/e1'])).toMatchObject({ code: 0, out: `${page}\n`, err: '', opened: [] });
    expect(await result(['open', 's1/e1'], { tty: true })).toMatchObject({ code: 0, out: `${page}\n`, err: '', opened: [page] });
    expect((await result(['open', 's1/e1', '--print'], { tty: true })).opened).toEqual([]);
    expect(JSON.parse((await result(['open', 's1/e1', '--json'], { tty: true })).out)).toEqual({ url: page });
  });

  test('without an execution it is the page of the session, or of the deployment', async () => {
    expect((await result(['open', '-s', 's1'])).out).toBe(`${fake.url}/sessions/s1\n`);
    expect((await result(['open'], { env: { HOLDFAST_SESSION: 's:2' } })).out).toBe(`${fake.url}/sessions/s%3A2\n`);
    expect((await result(['open', '--url', `${fake.url}/`])).out).toBe(`${fake.url}/\n`);
  });

  test('a missing run is reported, and no browser is opened', async () => {
    const { code, out, err, opened } = await result(['open', 's1/none'], { tty: true });
    expect([code, out, opened]).toEqual([125, '', []]);
    expect(err).toContain('holdfast list --session s1');
  });

  test('where no browser can be opened the address is enough', async () => {
    const { code, out, err } = await result(['open', '-s', 's1'], { tty: true, browser: 'there is no xdg-open' });
    expect([code, out]).toEqual([0, `${fake.url}/sessions/s1\n`]);
    expect(err).toContain('no browser was opened (there is no xdg-open)');
  });

  test('--share prints a link with a ticket for this one run, and opens nothing', async () => {
    const { code, out, err, opened } = await result(['open', 's1/e1', '--share', '--ttl', '5m'], { tty: true });
    expect([code, out, opened]).toEqual([0, `${fake.url}/sessions/s1/executions/e1#ticket=t1\n`, []]);
    expect(err).toContain('anyone with this link can read s1/e1, and nothing else, until 1970-01-01T00:00:00.000Z');
    expect(fake.requests.at(-1)?.body).toEqual({ execution: 'e1', ttlSeconds: 300, untilSeconds: 300 });
    await result(['open', 's1/e1', '--share']);
    expect(fake.requests.at(-1)?.body).toEqual({ execution: 'e1', ttlSeconds: 900, untilSeconds: 900 });
  });
});

describe('delete', () => {
  test('asks on a terminal, and does nothing unless the answer is yes', async () => {
    fake.addExecution('e1');
    for (const stdin of ['', '\n', 'n\n', 'yess\n']) {
      const { code, err } = await result(['delete', 's1'], { tty: true, stdin });
      expect(code).toBe(1);
      expect(err).toContain('Delete session s1 with its');
      expect(err).toContain('nothing was deleted');
    }
    expect(fake.deleted).toBe(false);
    expect((await result(['delete', 's1'], { tty: true, stdin: 'Y\n' })).code).toBe(0);
    expect(fake.deleted).toBe(true);
  });

  test('a lost answer is retried, and an already deleted session counts as success', async () => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /DELETE/, override: 'cut-after' });
    const { code, err } = await result(['delete', '-y', 's1']);
    expect([code, fake.deleted]).toEqual([0, true]);
    expect(err).toContain('session s1 is deleted');
    expect(fake.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(2);
  });

  test('with --yes it does not ask; a missing session cannot be deleted', async () => {
    expect(JSON.parse((await result(['delete', '-y', '--json', 's1'])).out)).toEqual({ deleted: 's1' });
    expect(fake.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(1);
    expect((await result(['delete', '-y', 's1'])).code).toBe(125);
    expect(fake.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(1);
  });
});
