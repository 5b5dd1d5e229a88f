/** Goal: what arguments and lines of stdin mean. Method: the pure readers. */

import { describe, expect, it } from 'vitest';
import { readInput } from '../../acp/input.ts';
import { LineSplitter } from '../../acp/lines.ts';
import { readOptions } from '../../acp/options.ts';

describe('arguments', () => {
  const read = (...argv: string[]) => readOptions(argv, '/here');

  it('all of them', () => {
    expect(
      read('--prompt', 'hi', '--cwd', '/w', '--mode=plan', '--model', 'm', '--files', '--', 'gemini', '--acp', '--prompt', 'x'),
    ).toEqual({
      kind: 'options',
      options: {
        agent: ['gemini', '--acp', '--prompt', 'x'],
        prompt: 'hi',
        cwd: '/w',
        resume: null,
        auth: null,
        mode: 'plan',
        model: 'm',
        files: true,
        terminal: false,
        startTimeoutMs: 120_000,
      },
    });
    expect(read('--', 'a')).toMatchObject({ options: { prompt: null, cwd: '/here', files: false, terminal: false } });
    expect([read('--help'), read('-V')]).toEqual([{ kind: 'help' }, { kind: 'version' }]);
  });

  it.each([
    [[], 'the command of the agent is missing'],
    [['--'], 'the command of the agent is missing'],
    [['gemini', '--acp'], 'behind --'],
    [['--promt', 'x', '--', 'a'], 'behind --'],
    [['--prompt', ' ', '--', 'a'], '--prompt is empty'],
    [['--start-timeout', '0', '--', 'a'], '--start-timeout must be'],
    [['--start-timeout', 'soon', '--', 'a'], '--start-timeout must be'],
    [['--start-timeout', '86401', '--', 'a'], '--start-timeout must be'],
  ])('%o', (argv, message) => {
    expect(read(...argv)).toEqual({ kind: 'wrong', message: expect.stringContaining(message) });
  });
});

describe('[ACP2] a line of stdin', () => {
  it.each([
    ['text', 'message'],
    ['  indented', 'message'],
    ['"a JSON string"', 'message'],
    ['[1]', 'message'],
    ['12', 'message'],
    ['{broken', 'message'],
    ['', 'nothing'],
    ['   \r', 'nothing'],
    ['{"jsonrpc":"2.0","method":"session/prompt","params":{"prompt":[{"type":"text","text":"x"}]}}', 'message'],
    ['{"method":"session/cancel"}', 'cancel'],
    ['{"id":0,"result":{}}', 'reply'],
    ['{"id":"a","error":{"code":1,"message":"x"}}', 'reply'],
    ['{"id":0,"result":"x"}', 'unknown'],
    ['{"method":"session/prompt"}', 'unknown'],
    ['{"method":"session/prompt","params":{"prompt":["x"]}}', 'unknown'],
    ['{"method":"initialize","id":1}', 'unknown'],
    ['{}', 'unknown'],
  ])('%s is %s', (line, kind) => {
    expect(readInput(line).kind).toBe(kind);
  });

  it('[ACP2] a line that nests too deep is ignored, whatever it is', () => {
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
    const lines = (levels: number): string[] => [
      `{"id":1,"result":{"a":${nested(levels)}}}`,
      `{"id":${nested(levels)},"result":{}}`,
      `{"method":"session/prompt","params":{"prompt":[{"a":${nested(levels)}}]}}`,
    ];
    expect(lines(90).map((line) => readInput(line).kind)).toEqual(['reply', 'reply', 'message']);
    for (const line of [...lines(101), ...lines(50_000)])
      expect(readInput(line)).toEqual({ kind: 'unknown', why: expect.stringContaining('more than 100 levels deep') });
  });

  it('lines are joined from any pieces, and one that is too long is told', () => {
    const splitter = new LineSplitter(4);
    expect(splitter.push(Buffer.from('ab'))?.map(String)).toEqual([]);
    expect(splitter.push(Buffer.from('cd\n\nef\ng'))?.map(String)).toEqual(['abcd', '', 'ef']);
    expect(String(splitter.rest())).toBe('g');
    expect(String(splitter.rest())).toBe('');
    expect(splitter.push(Buffer.from('abcde'))).toBeNull();
    expect(new LineSplitter(4).push(Buffer.from('abcde\n'))).toBeNull();
  });
});
