/** The log, connected to the shell's address bar and keys. */

import type { JSX } from 'preact';
import { useCallback } from 'preact/hooks';
import { useApp, useHash, useQuery } from '../app/context.ts';
import './log.css';
import type { Page } from './page.ts';
import { openRegexWorker } from './regex-port.ts';
import { type LogPanelProps, LogView } from './view.tsx';

const OPEN_WORKER = typeof Worker === 'undefined' ? null : openRegexWorker;

/** For other panels that search. */
export function usePage(): Page {
  const { registerKeys } = useApp();
  const [query, setQuery] = useQuery();
  const hash = useHash();
  const setHash = useCallback((next: string) => location.replace(next), []);
  return { query, setQuery, hash, setHash, registerKeys, openWorker: OPEN_WORKER };
}

export function LogPanel(props: LogPanelProps): JSX.Element {
  return <LogView {...props} page={usePage()} />;
}
