/** The log, connected to the shell's address bar and keys. */

import type { JSX } from 'preact';
import { useCallback } from 'preact/hooks';
import { useApp, useHash, useQuery } from '../app/context.ts';
import './log.css';
import { openRegexWorker } from './regex-port.ts';
import { type LogPanelProps, LogView } from './view.tsx';

const OPEN_WORKER = typeof Worker === 'undefined' ? null : openRegexWorker;

export function LogPanel(props: LogPanelProps): JSX.Element {
  const { registerKeys } = useApp();
  const [query, setQuery] = useQuery();
  const hash = useHash();
  const setHash = useCallback((next: string) => location.replace(next), []);
  return <LogView {...props} page={{ query, setQuery, hash, setHash, registerKeys, openWorker: OPEN_WORKER }} />;
}
