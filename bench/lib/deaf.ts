/**
 * Readers that ask for a whole log and then read nothing: a plain TCP connection that is paused
 * behind the head of the answer. Owns its socket.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { STREAM_SUBPROTOCOL } from '../../protocol/index.ts';
import { API_KEY, type HoldfastRun } from './systems.ts';

export const DEAF_READERS = ['websocket', 'websocket with flow=ack', 'event stream', 'log', 'durable streams'] as const;
export type DeafReader = (typeof DEAF_READERS)[number];

const UPGRADE = [
  'connection: Upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: ZGVhZi1yZWFkZXItMDAwMA==',
  `sec-websocket-protocol: ${STREAM_SUBPROTOCOL}`,
];

function requestOf(reader: DeafReader, { session, execution }: HoldfastRun): { path: string; headers: readonly string[] } {
  const base = `/v1/sessions/${session}`;
  switch (reader) {
    case 'websocket':
      return { path: `${base}/stream?after=0`, headers: UPGRADE };
    case 'websocket with flow=ack':
      return { path: `${base}/stream?after=0&flow=ack`, headers: UPGRADE };
    case 'event stream':
      return { path: `${base}/stream?after=0`, headers: ['accept: text/event-stream'] };
    case 'log':
      return { path: `${base}/executions/${execution}/log?follow=1`, headers: [] };
    case 'durable streams':
      return { path: `${base}/events?offset=-1&live=sse`, headers: [] };
    default:
      return reader satisfies never;
  }
}

/**
 * Resolves when the first bytes of the answer are there. From then on nothing is read; the kernel's
 * buffers take a few MiB.
 */
export async function openDeaf(url: string, run: HoldfastRun, reader: DeafReader): Promise<Socket> {
  const { hostname, port, host } = new URL(url);
  const { path, headers } = requestOf(reader, run);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = [`GET ${path} HTTP/1.1`, `host: ${host}`, `authorization: Bearer ${API_KEY}`, ...headers];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const [first] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(first.toString('latin1'))?.[1]);
  if (status !== 101 && status !== 200) throw new Error(`${reader}: ${first.toString().slice(0, 300)}`);
  return socket;
}
