/**
 * Goal: a folder for runs that cannot be used is named with the next step before anything is started.
 * Method: the program in this process; the folder is below a file.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { serve } from '../../runner/serve.ts';

it('a folder for runs that cannot be made is an error with the next step', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-serve-'));
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    writeFileSync(join(folder, 'file'), '');
    const key = `hfr_${Buffer.from('acme').toString('base64url')}.rk_1.${'a'.repeat(43)}`;
    const spool = join(folder, 'file', 'runs');
    expect(await serve(['--url', 'http://127.0.0.1:1', '--key', key, '--spool', spool])).toBe(1);
    const text = written.mock.calls.map(([line]) => String(line)).join('');
    expect(text).toMatch(/the folder for runs cannot be used: ENOTDIR.*Give another one with --spool/);
  } finally {
    written.mockRestore();
    rmSync(folder, { recursive: true, force: true });
  }
});
