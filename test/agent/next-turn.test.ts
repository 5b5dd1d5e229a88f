/**
 * Goal: the command of the next turn is that of an earlier one, with the new message and the id of
 * the conversation, for each agent. Method: commands as people write them.
 */

import { describe, expect, it } from 'vitest';
import { type AgentFormat, conversationCommand, encodeMessage, formatOfCommand, messageOf, nextTurn } from '../../agent/index.ts';

const words = (text: string): string[] => text.split(' ');
/** The command of the next turn as words; the message is `More`. */
const next = (format: AgentFormat, command: string, resumeId: string | null = 'ID', message = 'More'): string | undefined =>
  nextTurn(format, words(command), resumeId, message)?.command.join(' ');

describe('[TRN1] the next turn of Claude Code', () => {
  const STREAM = 'claude -p --input-format stream-json --output-format stream-json --verbose';

  it('that reads messages gets the message on its stdin', () => {
    const turn = nextTurn('claude', words(STREAM), 'ID', 'More');
    expect(turn).toEqual({
      command: words(`${STREAM} --resume ID`),
      openStdin: true,
      input: encodeMessage('claude', 'More'),
    });
    expect(nextTurn('claude', words(STREAM), null, 'Hi')).toMatchObject({ command: words(STREAM), openStdin: true });
    expect(nextTurn('claude', words('claude -p --input-format=stream-json'), 'ID', 'More')?.openStdin).toBe(true);
  });

  it.each([
    ['claude -p Fix --output-format stream-json --verbose', 'claude -p --output-format stream-json --verbose --resume ID More'],
    ['claude -p --resume OLD --verbose Fix', 'claude -p --verbose --resume ID More'],
    ['claude -p --resume=OLD Fix', 'claude -p --resume ID More'],
    ['claude -p -r OLD Fix', 'claude -p --resume ID More'],
    ['claude --continue --fork-session -p Fix', 'claude -p --resume ID More'],
    ['claude --session-id 1f2e -p Fix', 'claude -p --resume ID More'],
    ['claude -p --allowedTools Bash Read --verbose Fix', 'claude -p --allowedTools Bash Read --verbose --resume ID More'],
    ['claude -p --verbose -- -v', 'claude -p --verbose --resume ID More'],
    ['npx -y @anthropic-ai/claude-code@2.1.197 -p Fix', 'npx -y @anthropic-ai/claude-code@2.1.197 -p --resume ID More'],
    ['env A=b /opt/bin/claude -p Fix', 'env A=b /opt/bin/claude -p --resume ID More'],
  ])('%s', (command, wanted) => {
    expect(next('claude', command)).toBe(wanted);
  });

  it('[TRN3] a message that begins with a dash, or follows an option with any number of values, is no option', () => {
    expect(next('claude', 'claude -p Fix', 'ID', '-v')).toBe('claude -p --resume ID -- -v');
    expect(next('claude', 'claude -p --tools Bash', null)).toBe('claude -p --tools Bash -- More');
    expect(next('claude', 'claude -p --resume OLD', null)).toBe('claude -p --resume OLD More');
  });

  it('[TRN2] has no way when the agent keeps nothing', () => {
    expect(next('claude', 'claude -p --no-session-persistence Fix')).toBeUndefined();
    expect(next('claude', 'claude -p --no-session-persistence Fix', null)).toBe('claude -p --no-session-persistence More');
  });
});

describe('[TRN1] the next turn of Codex', () => {
  it.each([
    ['codex exec --json Fix', 'codex exec --json resume ID More'],
    ['codex exec --json --sandbox workspace-write Fix', 'codex exec --json --sandbox workspace-write resume ID More'],
    ['codex -c model=x exec --json Fix it', 'codex -c model=x exec --json resume ID More'],
    ['codex exec resume --json OLD Fix', 'codex exec --json resume ID More'],
    ['codex exec --json resume --last Fix', 'codex exec --json resume ID More'],
    ['codex e --json -i a.png b.png', 'codex e --json resume ID More'],
    ['npx @openai/codex exec --json Fix', 'npx @openai/codex exec --json resume ID More'],
  ])('%s', (command, wanted) => {
    expect(next('codex', command)).toBe(wanted);
  });

  it('a dash alone is a message and not its stdin', () => {
    expect(nextTurn('codex', words('codex exec --json Fix'), 'ID', '-')?.command.at(-1)).toBe(' -');
    expect(next('codex', 'codex exec --json Fix', 'ID', '--help')).toBe('codex exec --json resume ID -- --help');
  });

  it('a first turn keeps what it resumes and its pictures', () => {
    expect(next('codex', 'codex exec --json resume OLD Fix', null)).toBe('codex exec --json resume OLD More');
    expect(next('codex', 'codex exec resume --last Fix', null)).toBe('codex exec --last resume More');
    expect(next('codex', 'codex exec Fix --image a.png', null)).toBe('codex exec --image a.png -- More');
  });

  it.each(['codex login', 'codex', 'codex exec --ephemeral Fix'])('%s has no next turn', (command) => {
    expect(next('codex', command)).toBeUndefined();
  });
});

