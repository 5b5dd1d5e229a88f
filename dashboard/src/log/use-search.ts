/**
 * Runs a search in the background: in slices, again for what changed, until there is nothing left
 * to search.
 */

import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Query } from './match.ts';
import { type OpenWorker, RegexPort } from './regex-port.ts';
import type { Mask } from './rows.ts';
import { Search, type Searched } from './search.ts';

/** A slice leaves half of a frame to the page. */
const SLICE_MS = 8;

export function useSearch(model: Searched, mask: Mask, query: Query, openWorker: OpenWorker | null): Search {
  const [, setProgress] = useState(0);
  const port = useMemo(() => (openWorker === null || !query.regex ? null : new RegexPort(openWorker)), [openWorker, query.regex]);
  useEffect(() => () => port?.close(), [port]);
  const search = useMemo(() => new Search(model, mask, query, port), [model, mask, query, port]);
  useEffect(() => {
    if (query.text === '') return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let running = false;
    let again = false;
    const slice = async (): Promise<void> => {
      timer = undefined;
      running = true;
      again = false;
      const started = performance.now();
      const done = await search.step(() => performance.now() - started < SLICE_MS);
      running = false;
      setProgress((progress) => progress + 1);
      if (!done || again) timer = setTimeout(slice, 0);
    };
    const wake = (): void => {
      if (running) again = true;
      else timer ??= setTimeout(slice, 0);
    };
    wake();
    const unsubscribe = model.subscribe(wake);
    return () => {
      unsubscribe();
      clearTimeout(timer);
      search.close();
    };
  }, [model, search, query.text]);
  return search;
}
