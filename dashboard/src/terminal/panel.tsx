/**
 * The terminal of a run, in the place of its log. A chunk of its own: the page loads it for a run
 * that has a terminal.
 */

import { useEffect, useRef, useState } from 'preact/hooks';
import { useApp } from '../app/context.ts';
import type { FeedOptions } from '../execution/feed-types.ts';
import { errorText } from '../execution/messages.ts';
import { streamView } from '../execution/stream-view.ts';
import { Button } from '../ui/index.ts';
import { PageEmulator, type SpecialKey } from './emulator.ts';
import { TerminalSession, type TerminalSnapshot } from './session.ts';
import './terminal.css';

/** A window that is dragged changes its size many times. */
const SIZE_SETTLES_MS = 250;

const PHONE_KEYS: readonly [SpecialKey, string, string][] = [
  ['Escape', 'Esc', 'Esc key'],
  ['Tab', 'Tab', 'Tab key'],
  ['Ctrl-C', '^C', '^C, Control C'],
  ['ArrowUp', '↑', 'Arrow up'],
  ['ArrowDown', '↓', 'Arrow down'],
  ['ArrowLeft', '←', 'Arrow left'],
  ['ArrowRight', '→', 'Arrow right'],
];

export interface TerminalPanelProps {
  session: string;
  execution: string;
  isRunning: boolean;
  /** No further event will arrive. */
  over: boolean;
  connect?: FeedOptions['connect'];
}

interface Parts {
  emulator: PageEmulator;
  session: TerminalSession;
}

export default function TerminalPanel({ session, execution, isRunning, over, connect }: TerminalPanelProps) {
  const { client, getTicket, may, toast } = useApp();
  const mayType = may.input;
  const host = useRef<HTMLDivElement>(null);
  const bar = useRef<HTMLDivElement>(null);
  const parts = useRef<Parts | null>(null);
  const running = useRef(isRunning);
  const [snapshot, setSnapshot] = useState<TerminalSnapshot | null>(null);
  const [title, setTitle] = useState('');

  useEffect(() => {
    const place = host.current;
    if (!place) return;
    let made: Parts | null = null;
    let frame: ReturnType<typeof setTimeout> | null = null;
    const onChange = () => {
      frame ??= setTimeout(() => {
        frame = null;
        setSnapshot(made?.session.snapshot ?? null);
      }, 16);
    };
    const emulator = new PageEmulator(place, {
      mayType,
      label: mayType ? 'Terminal: keys go to the run. Ctrl+Shift+L leaves it' : 'Terminal, read only. Ctrl+Shift+L leaves it',
      keys: {
        onKeys: (keys) => {
          if (made && !made.session.type(keys)) toast('These keys were not sent: the run has not read the earlier ones.', 'error');
        },
        onLeave: () => bar.current?.querySelector<HTMLElement>('button, [tabindex]')?.focus(),
        onTitle: setTitle,
      },
    });
    made = {
      emulator,
      session: new TerminalSession({
        session,
        execution,
        url: location.origin,
        client,
        getTicket: () => getTicket(session, execution),
        mayType,
        emulator,
        onChange,
        ...(connect ? { connect } : {}),
      }),
    };
    parts.current = made;
    made.session.start();
    if (running.current) made.session.takesKeys();
    let settles: ReturnType<typeof setTimeout> | null = null;
    const observer = new ResizeObserver(() => {
      emulator.layout();
      if (settles) clearTimeout(settles);
      settles = setTimeout(() => {
        const size = emulator.fitting;
        if (size && made?.session.snapshot.fits) made.session.fit(size);
      }, SIZE_SETTLES_MS);
    });
    observer.observe(place);
    return () => {
      parts.current = null;
      observer.disconnect();
      if (settles) clearTimeout(settles);
      if (frame) clearTimeout(frame);
      made?.session.close();
      emulator.close();
    };
  }, [client, session, execution, mayType, getTicket, connect, toast]);

  useEffect(() => {
    running.current = isRunning;
    if (isRunning) parts.current?.session.takesKeys();
  }, [isRunning]);

  const writes = mayType && isRunning && !over;
  const { size, stream, fits, keysFailed } = snapshot ?? { size: null, stream: null, fits: false, keysFailed: null };
  const { kind, label } = streamView(stream, 0, 0);
  const paste = async () => {
    try {
      parts.current?.emulator.paste(await navigator.clipboard.readText());
      parts.current?.emulator.focus();
    } catch {
      toast('The browser does not give the clipboard to this page. Use Ctrl+Shift+V, or ⌘V, in the terminal.', 'error');
    }
  };

  return (
    <div class="term">
      <div class="term-bar" ref={bar} role="toolbar" aria-label="Terminal">
        {size ? (
          <span class="term-size">
            <span class="exec-hidden">Columns and rows: </span>
            {size.cols} × {size.rows}
          </span>
        ) : null}
        {title === '' ? null : <span class="term-title">{title}</span>}
        {kind === 'reconnecting' || kind === 'failed' ? (
          <span class="term-state" role="status">
            {label}
            <Button size="small" onClick={() => parts.current?.session.reconnect()}>
              Reconnect
            </Button>
          </span>
        ) : null}
        {keysFailed === null || over ? null : (
          <span class="term-state" role="alert">
            Keys are not sent any more: {errorText(keysFailed)}
          </span>
        )}
        <span class="term-tools">
          {mayType || over ? null : <span class="term-badge">Read only</span>}
          {writes ? (
            <>
              <Button
                size="small"
                pressed={fits}
                title="Give the terminal the size of this window"
                onClick={() => {
                  const live = parts.current;
                  live?.session.fit(fits ? null : live.emulator.fitting);
                  live?.emulator.focus();
                }}
              >
                Fit to window
              </Button>
              <Button size="small" title="Paste the clipboard (Ctrl+Shift+V)" onClick={() => void paste()}>
                Paste
              </Button>
            </>
          ) : null}
        </span>
      </div>
      <section class="term-screen" aria-label="Screen of the terminal" ref={host} />
      {writes ? (
        <div class="term-keys" role="toolbar" aria-label="Keys">
          {PHONE_KEYS.map(([key, shown, name]) => (
            <Button
              key={key}
              aria-label={name}
              onClick={() => {
                parts.current?.emulator.press(key);
                parts.current?.emulator.focus();
              }}
            >
              {shown}
            </Button>
          ))}
        </div>
      ) : null}
    </div>
  );
}
