/**
 * Runs in the browser: the client by itself, and the hook in React's Strict Mode. What they saw is
 * left in `window` for the test.
 */

import { createElement, StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { connectSession, type StreamState } from '../../../client/index.ts';
import { type UseExecution, useExecution } from '../../../client/react.ts';

export interface Followed {
  offsets: number[];
  states: StreamState['status'][];
}

declare global {
  interface Window {
    follow(url: string): void;
    followed: Followed;
    mount(url: string): void;
    rendered: { status: string | null; state: StreamState['status']; events: number; renderings: number };
  }
}

window.followed = { offsets: [], states: [] };
window.follow = (url) => {
  const { offsets, states } = window.followed;
  const stream = connectSession({ url, session: 's1', getTicket: () => 't', onState: ({ status }) => states.push(status) });
  void (async () => {
    for await (const { offset } of stream) offsets.push(offset);
  })();
};

let renderings = 0;

function Run({ url }: { url: string }) {
  const { status, state, events }: UseExecution = useExecution({ url, getTicket: () => 't', session: 's1', execution: 'e1' });
  renderings += 1;
  window.rendered = { status, state: state.status, events: events.length, renderings };
  return createElement('p', null, status);
}

window.mount = (url) => {
  const element = document.body.appendChild(document.createElement('div'));
  createRoot(element).render(createElement(StrictMode, null, createElement(Run, { url }), createElement(Run, { url })));
};
