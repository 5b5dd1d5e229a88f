// @vitest-environment node
/**
 * Goal: a terminal on the page begins at the newest screen, comes back after a failure, and sends
 * keys and sizes only where the credential allows input. Method: the session with a stream in
 * memory, and an emulator without a window.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LoggedEvent, SessionStreamOptions } from '../../../client/index.ts';
import { TerminalSession, type TerminalSessionOptions } from '../../../dashboard/src/terminal/session.ts';
import { Headless } from '../../support/headless.ts';
import { FakeStream } from '../execution/fake-run.ts';

let streams: FakeStream[];
let sent: string[];
let judge: Headless;
let session: TerminalSession | null = null;
let offset = 0;

beforeEach(() => {
  streams = [];
  sent = [];
  judge = new Headless();
  offset = 0;
});
afterEach(() => session?.close());

const event = (type: string, data: Record<string, unknown>): LoggedEvent => {
  offset += 1;
  return { offset, execution: 'e1', type, at: 0, data };
};
const output = (text: string) => event('output', { stream: 'tty', text });
const screen = (data: string) => event('screen', { cols: 80, rows: 24, data, modes: '' });
const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 0));
};

function open(options: Partial<TerminalSessionOptions> = {}): TerminalSession {
  session = new TerminalSession({
    session: 's1',
    execution: 'e1',
    url: 'http://fake',
    client: {
      sendInput: async (_session, _execution, input) => {
        const { base64 = '' } = input as { base64?: string };
        sent.push(atob(base64));
      },
      resize: async (_session, _execution, size) => {
        sent.push(`${size.cols}x${size.rows}`);
        return { terminal: size, changed: true };
      },
    },
    getTicket: async () => 't',
    mayType: true,
    emulator: judge.terminal,
    onChange: () => {},
    connect: (given: SessionStreamOptions) => {
      const stream = new FakeStream(given);
      streams.push(stream);
      return stream;
    },
    ...options,
  });
  session.start();
  return session;
}

describe('[TS1] the stream', () => {
  test('asks for the newest screen of this run, and for what a terminal needs', async () => {
    open();
    await settle();
    expect(streams[0]?.options).toMatchObject({
      execution: 'e1',
      from: 'screen',
      types: ['started', 'output', 'screen', 'resize', 'gap'],
    });
    streams[0]?.send(screen('now'), output(' and later'));
    await settle();
    expect(judge.text).toBe('now and later');
    expect(session?.snapshot.size).toEqual({ cols: 80, rows: 24 });
  });

  test('a place that is no longer kept: it begins again at the newest screen', async () => {
    open();
    await settle();
    streams[0]?.send(screen('old'), output(' text'));
    await settle();
    streams[0]?.setState({ status: 'failed', code: 'offset_expired', reason: 'gone' });
    await settle();
    expect(streams).toHaveLength(2);
    streams[1]?.send(screen('new'));
    await settle();
    expect(judge.text).toBe('new');
  });

  test('another failure waits for the person, and reconnect begins again', async () => {
    open();
    await settle();
    streams[0]?.setState({ status: 'failed', code: 'unauthorized', reason: 'no' });
    await settle();
    expect(streams).toHaveLength(1);
    expect(session?.snapshot.stream?.status).toBe('failed');
    session?.reconnect();
    await settle();
    expect(streams).toHaveLength(2);
    streams[1]?.setState({ status: 'reconnecting', attempt: 2, retryInMs: 1000, code: 1006, reason: '' });
    session?.reconnect();
    expect(streams[1]?.reconnects).toBe(1);
  });

  test('after close it takes nothing, and has no connection', async () => {
    open();
    await settle();
    session?.close();
    streams[0]?.send(output('late'));
    await settle();
    expect(judge.text).toBe('');
    expect(streams[0]?.closed).toBe(true);
  });
});

describe('keys and sizes', () => {
  test('keys wait until the run takes them, as UTF-8', async () => {
    open();
    expect(session?.type('é')).toBe(true);
    session?.type(Uint8Array.from([255]));
    await settle();
    expect(sent).toEqual([]);
    session?.takesKeys();
    await settle();
    expect(sent.join('')).toBe('\u00c3\u00a9\u00ff');
  });

  test('typing alone changes no size; fitting does, until it is switched off', async () => {
    open();
    await settle();
    session?.takesKeys();
    streams[0]?.send(event('resize', { cols: 132, rows: 43 }));
    await settle();
    session?.type('a');
    await settle();
    expect(sent).toEqual(['a']);
    session?.fit({ cols: 100, rows: 30 });
    await settle();
    session?.fit({ cols: 101, rows: 30 });
    await settle();
    expect(session?.snapshot.fits).toBe(true);
    session?.fit(null);
    session?.type('b');
    await settle();
    expect(sent).toEqual(['a', '100x30', '101x30', 'b']);
  });

  test('[TS2] a credential that may only read sends nothing', async () => {
    open({ mayType: false });
    session?.takesKeys();
    expect(session?.type('a')).toBe(false);
    session?.fit({ cols: 100, rows: 30 });
    await settle();
    expect(sent).toEqual([]);
    expect(session?.snapshot.fits).toBe(false);
  });

  test('a failure is known, and later keys are refused', async () => {
    const client = {
      sendInput: async () => {
        throw Object.assign(new Error('no'), { code: 'stdin_closed' });
      },
      resize: async () => {
        throw new Error('no');
      },
    } as unknown as TerminalSessionOptions['client'];
    open({ client });
    session?.takesKeys();
    session?.type('a');
    await settle();
    expect(session?.snapshot.keysFailed).toMatchObject({ code: 'stdin_closed' });
    expect(session?.type('b')).toBe(false);
  });
});
