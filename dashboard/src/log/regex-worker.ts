/**
 * Runs regular expressions outside of the page's thread: an endless one is terminated with its
 * worker (regex-port.ts).
 */

import { matchEach } from './match.ts';

export interface RegexTask {
  source: string;
  flags: string;
  text: string;
}

const scope = self as unknown as {
  onmessage: ((message: { data: RegexTask }) => void) | null;
  postMessage(answer: Int32Array, transfer: ArrayBufferLike[]): void;
};

scope.onmessage = ({ data: { source, flags, text } }) => {
  const matches = matchEach(text.split('\n'), new RegExp(source, flags));
  scope.postMessage(matches, [matches.buffer]);
};
