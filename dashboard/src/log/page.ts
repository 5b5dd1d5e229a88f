/** The port from the log to the page around it. */

import type { OpenWorker } from './regex-port.ts';

export interface PageKeyBinding {
  keys: string[];
  label: string;
  run(): void;
}

/** The address bar and the keyboard of the shell. */
export interface Page {
  query: URLSearchParams;
  setQuery(change: Record<string, string | null>, options?: { replace?: boolean }): void;
  hash: string;
  setHash(hash: string): void;
  registerKeys(keys: PageKeyBinding[]): () => void;
  openWorker: OpenWorker | null;
}
