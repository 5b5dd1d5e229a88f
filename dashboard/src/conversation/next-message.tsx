/**
 * The next message of a conversation whose run has ended: another run, which continues it. Shown
 * only where the command of that run is known.
 */

import { useState } from 'preact/hooks';
import type { Summary } from '../../../agent/index.ts';
import { nextStart, sendNext } from '../../../client/agent.ts';
import type { Execution } from '../../../protocol/index.ts';
import { useApp } from '../app/context.ts';
import { executionPath } from '../app/router.ts';
import { type Draft, useTask } from '../execution/hooks.ts';
import { Button } from '../ui/index.ts';

interface Props {
  last: Execution;
  summary: Summary;
  /** The whole conversation is loaded. */
  isWhole: boolean;
  errorText(error: unknown): string;
  /** Default: goes to its page. */
  onStarted?: ((started: Execution) => void) | undefined;
  /** The message is on its way: its outcome is not shown if this is taken away. */
  onBusy?: ((busy: boolean) => void) | undefined;
  /** What is being written, where it outlives this box. */
  draft?: Draft | undefined;
}

export function NextMessage({ last, summary, isWhole, errorText, onStarted, onBusy, draft }: Props) {
  const { client, navigate } = useApp();
  const own = useState('');
  const [text, setText] = draft ?? own;
  const work = useTask();
  if (nextStart(last, summary, 'x') === null) return <p class="talk-next-none">{whyNot(summary, isWhole)}</p>;
  const message = text.trim();
  const send = () => {
    if (message === '') return;
    onBusy?.(true);
    void work
      .run(async (signal) => {
        // Not cancelled with this box: the run has begun, and would wait for its message.
        const started = await sendNext(client, last, summary, message);
        if (!onStarted) return signal.aborted ? undefined : navigate(executionPath(started.session, started.id));
        setText('');
        onStarted(started);
      })
      .finally(() => onBusy?.(false));
  };
  return (
    <form
      class="exec-input"
      aria-label="Next message to the agent"
      onSubmit={(submit) => {
        submit.preventDefault();
        send();
      }}
    >
      {work.error ? (
        <p class="exec-error" role="alert">
          {isNotSent(work.error) ? 'The run ended before its agent had the message. Send it again.' : errorText(work.error)}
        </p>
      ) : null}
      {work.busy ? (
        <p class="talk-next-none" role="status">
          Starting the next run. Stay on this page until the agent has the message.
        </p>
      ) : null}
      <div class="exec-input-line">
        <textarea
          aria-label="Next message to the agent"
          placeholder="Next message: begins another run"
          title="It continues this run, with its terms. The variables of this run were not kept."
          rows={Math.min(6, text.split('\n').length)}
          value={text}
          disabled={work.busy}
          onInput={(input) => setText(input.currentTarget.value)}
          onKeyDown={(key) => {
            if (key.key !== 'Enter' || key.shiftKey || key.isComposing) return;
            key.preventDefault();
            send();
          }}
        />
        <Button type="submit" kind="primary" disabled={work.busy || message === ''}>
          Send
        </Button>
      </div>
    </form>
  );
}

const isNotSent = (error: unknown): boolean => (error as { code?: unknown }).code === 'not_running';

function whyNot({ sessionId }: Summary, isWhole: boolean): string {
  if (sessionId !== null) return 'The conversation cannot be continued here: its command is not that of a known agent.';
  return isWhole
    ? 'The conversation cannot be continued: the agent did not name it.'
    : 'To continue the conversation, load its beginning: the agent named it there.';
}
