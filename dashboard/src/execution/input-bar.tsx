/**
 * Text for the job's stdin, or a message for an agent that reads messages there. Shown only while the run accepts input. The client repeats a text whose
 * answer was lost, and the job reads it once. When no answer comes at all, it is unknown whether
 * the job got it, and the page says so.
 */

import { useEffect, useRef, useState } from 'preact/hooks';
import { useApp } from '../app/context.ts';
import { Button } from '../ui/index.ts';
import type { Draft } from './hooks.ts';
import { errorText } from './messages.ts';

interface Sent {
  id: number;
  text: string;
  state: 'sending' | 'accepted' | 'refused' | 'unknown';
  detail: string | null;
}

/** Enough to see the results of the last ones. */
const SHOWN_MAX = 3;

interface Props {
  session: string;
  execution: string;
  /** Of an agent that reads messages: the line that it reads. Null: the text itself, and a newline. */
  encode: ((text: string) => Promise<string>) | null;
  /** Gets the function that moves the focus here. */
  onReady(focus: () => void): void;
  /** What is being written, where it outlives this box. */
  draft?: Draft | undefined;
}

export function InputBar({ session, execution, encode, onReady, draft }: Props) {
  const { client } = useApp();
  const own = useState('');
  const [text, setText] = draft ?? own;
  const [sent, setSent] = useState<readonly Sent[]>([]);
  const field = useRef<HTMLTextAreaElement>(null);
  const next = useRef(1);

  useEffect(() => onReady(() => field.current?.focus()), [onReady]);

  const send = async () => {
    const id = next.current;
    next.current += 1;
    setText('');
    setSent((before) => [...before.slice(1 - SHOWN_MAX), { id, text, state: 'sending', detail: null }]);
    const settle = (state: Sent['state'], detail: string | null) =>
      setSent((before) => before.map((item) => (item.id === id ? { ...item, state, detail } : item)));
    try {
      await client.sendInput(session, execution, { text: encode ? await encode(text) : `${text}\n` });
      settle('accepted', null);
    } catch (error) {
      const status = (error as { status?: unknown } | null)?.status;
      const refused = typeof status === 'number' && status >= 400 && status < 500;
      settle(
        refused ? 'refused' : 'unknown',
        refused ? errorText(error) : 'There was no answer: it may or may not have reached the job.',
      );
      if (refused) setText((now) => (now === '' ? text : now));
    }
  };

  return (
    <form
      class="exec-input"
      aria-label={encode ? 'Message to the agent' : 'Input of the job'}
      onSubmit={(submit) => {
        submit.preventDefault();
        void send();
      }}
    >
      {sent.length > 0 ? (
        <ul class="exec-sent" aria-live="polite">
          {sent.map((item) => (
            <li key={item.id} class={`exec-sent-${item.state}`}>
              <code>{item.text === '' ? '(empty line)' : item.text}</code> <span>{SENT_WORDS[item.state]}</span>
              {item.detail ? <span> {item.detail}</span> : null}
            </li>
          ))}
        </ul>
      ) : null}
      <div class="exec-input-line">
        <textarea
          ref={field}
          aria-label={encode ? 'Message to the agent' : 'Text for the job’s stdin'}
          placeholder={`${encode ? 'Message to the agent: Enter sends it' : 'Text for stdin: Enter sends it with a newline'}, Shift+Enter begins a new line`}
          rows={Math.min(6, text.split('\n').length)}
          value={text}
          spellcheck={false}
          onInput={(input) => setText(input.currentTarget.value)}
          onKeyDown={(key) => {
            if (key.key !== 'Enter' || key.shiftKey || key.isComposing) return;
            key.preventDefault();
            void send();
          }}
        />
        <Button type="submit" kind="primary">
          Send
        </Button>
      </div>
    </form>
  );
}

const SENT_WORDS: Readonly<Record<Sent['state'], string>> = {
  sending: 'sending…',
  accepted: 'accepted',
  refused: 'refused.',
  unknown: 'unknown.',
};
