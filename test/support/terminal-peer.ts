/**
 * A wrapper whose terminal the test plays: it sends output and screens as told, and records the
 * keys and sizes that it gets. The coordinator is a real one. Does not reconnect.
 */

import { WebSocket } from 'ws';
import type { HoldfastClient } from '../../client/index.ts';
import {
  type Command,
  FEATURE_INPUT2,
  FEATURE_TTY,
  INGEST_SUBPROTOCOL,
  PROTOCOL_VERSION,
  type TerminalSize,
} from '../../protocol/index.ts';

export class TerminalPeer {
  readonly session: string;
  readonly id: string;
  readonly size: TerminalSize;
  /** What the program could read. */
  keys = '';
  readonly sizes: string[] = [];
  readonly #socket: WebSocket;
  #seq = 1;

  private constructor(session: string, id: string, size: TerminalSize, socket: WebSocket) {
    this.session = session;
    this.id = id;
    this.size = size;
    this.#socket = socket;
  }

  static async start(
    client: HoldfastClient,
    session: string,
    size: TerminalSize = { cols: 80, rows: 24 },
    command: string[] = ['vim', 'notes.txt'],
  ): Promise<TerminalPeer> {
    const { execution, ingest } = await client.start(session, { command, terminal: size, launcher: 'none' });
    const socket = new WebSocket(ingest.url.replace(/^http/, 'ws'), INGEST_SUBPROTOCOL, {
      headers: { authorization: `Bearer ${ingest.token}` },
    });
    const peer = new TerminalPeer(session, execution.id, size, socket);
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('open', () => {
        const hello = { protocol: PROTOCOL_VERSION, wrapperId: 'w_peer', bootId: 'b_peer', nextSeq: 1, lost: 0 };
        socket.send(JSON.stringify({ type: 'hello', ...hello, features: [FEATURE_INPUT2, FEATURE_TTY] }));
      });
      socket.on('message', (data) => {
        const frame = JSON.parse(String(data)) as { type: string; commands?: Command[] } & Command;
        if (frame.type === 'welcome') {
          for (const command of frame.commands ?? []) peer.#take(command);
          resolve();
        }
        if (frame.type === 'command') peer.#take(frame);
      });
    });
    peer.send({ type: 'started', data: { pid: 1, command, terminal: size } });
    return peer;
  }

  get path(): string {
    return `/sessions/${this.session}/executions/${this.id}`;
  }

  send(...events: { type: string; data: object }[]): void {
    const lines = events.map((event) => JSON.stringify({ ...event, at: Date.now() }));
    this.#socket.send([JSON.stringify({ type: 'events', seq: this.#seq, count: events.length }), ...lines].join('\n'));
    this.#seq += events.length;
  }

  output(text: string): void {
    this.send({ type: 'output', data: { stream: 'tty', text } });
  }

  screen(data: string, extra: Record<string, unknown> = {}): void {
    this.send({ type: 'screen', data: { ...this.size, data, modes: '', ...extra } });
  }

  exit(exitCode = 0): void {
    this.send({ type: 'exit', data: { exitCode, signal: null } });
  }

  close(): void {
    this.#socket.terminate();
  }

  #take({ id, command, data }: Command): void {
    if (command === 'input') this.keys += data.text ?? Buffer.from(data.base64 ?? '', 'base64').toString('latin1');
    if (command === 'resize') this.sizes.push(`${data.cols}x${data.rows}`);
    this.#socket.send(JSON.stringify({ type: 'command_ack', id }));
  }
}
