/**
 * Goal: the client stays small, and runs without a DOM and without Node.
 * Method: the bundles that a page would get, measured; the module graph of each entry; the core,
 * loaded in an empty realm.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');

/** Bytes, gzip -9. The core is what a page needs to follow one session. */
const CORE_BYTES_MAX = 7_900;
const CLIENT_BYTES_MAX = 15_200;
const REACT_BYTES_MAX = 9_300;
/**
 * Five formats with their questions and replies, 2.9 kB each; a new format may bring as much again.
 * 2 kB are the next turn of a conversation: its command, its start (next-turn.ts, send-next.ts).
 */
const AGENT_BYTES_MAX = 17_000;

interface Bundle {
  text: string;
  gzipBytes: number;
  meta: Metafile;
}

async function bundle(contents: string, format: 'esm' | 'iife' = 'esm'): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: join(ROOT, 'client'), loader: 'ts' },
    bundle: true,
    minify: true,
    format,
    globalName: 'holdfast',
    // For no platform: an import of a Node module or of anything but `react` would fail here.
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2022',
    external: ['react'],
    write: false,
    metafile: true,
  });
  const text = outputFiles[0]?.text ?? '';
  return { text, gzipBytes: gzipSync(text, { level: 9 }).byteLength, meta: metafile };
}

const ENTRIES: [name: string, contents: string, max: number][] = [
  ['connectSession alone', "export { connectSession } from './index.ts'", CORE_BYTES_MAX],
  ['the whole client', "export * from './index.ts'", CLIENT_BYTES_MAX],
  ['the hooks, with all they need but React', "export * from './react.ts'", REACT_BYTES_MAX],
  ['the readers of agents', "export * from './agent.ts'", AGENT_BYTES_MAX],
];

describe('size', () => {
  test.each(ENTRIES)('%s', async (name, contents, max) => {
    const { gzipBytes, text } = await bundle(contents);
    console.log(`${name}: ${gzipBytes} bytes gzip (${text.length} minified), allowed ${max}`);
    expect(gzipBytes).toBeGreaterThan(1_000);
    expect(gzipBytes).toBeLessThanOrEqual(max);
  });

  test('the core contains neither the HTTP client nor a hook', async () => {
    const { meta } = await bundle("export { connectSession } from './index.ts'");
    const used = Object.values(meta.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : [])),
    );
    expect(used.filter((file) => /http|read-events|credential|react|registry|store|ulid/.test(file))).toEqual([]);
  });
});

describe('without a platform', () => {
  test.each(ENTRIES)('%s: no Node module, no package but React and ulid', async (_name, contents) => {
    const { meta } = await bundle(contents);
    const imports = Object.values(meta.outputs).flatMap(({ imports: all }) => all.map(({ path }) => path));
    expect(imports.filter((path) => path !== 'react')).toEqual([]);
    const foreign = Object.keys(meta.inputs).filter((file) => /node_modules/.test(file) && !/node_modules\/ulid\//.test(file));
    expect(foreign).toEqual([]);
  });

  test('the client loads and opens a stream without document, window and process', async () => {
    const { text } = await bundle("export { connectSession, createClient } from './index.ts'", 'iife');
    const asked: string[] = [];
    // Only what every platform has.
    const platform = {
      URL,
      URLSearchParams,
      AbortSignal,
      TextEncoder,
      TextDecoder,
      crypto,
      setTimeout,
      clearTimeout,
      queueMicrotask,
    };
    const { connectSession } = runInContext(`${text};holdfast`, createContext(platform)) as typeof import('../../client/index.ts');
    const stream = connectSession({
      url: 'https://holdfast.example',
      session: 's1',
      apiKey: 'key',
      connect: ({ url }) => {
        asked.push(url);
        return { send: () => {}, close: () => {} };
      },
    });
    expect(asked).toEqual(['wss://holdfast.example/v1/sessions/s1/stream?after=0&flow=ack']);
    expect(stream.state.status).toBe('connecting');
    stream.close();
  });
});

test('examples/agent-page is a page in less than 100 lines, and builds', async () => {
  const lines = readFileSync(join(ROOT, 'examples/agent-page/page.ts'), 'utf8').split('\n').length - 1;
  expect(lines).toBeLessThan(100);
  const { errors, warnings } = await build({
    entryPoints: [join(ROOT, 'examples/agent-page/page.ts')],
    alias: { '@holdfast/client/agent': join(ROOT, 'client/agent.ts'), '@holdfast/client': join(ROOT, 'client/index.ts') },
    bundle: true,
    format: 'esm',
    write: false,
  });
  expect([...errors, ...warnings]).toEqual([]);
});
