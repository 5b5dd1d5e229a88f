// Follows one agent: `/?run=SESSION/EXECUTION`. The ticket comes from this page's own server; the
// conversation and the answers go directly to Holdfast.
import { createClient, HoldfastError } from '@holdfast/client';
import { type Answer, type Item, type QuestionItem, readAgent, usageText } from '@holdfast/client/agent';

const [session = '', execution = ''] = (new URLSearchParams(location.search).get('run') ?? '').split('/');
const [status, list] = ['status', 'items'].map((id) => document.getElementById(id)) as [HTMLElement, HTMLElement];
const shown = new Map<string, HTMLElement>();

interface Access {
  url: string;
  ticket: string;
}
async function access(): Promise<Access> {
  const answer = await fetch(`/ticket?run=${encodeURIComponent(`${session}/${execution}`)}`);
  if (answer.ok) return answer.json();
  throw Object.assign(new Error(`no ticket: HTTP ${answer.status}`), { retryable: answer.status >= 500 });
}
const { url } = await access();
const run = createClient({ url, ticket: async () => (await access()).ticket }).execution(session, execution);

/** What agents print is text and never HTML. */
function element(name: string, text = '', ...inner: HTMLElement[]): HTMLElement {
  const made = document.createElement(name);
  made.append(text, ...inner);
  return made;
}

const fold = (title: string, text: string): HTMLElement => element('details', '', element('summary', title), element('pre', text));

async function answer(question: QuestionItem, given: Answer): Promise<void> {
  try {
    await run.answer({ id: question.id, ...given });
  } catch (error) {
    // Another person was faster, or the agent does not wait any more.
    status.textContent = error instanceof HoldfastError ? error.message : String(error);
  }
}

function buttonsOf(question: QuestionItem): HTMLElement[] {
  const buttons = question.options.map(({ id, label, description = '' }) => {
    const button = element('button', label);
    button.title = description;
    button.onclick = () => void answer(question, question.multiple ? { options: [id] } : { option: id });
    return button;
  });
  if (!question.freeText) return buttons;
  const text = element('button', 'Other …');
  text.onclick = () => {
    const said = prompt(question.text);
    if (said) void answer(question, { text: said });
  };
  return [...buttons, text];
}

function view(item: Item): HTMLElement {
  switch (item.type) {
    case 'message':
      return element('p', `${item.role === 'user' ? 'You: ' : ''}${item.markdown}`);
    case 'reasoning':
      return fold('Thinking', item.markdown);
    case 'tool': {
      const diff = item.diff?.flatMap(({ path, hunks }) => [path, ...hunks.flatMap(({ lines }) => lines)]).join('\n');
      return fold(`${item.name} ${item.title} (${item.state})`, diff ?? item.output ?? JSON.stringify(item.input, null, 2));
    }
    case 'plan':
      return element('ul', '', ...item.entries.map(({ text, state }) => element('li', `${text} (${state})`)));
    case 'question':
      return item.state === 'open'
        ? element('section', item.text, element('div', '', ...buttonsOf(item)))
        : element('section', `${item.text} (${item.state})`);
    case 'usage':
      return element('small', usageText(item));
    case 'turn_end':
      return element('p', `— ${item.state}${item.text === null ? '' : `: ${item.text}`}`);
    default:
      return element('pre', item.text);
  }
}

for await (const { changed, summary } of readAgent(run)) {
  for (const item of changed) {
    const next = view(item);
    const before = shown.get(item.key);
    if (before) before.replaceWith(next);
    else list.append(next);
    shown.set(item.key, next);
  }
  status.textContent = [summary.model ?? summary.format, usageText(summary.usage), summary.asking ? 'waits for you' : '']
    .filter(Boolean)
    .join(' · ');
}
status.textContent = (await run.get()).status;
