/**
 * A document for React, and nothing else of a browser: `fetch`, `WebSocket` and the timers are
 * Node's, so that the network is a real one. Importing this file installs it, because React looks
 * for it when it is loaded.
 */

import { Window } from 'happy-dom';

const GLOBALS = ['document', 'window', 'Node', 'Element', 'HTMLElement', 'HTMLIFrameElement', 'Event', 'MutationObserver'] as const;

export class GlobalRegistrator {
  readonly #window = shared;

  element(): unknown {
    const element = this.#window.document.createElement('div');
    this.#window.document.body.append(element);
    return element;
  }

  async close(): Promise<void> {
    await this.#window.happyDOM.close();
  }
}

const shared = new Window();
for (const name of GLOBALS) {
  Object.defineProperty(globalThis, name, { value: (shared as unknown as Record<string, unknown>)[name], configurable: true });
}
