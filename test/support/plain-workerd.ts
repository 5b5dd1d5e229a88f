/**
 * The coordinator on plain `workerd serve`, for the large tests: the bundle that `wrangler deploy
 * --dry-run` writes, SQLite on the local disk, a queue that keeps its messages (queue-worker.mjs),
 * and no proxy in front. The proxy of `wrangler dev` handles about 1,200 messages a second at most,
 * for all sessions together.
 *
 * Starts no process: `Stack` starts what `command` returns.
 */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/stack.ts';

const WRANGLER = join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js');
const WORKERD = join(ROOT, 'node_modules', '.bin', 'workerd');
const QUEUE_WORKER = 'queue-worker.mjs';

export interface PlainWorkerd {
  /**
   * Program and arguments of a coordinator on this port, with these variables, and its data in this
   * folder. Calling it again with the same arguments gives the same result.
   */
  command: (at: { port: number; data: string; variables: Readonly<Record<string, string>> }) => string[];
  /** Port of workerd's debugger, which reports the heap. */
  inspectorPort: number;
}

/** Bundles the Worker into the folder, so that edits during a run have no effect. */
export async function preparePlainWorkerd(folder: string, inspectorPort: number): Promise<PlainWorkerd> {
  const bundle = join(folder, 'bundle');
  const config = join(ROOT, 'wrangler.toml');
  const { unstable_readConfig } = await import('wrangler');
  const read = unstable_readConfig({ config });
  // wrangler requires the dashboard's folder. These tests do not request it.
  if (read.assets?.directory) mkdirSync(read.assets.directory, { recursive: true });
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [WRANGLER, 'deploy', '--dry-run', '--outdir', bundle, '--config', config],
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: 'true' } },
  );
  if (status !== 0) throw new Error(`the Worker could not be bundled: ${stdout}${stderr}`);
  copyFileSync(join(import.meta.dirname, QUEUE_WORKER), join(bundle, QUEUE_WORKER));
  const modules = readdirSync(bundle).filter((name) => !/\.(map|md|capnp)$/.test(name) && name !== QUEUE_WORKER);
  const worker: Omit<WorkerText, 'variables'> = {
    compatibilityDate: read.compatibility_date ?? '',
    compatibilityFlags: read.compatibility_flags,
    objects: read.durable_objects.bindings.map(({ name, class_name }: { name: string; class_name: string }) => ({
      binding: name,
      className: class_name,
    })),
    queues: (read.queues.producers ?? []).map(({ binding, queue }: { binding: string; queue: string }) => ({ binding, queue })),
    modules,
  };
  return {
    inspectorPort,
    command: ({ port, data, variables }) => {
      const disk = join(data, 'coordinator');
      mkdirSync(disk, { recursive: true });
      const file = join(bundle, 'config.capnp');
      const text = configText({ ...worker, variables: { ...read.vars, ...variables } as Record<string, string> }, port, disk);
      writeFileSync(file, text, { mode: 0o600 });
      return [WORKERD, 'serve', file, '--experimental', `--inspector-addr=127.0.0.1:${inspectorPort}`];
    },
  };
}

interface WorkerText {
  compatibilityDate: string;
  compatibilityFlags: readonly string[];
  objects: readonly { binding: string; className: string }[];
  queues: readonly { binding: string; queue: string }[];
  variables: Readonly<Record<string, string>>;
  /** Files next to the configuration: one `.js`, the others text. */
  modules: readonly string[];
}

const quoted = (text: string): string => JSON.stringify(text);
const listed = (items: readonly string[]): string => items.map((item) => `\n    ${item},`).join('');

function configText(
  { compatibilityDate, compatibilityFlags, objects, queues, variables, modules }: WorkerText,
  port: number,
  disk: string,
): string {
  // The entry is the first module.
  const ordered = [...modules].sort((a, b) => Number(b.endsWith('.js')) - Number(a.endsWith('.js')));
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "disk", disk = (path = ${quoted(disk)}, writable = true)),${queues
      .map(({ queue }) => `\n    (name = ${quoted(queue)}, worker = .queue),`)
      .join('')}
    # Runner and receivers of callbacks are on this machine.
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);

const main :Workerd.Worker = (
  compatibilityDate = ${quoted(compatibilityDate)},
  compatibilityFlags = [${compatibilityFlags.map(quoted).join(', ')}],
  modules = [${listed(
    ordered.map((name) =>
      name.endsWith('.js')
        ? `(name = ${quoted(name)}, esModule = embed ${quoted(name)})`
        : `(name = ${quoted(`./${name}`)}, text = embed ${quoted(name)})`,
    ),
  )}
  ],
  bindings = [${listed([
    ...objects.map(({ binding, className }) => `(name = ${quoted(binding)}, durableObjectNamespace = ${quoted(className)})`),
    ...queues.map(({ binding, queue }) => `(name = ${quoted(binding)}, queue = ${quoted(queue)})`),
    ...Object.entries(variables).map(([name, value]) => `(name = ${quoted(name)}, text = ${quoted(value)})`),
  ])}
  ],
  durableObjectNamespaces = [${listed(
    objects.map(({ className }) => `(className = ${quoted(className)}, uniqueKey = ${quoted(className)}, enableSql = true)`),
  )}
  ],
  durableObjectStorage = (localDisk = "disk"),
);

const queue :Workerd.Worker = (
  compatibilityDate = ${quoted(compatibilityDate)},
  compatibilityFlags = ["service_binding_extra_handlers"],
  modules = [(name = ${quoted(QUEUE_WORKER)}, esModule = embed ${quoted(QUEUE_WORKER)})],
  bindings = [
    (name = "NAME", text = ${quoted(queues[0]?.queue ?? '')}),
    (name = "QUEUE", durableObjectNamespace = "QueueObject"),
    (name = "CONSUMER", service = "main"),
  ],
  durableObjectNamespaces = [(className = "QueueObject", uniqueKey = "QueueObject", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}
