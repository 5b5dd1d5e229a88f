/**
 * A question of the agent, with its answers as buttons while it is open and this page may answer.
 * What became of it is read from the log, so every viewer sees the same.
 */

import { useRef, useState } from 'preact/hooks';
import type { QuestionItem, QuestionOption, ToolItem } from '../../../agent/index.ts';
import { Button } from '../ui/index.ts';
import type { Folds } from './folds.ts';
import { Markdown } from './markdown.tsx';
import { readable, withMarks } from './text-blocks.tsx';
import { Input } from './tool.tsx';

/** One of the three, as the coordinator takes it. */
export type Choice = { option: string } | { options: string[] } | { text: string };

/** Null: this page cannot answer, and `why` says so. */
export interface Answering {
  /** Rejects with a refusal. */
  answer: ((id: string, choice: Choice) => Promise<void>) | null;
  why: string | null;
  errorText(error: unknown): string;
}

const ASKED: Readonly<Record<QuestionItem['kind'], string>> = {
  permission: 'Asked for permission',
  question: 'Asked',
  plan: 'Asked whether to begin',
};

const HEADS: Readonly<Record<QuestionItem['kind'], string>> = {
  permission: 'The agent asks for permission',
  question: 'The agent asks',
  plan: 'The agent asks whether to begin',
};

/** For a permission or a plan a text says no. */
const TEXT_LABELS: Readonly<Record<QuestionItem['kind'], string>> = {
  permission: 'No, and tell the agent why',
  question: 'Another answer',
  plan: 'No, and tell the agent what to change',
};

interface Props {
  item: QuestionItem;
  tool: ToolItem | null;
  folds: Folds;
  answering: Answering;
}

export function Question({ item, tool, folds, answering }: Props) {
  const { key, kind, text, state } = item;
  const isOpen = state === 'open';
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for controls, and this is mostly text
    <div class="ask" role="group" data-state={state} data-kind={kind} aria-label={HEADS[kind]}>
      <p class="ask-head">{isOpen ? HEADS[kind] : ASKED[kind]}</p>
      {/* The title of a tool call is no Markdown: a `*` in a command stays. */}
      {kind === 'permission' ? <p class="ask-text">{readable(text)}</p> : <Markdown text={text} />}
      {isOpen && kind === 'permission' && tool ? (
        <div class="ask-about">
          <Input input={tool.input} name={`${key}/input`} folds={folds} />
        </div>
      ) : null}
      {isOpen ? <Answers key={key} item={item} answering={answering} /> : <Outcome item={item} />}
    </div>
  );
}

const labelOf = (options: readonly QuestionOption[], id: string): string => options.find((each) => each.id === id)?.label ?? id;

/** Who answered, and what. */
function Outcome({ item: { state, answer, options } }: { item: QuestionItem }) {
  if (state === 'cancelled') return <p class="ask-outcome">Not answered: the agent does not wait any more.</p>;
  if (!answer) return <p class="ask-outcome">Answered.</p>;
  const chosen = [...(answer.option === undefined ? [] : [answer.option]), ...(answer.options ?? [])];
  const said = [...chosen.map((id) => labelOf(options, id)), ...(answer.text === undefined ? [] : [answer.text])].join(', ');
  return (
    <p class="ask-outcome">
      Answer: <strong>{withMarks(said) || 'given'}</strong>
      {answer.by ? <span class="talk-muted"> by {authorText(answer.by)}</span> : null}
    </p>
  );
}

const KINDS: Readonly<Record<string, string>> = {
  key: 'the key',
  ticket: 'a link',
  access: '',
  rpc: 'a Worker',
  system: 'Holdfast',
};

export function authorText({ kind, id, name }: { kind: string; id?: string; name?: string }): string {
  const who = name ?? id ?? '';
  return [KINDS[kind] ?? kind, who].filter((word) => word !== '').join(' ') || 'a person';
}

type Sending = { state: 'idle' } | { state: 'sending'; what: string } | { state: 'sent' } | { state: 'refused'; why: string };

