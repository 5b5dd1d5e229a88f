/** Confirms before it stops a job. */

import { useState } from 'preact/hooks';
import { Button, Dialog, formatDuration } from '../ui/index.ts';
import { Field } from './components.tsx';
import { REASON_CHARS_MAX } from './model.ts';
import type { Facts } from './run-facts.ts';

interface Props {
  facts: Facts;
  /** Null: closed. */
  kind: 'interrupt' | 'force' | null;
  onClose(): void;
  onConfirm(kind: 'interrupt' | 'force', reason: string): void;
}

export function InterruptDialog({ facts, kind, onClose, onConfirm }: Props) {
  const [reason, setReason] = useState('');
  const { status, policy } = facts.execution;
  const running = status === 'running';
  const force = kind === 'force';
  const title = force ? 'Force the end of this run?' : running ? 'Interrupt this run?' : 'Cancel this run?';
  const confirm = () => kind && onConfirm(kind, reason.trim());
  return (
    <Dialog
      title={title}
      open={kind !== null}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Keep it running</Button>
          <Button kind="danger" onClick={confirm}>
            {force ? 'Force the end' : running ? 'Interrupt' : 'Cancel the run'}
          </Button>
        </>
      }
    >
      <form
        onSubmit={(submit) => {
          submit.preventDefault();
          confirm();
        }}
      >
        <p>
          {force
            ? 'The job is killed at once (SIGKILL): it cannot clean up. If the wrapper does not answer, the run is ended without its confirmation.'
            : running
              ? `The job is asked to stop (SIGINT), then killed (SIGTERM, SIGKILL). If the wrapper delivers nothing for ${formatDuration(policy.interruptGraceMs)}, the run is ended without its confirmation.`
              : 'It has not begun; it ends at once and its command never runs.'}
        </p>
        <Field id="interrupt-reason" label="Reason (optional)" hint="It becomes part of the log.">
          <input
            autofocus
            id="interrupt-reason"
            type="text"
            value={reason}
            maxLength={REASON_CHARS_MAX}
            autocomplete="off"
            aria-describedby="interrupt-reason-hint"
            onInput={(input) => setReason(input.currentTarget.value)}
          />
        </Field>
      </form>
    </Dialog>
  );
}
