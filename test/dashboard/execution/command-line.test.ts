/** A command as text and back: what a person does not touch must come out as it was. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatCommand, formatPairs, parseCommand, parsePairs } from '../../../dashboard/src/execution/command-line.ts';

describe('a command line', () => {
  test('any list of arguments survives the way through the text field', () => {
    const args = fc.tuple(fc.string({ minLength: 1, unit: 'binary' }), fc.array(fc.string({ unit: 'binary' })));
    fc.assert(
      fc.property(args, ([program, rest]) => {
        expect(parseCommand(formatCommand([program, ...rest]))).toEqual({ ok: true, value: [program, ...rest] });
      }),
      { numRuns: 500 },
    );
  });

  test('words are split as a shell would, without any expansion', () => {
    expect(parseCommand(`sh -c "echo \\"$HOME\\" 'x'" a\\ b ''  'it'\\''s'`)).toEqual({
      ok: true,
      value: ['sh', '-c', `echo "$HOME" 'x'`, 'a b', '', "it's"],
    });
    expect(parseCommand('make \\\n  test')).toEqual({ ok: true, value: ['make', 'test'] });
  });

  test('ambiguous input is refused with the reason', () => {
    expect(parseCommand("echo 'a")).toEqual({ ok: false, error: 'A single quote is not closed.' });
    expect(parseCommand('echo "a')).toEqual({ ok: false, error: 'A double quote is not closed.' });
    expect(parseCommand('echo \\')).toEqual({ ok: false, error: 'The command ends with a backslash.' });
    expect(parseCommand('  \n ')).toEqual({ ok: false, error: 'A command needs a program.' });
    expect(parseCommand("'' a")).toEqual({ ok: false, error: 'A command needs a program.' });
  });
});

describe('name=value lines', () => {
  test('are read and written alike', () => {
    expect(parsePairs('A=1\n\n B =x=y \r\nC=')).toEqual({ ok: true, value: { A: '1', B: 'x=y ', C: '' } });
    expect(parsePairs(formatPairs({ a: 'b', c: '' }))).toEqual({ ok: true, value: { a: 'b', c: '' } });
  });

  test('a line without a name, and a name given twice, are refused', () => {
    expect(parsePairs('A=1\nB')).toEqual({ ok: false, error: 'Line 2 is not name=value.' });
    expect(parsePairs('=1')).toEqual({ ok: false, error: 'Line 1 is not name=value.' });
    expect(parsePairs('A=1\nA=2')).toEqual({ ok: false, error: 'A is given twice.' });
    expect(parsePairs('__proto__=1')).toMatchObject({ ok: false });
  });
});
