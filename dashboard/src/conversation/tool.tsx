/** A tool call: what it is about and how it ended; opened, its input and output. */

import type { JsonValue, ToolItem } from '../../../agent/index.ts';
import { Duration, formatDuration, Icon, type IconName } from '../ui/index.ts';
import { Diff } from './diff.tsx';
import type { Folds } from './folds.ts';
import type { Row } from './model.ts';
import { LongText, readable } from './text-blocks.tsx';
import { isShort, valueText } from './value-text.ts';

const STATES: Readonly<Record<ToolItem['state'], { icon: IconName | null; word: string; isSaid: boolean }>> = {
  running: { icon: null, word: 'running', isSaid: true },
  done: { icon: 'check', word: 'done', isSaid: false },
  failed: { icon: 'close', word: 'failed', isSaid: true },
  refused: { icon: 'stop', word: 'refused', isSaid: true },
  unknown: { icon: 'info', word: 'no result', isSaid: true },
};

/** Up to this many changed lines a diff is shown at once. */
const OPEN_DIFF_LINES = 60;

interface Props {
  item: ToolItem;
  steps: Row['steps'];
  /** The run continues, so a tool may. */
  live: boolean;
  folds: Folds;
  onSteps(): void;
}

export function Tool({ item, steps, live, folds, onSteps }: Props) {
  const { key, name, title, input, state, output, diff = [], at, endedAt } = item;
  const isOpen = folds.isOpen(key, false);
  const { icon, word, isSaid } = STATES[state];
  const hasBody = !isEmpty(input) || output !== null;
  const changed = diff.reduce((sum, { hunks }) => sum + hunks.reduce((lines, hunk) => lines + hunk.lines.length, 0), 0);
  const showsDiff = diff.length > 0 && (isOpen || folds.isOpen(`${key}/diff`, changed <= OPEN_DIFF_LINES && state !== 'refused'));
  return (
    <div class="tool" data-state={state}>
      <button type="button" class="tool-head" aria-expanded={isOpen} disabled={!hasBody} onClick={() => folds.set(key, !isOpen)}>
        <span class="tool-state">{icon === null ? <span class={live ? 'tool-spin' : 'tool-still'} /> : <Icon name={icon} />}</span>
        <span class="tool-name">{readable(name) || 'Tool'}</span>
        <span class="tool-title">{readable(title)}</span>
        <span class={isSaid ? 'tool-word' : 'visually-hidden'}>{word}</span>
        <span class="tool-time">
          {endedAt !== undefined ? formatDuration(endedAt - at) : state === 'running' && live ? <Duration from={at} /> : null}
        </span>
        {hasBody ? <Icon name={isOpen ? 'chevron-down' : 'chevron-right'} /> : null}
      </button>
      {isOpen ? (
        <div class="tool-body">
          {isEmpty(input) ? null : <Input input={input} name={`${key}/input`} folds={folds} />}
          {output === null ? null : (
            <Part title="Output">
              {output.trim() === '' ? (
                <p class="talk-muted">It printed nothing.</p>
              ) : (
                <LongText text={output} name={`${key}/output`} folds={folds} label={`Output of ${name}`} />
              )}
            </Part>
          )}
        </div>
      ) : null}
      {showsDiff ? diff.map((file, i) => <Diff key={file.path} diff={file} name={`${key}/diff/${i}`} folds={folds} />) : null}
      {diff.length > 0 && !showsDiff ? (
        <button type="button" class="talk-inline" onClick={() => folds.set(`${key}/diff`, true)}>
          Show the changes
        </button>
      ) : null}
      {steps ? (
        <button type="button" class="tool-steps" aria-expanded={steps.isOpen} onClick={onSteps}>
          <Icon name={steps.isOpen ? 'chevron-down' : 'chevron-right'} />
          {steps.count === 1 ? '1 step' : `${steps.count} steps`} of the sub-agent
        </button>
      ) : null}
    </div>
  );
}

function Part({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <div class="tool-part">
      <p class="tool-part-title">{title}</p>
      {children}
    </div>
  );
}

const isEmpty = (input: JsonValue): boolean =>
  input === null || input === '' || (typeof input === 'object' && Object.keys(input).length === 0);

/** Short values in a line each; long ones in a box. */
export function Input({ input, name, folds }: { input: JsonValue; name: string; folds: Folds }) {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return (
      <Part title="Input">
        <LongText text={valueText(input)} name={name} folds={folds} label="Input" />
      </Part>
    );
  }
  const fields = Object.entries(input).map(([field, value]) => [field, valueText(value)] as const);
  const short = fields.filter(([, value]) => isShort(value));
  return (
    <>
      {short.length === 0 ? null : (
        <dl class="tool-fields">
          {short.map(([field, value]) => (
            <div key={field}>
              <dt>{field}</dt>
              <dd>{readable(value) || '(empty)'}</dd>
            </div>
          ))}
        </dl>
      )}
      {fields
        .filter(([, value]) => !isShort(value))
        .map(([field, value]) => (
          <Part key={field} title={field}>
            <LongText text={value} name={`${name}/${field}`} folds={folds} label={field} />
          </Part>
        ))}
    </>
  );
}
