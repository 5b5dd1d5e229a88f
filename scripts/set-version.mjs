// Writes the version of packages/holdfast into the code that says it. A step of `npm run version`, after `changeset version`.
import { readFileSync, writeFileSync } from 'node:fs';

const { version } = JSON.parse(readFileSync(new URL('../packages/holdfast/package.json', import.meta.url), 'utf8'));

for (const [path, constant] of [
  ['../src/platform/version.ts', 'VERSION'],
  ['../runner/server.ts', 'RUNNER_VERSION'],
]) {
  const file = new URL(path, import.meta.url);
  const text = readFileSync(file, 'utf8');
  const line = new RegExp(`^export const ${constant} = '.*';$`, 'm');
  if (!line.test(text)) throw new Error(`${path} has no ${constant}`);
  writeFileSync(file, text.replace(line, `export const ${constant} = '${version}';`));
}
