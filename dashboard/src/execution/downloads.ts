/**
 * Downloads a log: the plain text as the coordinator streams it, or every event as a line of JSON.
 * Both work while the run continues and end at the current head.
 */

import type { HoldfastClient, LoggedEvent } from '../../../client/index.ts';
import { earliestOf } from './history-loader.ts';

/** A larger log is left to the browser's own download, which writes to the disk while it reads. */
export const BLOB_BYTES_MAX = 64 * 1024 * 1024;

/**
 * A run with more offsets than this is not downloaded into memory. A common batch has a few hundred
 * bytes to some kilobytes per offset.
 */
export const BLOB_OFFSETS_MAX = 50_000;

export interface DownloadPort {
  url: string;
  session: string;
  execution: string;
  /** The log that the page shows: another one is never downloaded in its place. */
  generation?: string | undefined;
  client: Pick<HoldfastClient, 'readEvents'>;
  fetch: typeof globalThis.fetch;
  /** An API key or a ticket, for the Authorization header. */
  bearer: string;
  getTicket(): Promise<string>;
  save(blob: Blob, name: string): void;
  /** Starts the browser's own download from an address. */
  open(address: string, name: string): void;
  onProgress(bytes: number): void;
  signal: AbortSignal;
}

export const fileName = (session: string, execution: string, extension: string): string =>
  `${session}-${execution}`.replaceAll(/[^A-Za-z0-9._-]/g, '_') + extension;

const logPathOf = (port: DownloadPort): string => {
  const { generation } = port;
  return `${pathOf(port)}/log${generation === undefined ? '' : `?generation=${generation}`}`;
};

const pathOf = ({ url, session, execution }: DownloadPort): string =>
  `${url}/v1/sessions/${encodeURIComponent(session)}/executions/${encodeURIComponent(execution)}`;

export async function downloadText(port: DownloadPort, offsets: number): Promise<'saved' | 'handed_over'> {
  const name = fileName(port.session, port.execution, '.log');
  if (offsets <= BLOB_OFFSETS_MAX) {
    const blob = await textBlob(port);
    if (blob) {
      port.save(blob, name);
      return 'saved';
    }
  }
  const ticket = await port.getTicket();
  const path = logPathOf(port);
  port.open(`${path}${path.includes('?') ? '&' : '?'}ticket=${encodeURIComponent(ticket)}`, name);
  return 'handed_over';
}

/** The whole text, or null when it is too large for memory. */
async function textBlob(port: DownloadPort): Promise<Blob | null> {
  const reading = new AbortController();
  const response = await port.fetch(logPathOf(port), {
    headers: { authorization: `Bearer ${port.bearer}` },
    redirect: 'error',
    signal: AbortSignal.any([port.signal, reading.signal]),
  });
  if (!response.ok || !response.body) throw await problemOf(response);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes += part.value.byteLength;
    if (bytes > BLOB_BYTES_MAX) {
      reading.abort();
      return null;
    }
    parts.push(part.value);
    port.onProgress(bytes);
  }
  return new Blob(parts, { type: response.headers.get('content-type') ?? 'text/plain;charset=utf-8' });
}

/**
 * Every stored event, in order. The parts of a Blob may be on disk, so the size of the log is not
 * bounded by the page's memory.
 */
export async function downloadJsonl(port: DownloadPort, bottom: number): Promise<'saved'> {
  const { client, session, execution, signal } = port;
  let { generation } = port;
  const parts: Blob[] = [];
  let after = bottom;
  let bytes = 0;
  for (;;) {
    let page: Awaited<ReturnType<typeof client.readEvents>>;
    try {
      page = await client.readEvents(session, { execution, after, generation, signal });
      generation ??= page.generation;
    } catch (error) {
      const earliest = earliestOf(error);
      if (earliest === null || earliest - 1 <= after) throw error;
      after = earliest - 1;
      continue;
    }
    signal.throwIfAborted();
    const part = new Blob([jsonLines(page.events)]);
    parts.push(part);
    bytes += part.size;
    port.onProgress(bytes);
    if (page.upToDate || page.closed) break;
    if (page.next <= after) throw new Error(`the log could not be read past offset ${after}`);
    after = page.next;
  }
  port.save(new Blob(parts, { type: 'application/jsonl' }), fileName(session, execution, '.jsonl'));
  return 'saved';
}

export const jsonLines = (events: readonly LoggedEvent[]): string => events.map((event) => `${JSON.stringify(event)}\n`).join('');

async function problemOf(response: Response): Promise<Error> {
  const text = await response.text().catch(() => '');
  try {
    const { detail, title, code } = JSON.parse(text) as { detail?: string; title?: string; code?: string };
    return Object.assign(new Error(detail ?? title ?? `HTTP ${response.status}`), { code, status: response.status });
  } catch {
    return Object.assign(new Error(`HTTP ${response.status}`), { status: response.status });
  }
}
