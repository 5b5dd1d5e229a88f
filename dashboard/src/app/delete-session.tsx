import { useState } from 'preact/hooks';
import { HoldfastError } from '../../../client/index.ts';
import type { SessionSummary } from '../../../protocol/index.ts';
import { Button, Dialog, formatCount, Icon } from '../ui/index.ts';
import { callFailureText } from './access.ts';
import { useApp } from './context.ts';
import { asHoldfastError } from './use-list.ts';

export interface DeleteSessionProps {
  session: string;
  summary: SessionSummary | null;
  open: boolean;
  onClose(): void;
  onDeleted(): void;
}

/** Asks once, and names what is lost. */
export function DeleteSession({ session, summary, open, onClose, onDeleted }: DeleteSessionProps) {
  const { client, toast } = useApp();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<HoldfastError | null>(null);

  const close = (): void => {
    setProblem(null);
    onClose();
  };
  const remove = async (): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      await client.deleteSession(session);
    } catch (error) {
      // Already deleted by another request: the wanted state is reached.
      if (!(error instanceof HoldfastError && error.code === 'session_not_found')) {
        setProblem(asHoldfastError(error));
        return;
      }
    } finally {
      setBusy(false);
    }
    toast(`Session ${session} is deleted.`);
    onClose();
    onDeleted();
  };

  const total = summary ? Object.values(summary.counts).reduce((sum, n) => sum + n, 0) : null;
  const events = summary && summary.head > 0 ? summary.head - summary.earliest + 1 : 0;
  return (
    <Dialog
      title="Delete this session?"
      open={open}
      onClose={close}
      footer={
        <>
          <Button onClick={close}>Keep it</Button>
          <Button kind="danger" icon="trash" disabled={busy} onClick={remove}>
            {busy ? 'Deleting …' : 'Delete session'}
          </Button>
        </>
      }
    >
      <p>
        <code>{session}</code>
        {total === null
          ? ' goes with all its executions and its whole log.'
          : ` goes with ${formatCount(total)} ${total === 1 ? 'execution' : 'executions'} and ${formatCount(events)} ${events === 1 ? 'event' : 'events'} of its log.`}{' '}
        This cannot be undone.
      </p>
      {summary?.active ? (
        <p class="notice" data-kind="warn">
          <Icon name="warning" />
          <span>
            <code>{summary.active}</code> is active: its job is stopped, and its further output is lost.
          </span>
        </p>
      ) : null}
      <div aria-live="polite">
        {problem ? (
          <p class="field-error">
            <Icon name="warning" />
            <span>It could not be deleted: {callFailureText(problem)}.</span>
          </p>
        ) : null}
      </div>
    </Dialog>
  );
}
