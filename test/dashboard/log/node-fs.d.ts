/** The one thing of Node's that these tests use: the page's own types know nothing of Node. */
declare module 'node:fs' {
  export function readFileSync(path: string, encoding: 'utf8'): string;
}
