/**
 * Goal: a token file that is being written, or holds anything else for a moment, never replaces a
 * token that is known. Method: a real file whose content changes, read by `refresh`.
 */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CREDENTIAL_CHARS_MAX } from '../../protocol/index.ts';
import { fileCredential } from '../../wrapper/transport/credential.ts';
import { removeTemporaryFolders, temporaryFolder } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

function credentialOf(token: string) {
  const file = join(temporaryFolder(), 'token');
  writeFileSync(file, token);
  return { file, credential: fileCredential(file) };
}

describe('the token of a file', () => {
  it('[LO5] is read again, without the line end', () => {
    const { file, credential } = credentialOf('first\n');
    expect(credential.current()).toBe('first');
    expect(credential.refresh()).toBe(false);
    writeFileSync(file, 'eyJh.b-_9.~+/=\r\n');
    expect(credential.refresh()).toBe(true);
    expect(credential.current()).toBe('eyJh.b-_9.~+/=');
  });

  it.each([
    ['nothing', ''],
    ['blank lines', '\n \n'],
    ['two lines', '# rotating\ntoken being written\n'],
    ['two words', 'token here'],
    ['a tab', 'token\there'],
    ['a NUL', 'tok\u0000en'],
    ['DEL', 'tok\u007fen'],
    ['letters outside ASCII', 'tokén'],
    ['a byte order mark', '\ufeff\u200btoken'],
    ['one character too many', 'x'.repeat(CREDENTIAL_CHARS_MAX + 1)],
  ])('[SPL45] stays the known one when the file holds %s', (_what, text) => {
    const { file, credential } = credentialOf('known');
    writeFileSync(file, text);
    expect(credential.refresh()).toBe(false);
    expect(credential.current()).toBe('known');
    writeFileSync(file, 'x'.repeat(CREDENTIAL_CHARS_MAX));
    expect(credential.refresh()).toBe(true);
    expect(credential.current()).toHaveLength(CREDENTIAL_CHARS_MAX);
  });

  it('[SPL45] stays the known one when the file is gone', () => {
    const { file, credential } = credentialOf('known');
    rmSync(file);
    expect(credential.refresh()).toBe(false);
    expect(credential.current()).toBe('known');
  });
});
