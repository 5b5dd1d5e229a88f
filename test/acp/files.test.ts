/**
 * Goal: an agent reads and writes files of its working directory through the bridge, and no other
 * file, whatever path it gives.
 * Method: a real folder with links of every kind beside and inside the working directory, with and
 * without /proc. For races, another program acts directly before an open.
 */

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import type * as FsPromises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const opens = vi.hoisted(() => ({ count: 0, at: 0, act: () => {} }));

/** Another program acts directly before this open, counted from 1. */
function beforeOpen(at: number, act: () => void): void {
  Object.assign(opens, { count: 0, at, act });
}

vi.mock('node:fs/promises', async (actual) => {
  const real = await actual<typeof FsPromises>();
  const open: typeof real.open = (...args) => {
    opens.count += 1;
    if (opens.count === opens.at) opens.act();
    return real.open(...args);
  };
  return { ...real, open };
});

import { FILE_BYTES_MAX, FileRefusal, Files } from '../../acp/files.ts';

let folder: string;
let root: string;
let outside: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-acp-files-')));
  root = join(folder, 'work');
  outside = join(folder, 'outside');
  for (const each of [root, outside, join(root, 'sub')]) mkdirSync(each);
  writeFileSync(join(root, 'a.txt'), 'one\ntwo\nthree\n');
  writeFileSync(join(outside, 'secret'), 'secret\n');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const outcome = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => value ?? 'done',
    (error: unknown) => (error instanceof FileRefusal ? error.refusal : error),
  );

