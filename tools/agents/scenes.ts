/**
 * What the model of the agents says, as scenes of steps. A prompt names its scene as `[scene NAME]`;
 * the model answers with the next step each time the agent comes back with the results of its tools.
 */

export type Part =
  | { kind: 'say'; text: string }
  | { kind: 'think'; text: string }
  /** A call of one of the agent's own tools. */
  | { kind: 'call'; tool: string; input: Readonly<Record<string, unknown>> }
  /** A call whose input is text and not JSON: Codex's apply_patch. */
  | { kind: 'callText'; tool: string; input: string };

export type Step = readonly Part[];

const say = (text: string): Part => ({ kind: 'say', text });
const think = (text: string): Part => ({ kind: 'think', text });
const call = (tool: string, input: Readonly<Record<string, unknown>>): Part => ({ kind: 'call', tool, input });

const DONE = 'Done. The file says **hello, world**.\n\n```sh\ncat hello.txt\n```';

/** `repository`: where the agent works; its tools want absolute paths. */
export function scenes(repository: string): Readonly<Record<string, readonly Step[]>> {
  const hello = `${repository}/hello.txt`;
  return {
    second: [[say('This is the **second** turn.')]],

    'claude-tools': [
      [
        think('The files first.'),
        say('I will look at the files.'),
        call('Bash', { command: 'ls; echo done', description: 'List files' }),
      ],
      [call('Read', { file_path: hello }), call('Bash', { command: 'echo oops >&2; exit 3', description: 'Fails on purpose' })],
      [call('Edit', { file_path: hello, old_string: 'hello', new_string: 'hello, world' })],
      [say(DONE)],
    ],
    'claude-permission': [
      [say('I need to write a file.'), call('Write', { file_path: `${repository}/new.txt`, content: 'one\ntwo\n' })],
      [say('Finished.')],
    ],
    'claude-question': [
      [
        call('AskUserQuestion', {
          questions: [
            {
              question: 'Which colour?',
              header: 'Colour',
              multiSelect: false,
              options: [
                { label: 'Red', description: 'Warm' },
                { label: 'Blue', description: 'Cool' },
              ],
            },
          ],
        }),
      ],
      [say('Thank you.')],
    ],

    'codex-tools': [
      [think('**Looking**\n\nThe files first.'), say('I will look at the files.'), call('exec_command', { cmd: 'ls; echo done' })],
      [call('exec_command', { cmd: 'echo oops >&2; exit 3' })],
      [
        {
          kind: 'callText',
          tool: 'apply_patch',
          input: '*** Begin Patch\n*** Update File: hello.txt\n@@\n-hello\n+hello, world\n*** End Patch',
        },
      ],
      [say(DONE)],
    ],
    'codex-permission': [
      [
        call('exec_command', {
          cmd: `echo asked > ${repository}/new.txt`,
          sandbox_permissions: 'require_escalated',
          justification: 'May I write a file?',
        }),
      ],
      [say('Finished.')],
    ],

    'opencode-tools': [
      [
        think('The files first.'),
        say('I will look at the files.'),
        call('bash', { command: 'ls; echo done', description: 'List files' }),
      ],
      [call('read', { filePath: hello }), call('bash', { command: 'echo oops >&2; exit 3', description: 'Fails on purpose' })],
      [call('edit', { filePath: hello, oldString: 'hello', newString: 'hello, world' })],
      [
        call('todowrite', {
          todos: [
            { id: '1', content: 'Read the file', status: 'completed', priority: 'high' },
            { id: '2', content: 'Say so', status: 'in_progress', priority: 'low' },
          ],
        }),
      ],
      [say(DONE)],
    ],
    'opencode-permission': [
      [say('I need to write a file.'), call('write', { filePath: `${repository}/new.txt`, content: 'one\ntwo\n' })],
      [say('Finished.')],
    ],
  };
}
