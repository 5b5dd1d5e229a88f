/** A link that lets anyone who has it read this run, and nothing else, for a limited time. */

import { useEffect, useState } from 'preact/hooks';
import { useApp } from '../app/context.ts';
import { executionPath } from '../app/router.ts';
import { Button, CopyButton, Dialog } from '../ui/index.ts';
import { Field, timeOfDay } from './components.tsx';
import { useTask } from './hooks.ts';
import { errorText } from './messages.ts';
import { TICKET_TTL_SECONDS_MAX } from './model.ts';

const TIMES: readonly [number, string][] = [
  [300, '5 minutes'],
  [900, '15 minutes'],
  [TICKET_TTL_SECONDS_MAX, '1 hour'],
];

interface Props {
  session: string;
  execution: string;
  open: boolean;
  onClose(): void;
}

export function ShareDialog({ session, execution, open, onClose }: Props) {
  const { client } = useApp();
  const [ttlSeconds, setTtl] = useState(TICKET_TTL_SECONDS_MAX);
  const [link, setLink] = useState<{ url: string; expiresAt: number } | null>(null);
  const work = useTask();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a created link is forgotten when the dialog closes.
  useEffect(() => {
    setLink(null);
    work.clear();
  }, [open]);

  const make = () =>
    work.run(async (signal) => {
      // A page that was opened with the link ends with it, too (STR33).
      const { ticket, expiresAt } = await client.createTicket(
        session,
        { execution, ttlSeconds, untilSeconds: ttlSeconds },
        { signal },
      );
      setLink({ url: `${location.origin}${executionPath(session, execution)}#ticket=${ticket}`, expiresAt });
    });

  return (
    <Dialog
      title="Share this run"
      open={open}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" disabled={work.busy} onClick={() => void make()}>
            {work.busy ? 'Making a link…' : link ? 'Make a new link' : 'Make a link'}
          </Button>
        </>
      }
    >
      <p>
        Anyone who has the link can read this run and its log until the link expires. A page that is open then stops as well. The
        link does not allow them to stop the run, to send it input, or to see other runs.
      </p>
      <Field id="share-ttl" label="Valid for">
        <select
          id="share-ttl"
          value={String(ttlSeconds)}
          onChange={(change) => {
            setTtl(Number(change.currentTarget.value));
            setLink(null);
          }}
        >
          {TIMES.map(([seconds, words]) => (
            <option key={seconds} value={String(seconds)}>
              {words}
            </option>
          ))}
        </select>
      </Field>
      {work.error ? (
        <p class="exec-error" role="alert">
          {errorText(work.error)}
        </p>
      ) : null}
      {link ? (
        <Field id="share-link" label="Link" hint={`Expires at ${timeOfDay(link.expiresAt)}. It cannot be revoked earlier.`}>
          <div class="exec-input-line">
            <input id="share-link" type="text" readOnly value={link.url} onFocus={(focus) => focus.currentTarget.select()} />
            <CopyButton text={link.url} label="Copy the link" />
          </div>
        </Field>
      ) : null}
    </Dialog>
  );
}