describe.each([
  ['with /proc', existsSync('/proc/self/fd')],
  ['without /proc', false],
])('%s', (_, hasProc) => {
  const files = () => new Files(root, hasProc);

  it('a file is read, whole and by lines', async () => {
    expect(await files().read(join(root, 'a.txt'))).toBe('one\ntwo\nthree\n');
    expect(await files().read('a.txt', 2, 1)).toBe('two');
    expect(await files().read('a.txt', 2)).toBe('two\nthree\n');
    expect(await files().read('a.txt', null, 1)).toBe('one');
    expect(await files().read('a.txt', 99, 5)).toBe('');
  });

  it('a file is written, replaced by a shorter one, and made with its directories', async () => {
    await files().write(join(root, 'a.txt'), 'new');
    await files().write(join(root, 'x', 'y', 'z.txt'), 'deep');
    expect(readFileSync(join(root, 'a.txt'), 'utf8')).toBe('new');
    expect(readFileSync(join(root, 'x', 'y', 'z.txt'), 'utf8')).toBe('deep');
  });

  it('a link inside that leads inside is followed', async () => {
    symlinkSync('a.txt', join(root, 'link'));
    symlinkSync(root, join(root, 'sub', 'self'));
    expect(await files().read(join(root, 'link'))).toBe('one\ntwo\nthree\n');
    expect(await files().read(join(root, 'sub', 'self', 'a.txt'))).toBe('one\ntwo\nthree\n');
    await files().write(join(root, 'link'), 'through the link');
    expect(readFileSync(join(root, 'a.txt'), 'utf8')).toBe('through the link');
  });

  it('a name that begins with two dots is a name', async () => {
    await files().write(join(root, '..a'), 'dots');
    expect(await files().read(join(root, '..a'))).toBe('dots');
  });

  const escapes: [name: string, path: () => string][] = [
    ['an absolute path outside', () => join(outside, 'secret')],
    ['..', () => `${root}/../outside/secret`],
    ['.. behind a directory that does not exist', () => `${root}/no/../../outside/secret`],
    ['a relative path with ..', () => '../outside/secret'],
    ['a name that begins as the working directory', () => `${root}-other/secret`],
    ['a link to a file outside', () => link('file', join(outside, 'secret'))],
    ['a relative link to a file outside', () => link('relative', '../outside/secret')],
    ['a link to a link to a file outside', () => link('second', link('first', join(outside, 'secret')))],
    ['a link to a directory outside', () => join(link('directory', outside), 'secret')],
    ['a new file in a link to a directory outside', () => join(link('new', outside), 'new.txt')],
    ['new directories in a link to a directory outside', () => join(link('deep', outside), 'x', 'y', 'new.txt')],
    ['a link to a file outside that does not exist', () => link('dangling', join(outside, 'missing'))],
    ['a directory that is a link to nothing', () => join(link('nothing', join(outside, 'missing')), 'new.txt')],
    ['the root of the machine', () => '/etc/passwd'],
    ['a path of the process', () => '/proc/self/environ'],
    ['.. behind a link', () => `${link('up', join(root, 'sub'))}/../../outside/secret`],
  ];

  function link(name: string, to: string): string {
    const path = join(root, `link-${name}`);
    symlinkSync(to, path);
    return path;
  }

  it.each(escapes)('[ACP5] refused: %s', async (_, path) => {
    const way = path();
    expect(['outside', 'not_found', 'not_possible']).toContain(await outcome(files().read(way)));
    expect(['outside', 'not_possible']).toContain(await outcome(files().write(way, 'changed')));
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret\n');
    expect(execFileSync('ls', [outside], { encoding: 'utf8' })).toBe('secret\n');
    expect(execFileSync('ls', ['-A', folder], { encoding: 'utf8' })).toBe('outside\nwork\n');
  });

  it('a path without a name is refused', async () => {
    expect(await outcome(files().read(''))).toBe('not_possible');
    expect(await outcome(files().read('a\0.txt'))).toBe('not_possible');
  });

  it('only regular files: no directory, no FIFO', async () => {
    execFileSync('mkfifo', [join(root, 'fifo')]);
    for (const name of ['', 'sub', 'fifo']) {
      expect(await outcome(files().read(join(root, name)))).toBe('not_possible');
      expect(await outcome(files().write(join(root, name), 'x'))).toBe('not_possible');
    }
  });

  it('a file that is not there, and a file as a directory', async () => {
    expect(await outcome(files().read(join(root, 'missing')))).toBe('not_found');
    expect(await outcome(files().read(join(root, 'a.txt', 'b')))).toBe('not_found');
    expect(await outcome(files().write(join(root, 'a.txt', 'b'), 'x'))).toBe('not_possible');
  });

  it(`a file of ${FILE_BYTES_MAX} bytes is read and written, one more byte is refused`, async () => {
    const path = join(root, 'large');
    writeFileSync(path, '');
    truncateSync(path, FILE_BYTES_MAX);
    expect((await files().read(path)).length).toBe(FILE_BYTES_MAX);
    truncateSync(path, FILE_BYTES_MAX + 1);
    expect(await outcome(files().read(path))).toBe('not_possible');
    expect(await outcome(files().write(path, 'x'.repeat(FILE_BYTES_MAX + 1)))).toBe('not_possible');
    expect(statSync(path).size).toBe(FILE_BYTES_MAX + 1);
    await files().write(path, 'x'.repeat(FILE_BYTES_MAX));
    expect(statSync(path).size).toBe(FILE_BYTES_MAX);
  });

  it('bytes that are no UTF-8 are refused, and a byte order mark is kept', async () => {
    writeFileSync(join(root, 'bytes'), Buffer.from([0x61, 0xff, 0x62]));
    expect(await outcome(files().read(join(root, 'bytes')))).toBe('not_possible');
    await files().write(join(root, 'bom'), '\uFEFFé');
    expect(await files().read(join(root, 'bom'))).toBe('\uFEFFé');
  });

  it('a read after a write sees what was written', async () => {
    const all = files();
    const wrote = all.write('a.txt', 'new');
    expect(await all.read('a.txt')).toBe('new');
    await wrote;
  });

  it('a directory for a command is inside', async () => {
    symlinkSync(outside, join(root, 'away'));
    symlinkSync('sub', join(root, 'near'));
    expect(await files().directory('near')).toBe(join(root, 'sub'));
    expect(await files().directory(root)).toBe(root);
    expect(await outcome(files().directory(outside))).toBe('outside');
    expect(await outcome(files().directory(join(root, 'away')))).toBe('outside');
    expect(await outcome(files().directory('a.txt'))).toBe('not_found');
    expect(await outcome(files().directory('missing'))).toBe('not_found');
  });
});

