import { readFileSync } from 'node:fs';

const path = '../../../dashboard/src/log/log.css';

/** The text of log.css. Not by import: the test runner gives an empty text for style sheets. */
export const css = readFileSync(new URL(path, import.meta.url).pathname, 'utf8');
