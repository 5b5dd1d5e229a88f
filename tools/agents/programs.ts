/**
 * The agents' published programs: their packages, how they are installed into a folder of their own,
 * and how each is told to use the model of this machine.
 *
 * Not dependencies of the repository: together they have more than 1 GB.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { AgentFormat } from '../../agent/index.ts';

const run = promisify(execFile);
const ACP = join(import.meta.dirname, '..', '..', 'acp', 'main.ts');
const INSTALL_TIMEOUT_MS = 600_000;

/** Those whose name ends with `-acp` run behind `holdfast-acp`. */
export const AGENTS = ['claude', 'codex', 'opencode', 'opencode-acp', 'claude-acp'] as const;
export type AgentName = (typeof AGENTS)[number];

/** What each prints. */
export const FORMATS: Readonly<Record<AgentName, AgentFormat>> = {
  claude: 'claude',
  codex: 'codex',
  opencode: 'opencode',
  'opencode-acp': 'acp',
  'claude-acp': 'acp',
};

/** The newest that were tried. */
const PACKAGES: Readonly<Record<AgentName, { name: string; version: string; bin: string }>> = {
  claude: { name: '@anthropic-ai/claude-code', version: '2.1.332', bin: 'claude' },
  codex: { name: '@openai/codex', version: '0.171.0', bin: 'codex' },
  opencode: { name: 'opencode-ai', version: '1.18.33', bin: 'opencode' },
  'opencode-acp': { name: 'opencode-ai', version: '1.18.33', bin: 'opencode' },
  'claude-acp': { name: '@agentclientprotocol/claude-agent-acp', version: '0.101.0', bin: 'claude-agent-acp' },
};

export interface Place {
  /** Where the packages are installed. */
  packages: string;
  /** The home of the agents: never that of the user. */
  home: string;
  /** A git repository with one file, hello.txt. */
  repository: string;
  /** Of the model server. */
  model: string;
}

export interface Invocation {
  command: string[];
  env: Record<string, string>;
  /** Whether the prompt, and the answers to what the agent asks, come over stdin. */
  openStdin: boolean;
}

/** Installs what is not there yet, from npm. Returns the packages with their versions. */
export async function install(folder: string, names: readonly AgentName[]): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  const wanted = [...new Set(names.map((name) => `${PACKAGES[name].name}@${PACKAGES[name].version}`))];
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const [program = 'npm', ...first] = npm;
  await run(program, [...first, 'install', '--no-audit', '--no-fund', '--loglevel=error', ...wanted], {
    cwd: folder,
    timeout: INSTALL_TIMEOUT_MS,
    // npm starts the install scripts of the packages with the `node` of the PATH.
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
  });
  return wanted;
}

/** Writes what the agent reads from files. */
export function prepare(name: AgentName, { home, model }: Place): void {
  if (name === 'codex') {
    const folder = join(home, '.codex');
    mkdirSync(folder, { recursive: true });
    const provider = `[model_providers.local]\nname = "Local"\nbase_url = "${model}/v1"\nwire_api = "responses"\nenv_key = "MODEL_KEY"\n`;
    writeFileSync(join(folder, 'config.toml'), `model = "gpt-5.5"\nmodel_provider = "local"\n\n${provider}`);
  }
  if (name !== 'opencode' && name !== 'opencode-acp') return;
  // `opencode run` refuses what it would ask about.
  const asks = name === 'opencode-acp' ? { permission: { edit: 'ask', bash: 'ask' } } : {};
  writeFileSync(join(home, 'opencode.json'), JSON.stringify({ ...opencodeConfig(model), ...asks }, null, 2));
}

/** One run of an agent on a prompt. `resume`: the agent's own id of the conversation to continue. */
export function invocation(name: AgentName, place: Place, prompt: string, resume: string | null = null): Invocation {
  const program = join(place.packages, 'node_modules', '.bin', PACKAGES[name].bin);
  const env = { HOME: place.home, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
  const bridge = [process.execPath, ACP, ...(resume === null ? [] : ['--resume', resume])];
  const claude = {
    ANTHROPIC_API_KEY: 'sk-local',
    ANTHROPIC_BASE_URL: place.model,
    DISABLE_TELEMETRY: '1',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  };
  const opencode = {
    OPENCODE_CONFIG: join(place.home, 'opencode.json'),
    OPENCODE_DISABLE_MODELS_FETCH: '1',
    OPENCODE_DISABLE_AUTOUPDATE: '1',
  };
  switch (name) {
    case 'claude':
      return {
        command: [
          program,
          ...['-p', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'],
          ...['--include-partial-messages', '--permission-prompt-tool', 'stdio'],
          ...(resume === null ? [] : ['--resume', resume]),
        ],
        env: { ...env, ...claude },
        openStdin: true,
      };
    case 'codex':
      return {
        command: [
          ...[program, 'exec'],
          ...(resume === null ? ['--json', '--sandbox', 'danger-full-access', prompt] : ['resume', '--json', resume, prompt]),
        ],
        env: { ...env, CODEX_HOME: join(place.home, '.codex'), MODEL_KEY: 'local' },
        openStdin: false,
      };
    case 'opencode':
      return {
        command: [...[program, 'run', '--format', 'json', '--thinking'], ...(resume === null ? [] : ['--session', resume]), prompt],
        env: { ...env, ...opencode },
        openStdin: false,
      };
    case 'opencode-acp':
      return { command: [...bridge, '--files', '--', program, 'acp'], env: { ...env, ...opencode }, openStdin: true };
    case 'claude-acp':
      // Its own mode lets a model decide about permissions. As root it opens no session without
      // IS_SANDBOX.
      return {
        command: [...bridge, '--mode', 'default', '--', program],
        env: { ...env, ...claude, IS_SANDBOX: '1' },
        openStdin: true,
      };
  }
}

function opencodeConfig(model: string): object {
  return {
    $schema: 'https://opencode.ai/config.json',
    model: 'local/model',
    small_model: 'local/model',
    autoupdate: false,
    share: 'disabled',
    enabled_providers: ['local'],
    provider: {
      local: {
        npm: '@ai-sdk/openai-compatible',
        name: 'Local',
        options: { baseURL: `${model}/v1`, apiKey: 'local' },
        models: {
          model: {
            name: 'Model',
            reasoning: true,
            tool_call: true,
            limit: { context: 100_000, output: 8000 },
            cost: { input: 1, output: 2, cache_read: 0.5 },
          },
        },
      },
    },
  };
}