// Without /proc (macOS) this race is open between the check and the open.
describe.skipIf(!existsSync('/proc/self/fd'))('[ACP5] a directory that another program replaces meanwhile', () => {
  const victim = (): string => join(root, 'victim');
  beforeEach(() => {
    mkdirSync(victim());
    writeFileSync(join(victim(), 'secret'), 'inside\n');
  });
  const replace = (): void => {
    renameSync(victim(), join(root, 'aside'));
    symlinkSync(outside, victim());
  };

  it.each([
    // Opens of a read and of a write: the directory, then the file.
    ['before it is opened', 1, ['not_possible', 'not_possible']],
    ['before the file is opened', 2, ['inside\n', 'done']],
  ])('by a link, %s', async (_, at, expected) => {
    const files = new Files(root);
    beforeOpen(at, replace);
    expect(await outcome(files.read(join(victim(), 'secret')))).toBe(expected[0]);
    rmSync(victim());
    renameSync(join(root, 'aside'), victim());
    beforeOpen(at, replace);
    expect(await outcome(files.write(join(victim(), 'new'), 'x'))).toBe(expected[1]);
    expect(readdirSync(outside)).toEqual(['secret']);
  });

  it('by a link above it, before it is opened', async () => {
    const files = new Files(root);
    mkdirSync(join(outside, 'deep'));
    mkdirSync(join(victim(), 'deep'));
    for (const folder of [outside, victim()]) writeFileSync(join(folder, 'deep', 'secret'), `${folder}\n`);
    beforeOpen(1, replace);
    expect(await outcome(files.read(join(victim(), 'deep', 'secret')))).toBe('outside');
    rmSync(victim());
    renameSync(join(root, 'aside'), victim());
    beforeOpen(1, replace);
    expect(await outcome(files.write(join(victim(), 'deep', 'new'), 'x'))).toBe('outside');
    expect(readdirSync(join(outside, 'deep'))).toEqual(['secret']);
  });

  it('by a link, when it was made for a new file', async () => {
    const files = new Files(root);
    // The working directory, then the new one.
    beforeOpen(2, () => {
      renameSync(join(root, 'made'), join(root, 'aside'));
      symlinkSync(outside, join(root, 'made'));
    });
    expect(await outcome(files.write(join(root, 'made', 'new'), 'x'))).toBe('not_possible');
    expect(readdirSync(outside)).toEqual(['secret']);
  });

  it('is moved outside, before the file is opened', async () => {
    const files = new Files(root);
    beforeOpen(2, () => renameSync(victim(), join(outside, 'moved')));
    expect(await outcome(files.read(join(victim(), 'secret')))).toBe('outside');
    renameSync(join(outside, 'moved'), victim());
    beforeOpen(2, () => renameSync(victim(), join(outside, 'moved')));
    expect(await outcome(files.write(join(victim(), 'secret'), 'changed'))).toBe('outside');
    expect(readFileSync(join(outside, 'moved', 'secret'), 'utf8')).toBe('inside\n');
  });
});

it.each([existsSync('/proc/self/fd'), false])(
  '[ACP5] a file that another program replaces by a link, before it is opened (with /proc: %s)',
  async (hasProc) => {
    const files = new Files(root, hasProc);
    const victim = join(root, 'sub');
    writeFileSync(join(victim, 'secret'), 'inside\n');
    const link = (): void => {
      rmSync(join(victim, 'secret'));
      symlinkSync(join(outside, 'secret'), join(victim, 'secret'));
    };
    beforeOpen(2, link);
    expect(await outcome(files.read(join(victim, 'secret')))).toBe('outside');
    rmSync(join(victim, 'secret'));
    writeFileSync(join(victim, 'secret'), 'inside\n');
    beforeOpen(2, link);
    expect(await outcome(files.write(join(victim, 'secret'), 'changed'))).toBe('outside');
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret\n');
  },
);
