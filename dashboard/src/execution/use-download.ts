/**
 * The browser's side of a download: saves a blob, or passes an address to the browser's own
 * download.
 */

import { useState } from 'preact/hooks';
import { useApp } from '../app/context.ts';
import { type DownloadPort, downloadJsonl, downloadText } from './downloads.ts';
import { type Task, useTask } from './hooks.ts';
import { bottomOf } from './log-window.ts';
import type { Execution } from './model.ts';

/** The browser needs the object's address until it has begun to write. */
const REVOKE_AFTER_MS = 60_000;

function click(address: string, name: string): void {
  const anchor = document.createElement('a');
  anchor.href = address;
  anchor.download = name;
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
}

function save(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob);
  click(address, name);
  setTimeout(() => URL.revokeObjectURL(address), REVOKE_AFTER_MS);
}

export interface Download extends Task {
  readonly bytes: number;
  start(
    kind: 'text' | 'jsonl',
    execution: Execution,
    bounds: { earliest: number; head: number; generation: string | undefined },
  ): void;
}

export function useDownload(): Download {
  const { client, credential, getTicket, toast } = useApp();
  const [bytes, setBytes] = useState(0);
  const work = useTask();
  return {
    ...work,
    bytes,
    start(kind, execution, { earliest, head, generation }) {
      const { session, id, firstOffset, lastOffset } = execution;
      setBytes(0);
      void work.run(async (signal) => {
        const port: DownloadPort = {
          url: location.origin,
          session,
          execution: id,
          generation,
          client,
          fetch: (...call) => fetch(...call),
          bearer: credential.kind === 'key' ? credential.apiKey : credential.ticket,
          getTicket: () => getTicket(session, id),
          save,
          open: click,
          onProgress: setBytes,
          signal,
        };
        if (kind === 'jsonl') await downloadJsonl(port, bottomOf({ firstOffset, earliest }));
        else if ((await downloadText(port, (lastOffset ?? head) - firstOffset)) === 'handed_over') {
          toast('The log is large: the browser downloads it by itself.');
        }
      });
    },
  };
}
