/** One event of the log. It is read again, so that the stored event is shown. */

import { useEffect, useState } from 'preact/hooks';
import type { LoggedEvent } from '../../../client/index.ts';
import { useApp } from '../app/context.ts';
import { Button, CopyButton, Dialog } from '../ui/index.ts';
import { errorText } from './messages.ts';

interface Props {
  session: string;
  execution: string;
  generation: string | undefined;
  offset: number | null;
  onClose(): void;
  /** Shows what this event is in the conversation; null for a run without one. */
  onConversation: ((offset: number) => void) | null;
}

/** Types of events that are items of a conversation, or parts of one. */
const PRINTS = ['agent', 'agent_part', 'output', 'input', 'asking', 'answered', 'asking_ended', 'gap', 'error', 'status'];

type Loaded = { state: 'loading' } | { state: 'there'; event: LoggedEvent } | { state: 'failed'; error: unknown };

export function EventDialog({ session, execution, generation, offset, onClose, onConversation }: Props) {
  const { client } = useApp();
  const [loaded, setLoaded] = useState<Loaded>({ state: 'loading' });

  useEffect(() => {
    if (offset === null) return;
    const control = new AbortController();
    setLoaded({ state: 'loading' });
    client
      .readEvents(session, { execution, after: offset - 1, limit: 1, generation, signal: control.signal })
      .then(({ events: [event] }) => {
        if (event?.offset !== offset) throw new Error('This event is not kept any more.');
        setLoaded({ state: 'there', event });
      })
      .catch((error) => {
        if (!control.signal.aborted) setLoaded({ state: 'failed', error });
      });
    return () => control.abort();
  }, [client, session, execution, generation, offset]);

  const text = loaded.state === 'there' ? JSON.stringify(loaded.event, null, 2) : '';
  return (
    <Dialog
      title={offset === null ? 'Event' : `Event ${offset}`}
      open={offset !== null}
      onClose={onClose}
      footer={
        <>
          {text === '' ? null : <CopyButton text={text} label="Copy the JSON" />}
          {loaded.state === 'there' && onConversation && PRINTS.includes(loaded.event.type) ? (
            <Button onClick={() => onConversation(loaded.event.offset)}>Show in the conversation</Button>
          ) : null}
          <Button onClick={onClose}>Close</Button>
        </>
      }
    >
      {loaded.state === 'loading' ? <p>Loading…</p> : null}
      {loaded.state === 'failed' ? (
        <p class="exec-error" role="alert">
          {errorText(loaded.error)}
        </p>
      ) : null}
      {text === '' ? null : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard.
        <section class="exec-json" tabIndex={0} aria-label="The event as JSON">
          <pre>{text}</pre>
        </section>
      )}
    </Dialog>
  );
}