describe('[TRN1] the next turn of OpenCode', () => {
  it.each([
    ['opencode run --format json --thinking Fix it', 'opencode run --format json --thinking --session ID More'],
    ['opencode run --format json --session OLD Fix', 'opencode run --format json --session ID More'],
    ['opencode run -s OLD --fork Fix', 'opencode run --session ID More'],
    ['opencode run -c --format json -f a.txt b.txt -- Fix', 'opencode run --format json --session ID More'],
    ['npx opencode-ai run --format json Fix', 'npx opencode-ai run --format json --session ID More'],
  ])('%s', (command, wanted) => {
    expect(next('opencode', command)).toBe(wanted);
  });

  it('as an agent of ACP without a bridge it takes no message', () => {
    expect(next('opencode', 'opencode acp')).toBeUndefined();
    expect(next('acp', 'opencode acp')).toBeUndefined();
  });
});

describe('[TRN1] the next turn of holdfast-acp', () => {
  it.each([
    ['holdfast-acp -- gemini --acp', 'holdfast-acp --resume ID --prompt=More -- gemini --acp'],
    [
      'holdfast-acp --prompt Fix --cwd /repo --files --resume=OLD -- opencode acp --prompt x',
      'holdfast-acp --cwd /repo --files --resume ID --prompt=More -- opencode acp --prompt x',
    ],
    // A switch has no value, so what follows is none.
    ['holdfast-acp --terminal stray -- opencode acp', 'holdfast-acp --terminal --resume ID --prompt=More -- opencode acp'],
    ['node /opt/holdfast-acp.mjs -- codex-acp', 'node /opt/holdfast-acp.mjs --resume ID --prompt=More -- codex-acp'],
  ])('%s', (command, wanted) => {
    expect(next('acp', command)).toBe(wanted);
    expect(nextTurn('acp', words(command), 'ID', 'More')).toMatchObject({ openStdin: true, input: null });
  });

  it('without an agent there is none', () => {
    expect(next('acp', 'holdfast-acp --prompt Fix')).toBeUndefined();
    expect(next('acp', 'holdfast-acp --')).toBeUndefined();
    expect(next('acp', 'holdfast-acp --resume OLD -- gemini --acp', null)).toBe(
      'holdfast-acp --resume OLD --prompt=More -- gemini --acp',
    );
  });
});

describe('[TRN2] what cannot be told', () => {
  it.each<[AgentFormat, string]>([
    ['claude', 'sh -c claude'],
    ['claude', 'codex exec Fix'],
    ['codex', 'claude -p Fix'],
    ['jsonl', 'claude -p Fix'],
    ['claude', 'a b c d e claude -p Fix'],
    ['auto', 'make'],
  ])('%s: %s', (format, command) => {
    expect(next(format, command)).toBeUndefined();
  });

  it.each(['--dangerously-skip-permissions', '', ' ', 'a b', 'x'.repeat(201)])('[TRN3] the id %j is none', (id) => {
    expect(next('claude', 'claude -p Fix', id)).toBeUndefined();
  });

  it('auto takes what the command is', () => {
    expect(next('auto', 'codex exec --json Fix')).toBe('codex exec --json resume ID More');
  });
});

describe('the command of a conversation', () => {
  it.each([
    ['claude', 'claude -p --input-format stream-json --permission-prompt-tool stdio --output-format stream-json --verbose'],
    ['claude -p Fix', 'claude --output-format stream-json --verbose -p Fix'],
    [
      'claude --model opus --verbose',
      'claude -p --input-format stream-json --permission-prompt-tool stdio --output-format stream-json --model opus --verbose',
    ],
    ['codex', 'codex exec --json'],
    ['codex Fix', 'codex exec --json Fix'],
    ['codex -m gpt-5.5 exec Fix', 'codex -m gpt-5.5 exec --json Fix'],
    ['codex exec --json Fix', 'codex exec --json Fix'],
    ['opencode', 'opencode run --format json'],
    ['opencode run --thinking Fix', 'opencode run --format json --thinking Fix'],
    ['holdfast-acp -- gemini --acp', 'holdfast-acp -- gemini --acp'],
  ])('%s', (command, wanted) => {
    expect(conversationCommand(words(command))?.join(' ')).toBe(wanted);
  });

  it('of another program is not known', () => {
    expect(conversationCommand(['make'])).toBeNull();
    expect([['claude'], ['codex'], ['holdfast-acp'], ['make'], []].map(formatOfCommand)).toEqual([
      ...['claude', 'codex', 'acp'],
      ...[null, null],
    ]);
  });

  it.each([
    ['claude -p Fix', 'Fix'],
    ['codex exec --json', null],
    ['holdfast-acp --prompt Fix -- gemini --acp', 'Fix'],
    ['holdfast-acp --prompt=Fix -- gemini --acp', 'Fix'],
    ['holdfast-acp -- gemini --prompt x', null],
  ])('the message in %s is %j', (command, message) => {
    expect(messageOf(words(command))).toBe(message);
  });
});
