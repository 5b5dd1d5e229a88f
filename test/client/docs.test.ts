/**
 * Goal: the code in docs/client.md and of both READMEs can be copied, and the page lists all
 * states. Method: its examples are compiled against the client with a user's compiler settings; its
 * table is compared with the type.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { StreamState } from '../../client/index.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const text = readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8');

test.each([
  ['docs/client.md', ['ts', 'tsx', 'ts']],
  ['README.md', ['ts']],
  ['packages/client/README.md', ['ts']],
  ['docs/agents.md', ['ts', 'tsx']],
  ['docs/turns.md', ['ts']],
])('every example of %s compiles', (page, kinds) => {
  const source = readFileSync(join(ROOT, page), 'utf8');
  const examples = [...source.matchAll(/^```(tsx?)\n(.*?)^```/gms)].map(([, kind, code]) => ({ kind, code: code ?? '' }));
  expect(examples.map(({ kind }) => kind)).toEqual(kinds);
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
  try {
    const files = examples.map(({ kind, code }, index) => {
      writeFileSync(join(folder, `example${index}.${kind}`), code);
      return `example${index}.${kind}`;
    });
    const paths = {
      '@holdfast/client': [join(ROOT, 'client/index.ts')],
      '@holdfast/client/react': [join(ROOT, 'client/react.ts')],
      '@holdfast/client/agent': [join(ROOT, 'client/agent.ts')],
      '@holdfast/client/agent/react': [join(ROOT, 'client/agent-react.ts')],
      react: [join(ROOT, 'node_modules/@types/react/index.d.ts')],
      'react/jsx-runtime': [join(ROOT, 'node_modules/@types/react/jsx-runtime.d.ts')],
    };
    const compilerOptions = {
      module: 'esnext',
      moduleResolution: 'bundler',
      moduleDetection: 'force',
      target: 'es2024',
      lib: ['es2024', 'dom', 'dom.iterable'],
      jsx: 'react-jsx',
      strict: true,
      skipLibCheck: true,
      noEmit: true,
      // Types of the sources; a user has the declarations.
      allowImportingTsExtensions: true,
      exactOptionalPropertyTypes: true,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules/@types')],
      paths,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const { stdout, status } = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('its table has every state of a stream, and no other', () => {
  const all: Record<StreamState['status'], true> = {
    connecting: true,
    replaying: true,
    live: true,
    reconnecting: true,
    'refreshing-credential': true,
    paused: true,
    ended: true,
    closed: true,
    failed: true,
  };
  const table = text.slice(text.indexOf('## States of a stream'), text.indexOf('## A page that is hidden and shown again'));
  const rows = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, status]) => status);
  expect(rows.sort()).toEqual(Object.keys(all).sort());
});
