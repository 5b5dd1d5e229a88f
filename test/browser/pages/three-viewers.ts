/**
 * Runs in the browser: three readers of one execution, each as its own documentation would have it,
 * each keeping what it was given in `window.viewers`.
 *
 *   socket       this project's client, over WebSocket
 *   eventSource  the browser's own EventSource; created again with `after` and a fresh ticket when
 *                the browser closed it
 *   durable      @durable-streams/client, a foreign client of a public protocol; begun again at its
 *                last offset when it gave up
 *
 * No reader removes repeats: the test compares the received events.
 */

import { stream } from '@durable-streams/client';
import { connectSession } from '../../../client/index.ts';
import type { LoggedEvent } from '../../../protocol/index.ts';

export interface Seen {
  events: LoggedEvent[];
  /** The last offset that came, once or not, in order or not. */
  last: number;
  /** How often a connection was made or retried, as far as the reader knows. */
  attempts: number;
  end: string | null;
  failure: string | null;
}

export type Viewers = Record<'socket' | 'eventSource' | 'durable', Seen>;

declare global {
  interface Window {
    viewers: Viewers;
    begin(options: { url: string; session: string; execution: string; ticketSeconds: number }): void;
  }
}

const nothing = (): Seen => ({ events: [], last: 0, attempts: 0, end: null, failure: null });
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const terminal = /^execution_(completed|failed|interrupted)$/;

window.viewers = { socket: nothing(), eventSource: nothing(), durable: nothing() };

window.begin = ({ url, session, execution, ticketSeconds }) => {
  /** From the page's own backend, which holds the key. */
  const ticket = async (): Promise<string> => (await fetch(`/ticket?ttl=${ticketSeconds}`)).text();
  const failed =
    (seen: Seen) =>
    (error: unknown): void => {
      seen.failure = String(error);
    };
  const { socket, eventSource, durable } = window.viewers;

  const readSocket = async (): Promise<void> => {
    const stream = connectSession({
      url,
      session,
      execution,
      getTicket: ticket,
      onState: ({ status }) => {
        if (status === 'connecting') socket.attempts += 1;
      },
      onControl: (control) => {
        if (control.type === 'end') socket.end = control.status;
      },
    });
    for await (const event of stream) keep(socket, event);
  };

  const readEventSource = async (): Promise<void> => {
    while (eventSource.end === null) {
      eventSource.attempts += 1;
      const query = new URLSearchParams({ execution, after: String(eventSource.last), ticket: await ticket() });
      await untilGivenUp(new EventSource(`${url}/v1/sessions/${session}/stream?${query}`));
      await pause(200);
    }
  };

  /** EventSource tells only of the types it was asked for. */
  const TYPES = 'output agent status progress error interrupted exit gap started interrupt_requested input_sent'.split(' ');
  const FACTS = 'queued pending waiting assigned recalled running completed failed interrupted'
    .split(' ')
    .map((name) => `execution_${name}`);
  const CONNECTION = ['wrapper_connected', 'wrapper_disconnected', 'wrapper_reconnected'];

  function untilGivenUp(source: EventSource): Promise<void> {
    return new Promise((done) => {
      for (const type of [...TYPES, ...FACTS, ...CONNECTION]) {
        source.addEventListener(type, (message) => {
          // A broken connection is reported as `error` too, without data.
          if (!(message instanceof MessageEvent)) return;
          const { offset, execution, at, data } = JSON.parse(message.data);
          keep(eventSource, { offset, execution, type, at, data });
        });
      }
      source.addEventListener('end', (message) => {
        eventSource.end = JSON.parse((message as MessageEvent).data).status;
        source.close();
        done();
      });
      source.addEventListener('error', () => {
        if (source.readyState === EventSource.CLOSED) done();
      });
    });
  }

  const readDurable = async (): Promise<void> => {
    let offset = '-1';
    while (durable.end === null) {
      durable.attempts += 1;
      try {
        const response = await stream<LoggedEvent>({
          url: `${url}/v1/sessions/${session}/executions/${execution}/events`,
          params: { ticket },
          offset,
          json: true,
          warnOnHttp: false,
        });
        response.subscribeJson((batch) => {
          for (const event of batch.items) keep(durable, event);
          offset = batch.offset;
          const last = durable.events.at(-1);
          if (batch.streamClosed) durable.end = (last?.type ?? '').replace(terminal, '$1');
        });
        await response.closed;
      } catch {
        // Whatever broke it: it resumes at the last offset.
      }
      if (durable.end === null) await pause(200);
    }
  };

  readSocket().catch(failed(socket));
  readEventSource().catch(failed(eventSource));
  readDurable().catch(failed(durable));
};

function keep(seen: Seen, event: LoggedEvent): void {
  seen.events.push(event);
  seen.last = event.offset;
}