function Answers({ item, answering }: { item: QuestionItem; answering: Answering }) {
  const { id, options, multiple = false, freeText = false, kind } = item;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [text, setText] = useState('');
  const [sending, setSending] = useState<Sending>({ state: 'idle' });
  const group = useRef<HTMLDivElement>(null);
  const { answer, why } = answering;
  if (answer === null) return <p class="ask-outcome">{why ?? 'It waits for an answer.'}</p>;

  const send = async (choice: Choice, what: string): Promise<void> => {
    setSending({ state: 'sending', what });
    // The button that had the focus is about to be disabled.
    group.current?.focus({ preventScroll: true });
    try {
      await answer(id, choice);
      setSending({ state: 'sent' });
    } catch (error) {
      setSending({ state: 'refused', why: answering.errorText(error) });
    }
  };
  const busy = sending.state === 'sending' || sending.state === 'sent';
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend would repeat the question
    <div class="ask-answers" role="group" aria-label="Answers" ref={group} tabIndex={-1}>
      {multiple ? (
        <form
          class="ask-choices"
          onSubmit={(submit) => {
            submit.preventDefault();
            // In the order of the question, whatever the order of the clicks.
            void send({ options: options.map((each) => each.id).filter((each) => chosen.has(each)) }, 'The choice');
          }}
        >
          {options.map((option) => (
            <label key={option.id} class="ask-choice">
              <input
                type="checkbox"
                checked={chosen.has(option.id)}
                disabled={busy}
                onChange={({ currentTarget }) => {
                  const next = new Set(chosen);
                  if (currentTarget.checked) next.add(option.id);
                  else next.delete(option.id);
                  setChosen(next);
                }}
              />
              <span>
                {withMarks(option.label)}
                {option.description ? <span class="talk-muted"> {withMarks(option.description)}</span> : null}
              </span>
            </label>
          ))}
          <Button type="submit" kind="primary" disabled={busy || chosen.size === 0}>
            Send {chosen.size === 0 ? 'the choice' : `${chosen.size} of ${options.length}`}
          </Button>
        </form>
      ) : options.length > 0 ? (
        <div class={options.some(({ description }) => description) ? 'ask-options ask-options-wide' : 'ask-options'}>
          {options.map((option, i) => (
            <Button
              key={option.id}
              kind={kind !== 'question' && i === 0 && !option.refuses ? 'primary' : option.refuses ? 'danger' : 'plain'}
              disabled={busy}
              onClick={() => void send({ option: option.id }, option.label)}
            >
              <span class="ask-option-label">{withMarks(option.label)}</span>
              {option.description ? <span class="ask-option-about">{withMarks(option.description)}</span> : null}
            </Button>
          ))}
        </div>
      ) : null}
      {freeText ? (
        <form
          class="ask-text-form"
          onSubmit={(submit) => {
            submit.preventDefault();
            if (text.trim() !== '') void send({ text }, 'The text');
          }}
        >
          <label>
            <span class="ask-text-label">{TEXT_LABELS[kind]}</span>
            <textarea
              rows={Math.min(5, text.split('\n').length)}
              value={text}
              disabled={busy}
              onInput={({ currentTarget }) => setText(currentTarget.value)}
              onKeyDown={(key) => {
                if (key.key !== 'Enter' || key.shiftKey || key.isComposing) return;
                key.preventDefault();
                key.currentTarget.form?.requestSubmit();
              }}
            />
          </label>
          <Button type="submit" disabled={busy || text.trim() === ''}>
            Send
          </Button>
        </form>
      ) : null}
      <p class="ask-sending" role="status">
        {sending.state === 'sending' ? `Sending: ${sending.what}…` : null}
        {sending.state === 'sent' ? 'Accepted. It is on its way to the agent.' : null}
        {sending.state === 'refused' ? <span class="talk-error">{sending.why}</span> : null}
      </p>
    </div>
  );
}
