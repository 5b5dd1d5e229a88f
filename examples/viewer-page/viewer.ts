// Follows one build: `/?build=acme:web~b-1`. The ticket comes from the product's own API, the log
// directly from Holdfast.
import { connectSession, isEvent, StreamFailure, type StreamState } from '@holdfast/client';

const build = new URLSearchParams(location.search).get('build') ?? '';
const path = `/builds/${encodeURIComponent(build)}`;
const [status, log, cancel] = ['status', 'log', 'cancel'].map((id) => document.getElementById(id)) as [
  HTMLElement,
  HTMLElement,
  HTMLButtonElement,
];

interface Access {
  url: string;
  session: string;
  execution: string;
  ticket: string;
}

/**
 * Called for every connection, since tickets are short-lived. A refusal ends the stream; a server
 * that is down is retried.
 */
async function access(): Promise<Access> {
  const answer = await fetch(`${path}/ticket`);
  if (answer.ok) return answer.json();
  throw Object.assign(new Error(`no ticket: HTTP ${answer.status}`), { retryable: answer.status >= 500 });
}

const WORDS: Partial<Record<StreamState['status'], string>> = { live: 'running', reconnecting: 'connection lost, trying again' };

async function follow(): Promise<void> {
  const { url, session, execution } = await access();
  const stream = connectSession({
    ...{ url, session, execution, getTicket: async () => (await access()).ticket },
    onState: (state) => {
      status.textContent = WORDS[state.status] ?? status.textContent;
    },
  });
  cancel.disabled = false;
  for await (const events of stream.batches()) {
    // One change of the page for each batch, as text: the output of a build is not HTML.
    log.append(events.flatMap((event) => (isEvent(event, 'output') ? [event.data.text] : [])).join(''));
  }
  if (stream.state.status === 'ended') status.textContent = stream.state.executionStatus;
  cancel.disabled = true;
}

cancel.addEventListener('click', () => void fetch(`${path}/cancel`, { method: 'POST' }));

follow().catch((error: unknown) => {
  status.textContent = error instanceof StreamFailure ? error.reason : String(error);
});
