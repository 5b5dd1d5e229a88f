/** The configuration of `workerd serve` for one Worker with SQLite objects. Pure. */

export interface WorkerConfig {
  compatibilityDate: string;
  compatibilityFlags: readonly string[];
  objects: readonly { binding: string; className: string }[];
  vars: Readonly<Record<string, string>>;
  /** Files next to the configuration: one `.js`, the rest text. */
  modules: readonly string[];
  port: number;
  /** Folder of the databases. */
  disk: string;
}

const quoted = (text: string): string => JSON.stringify(text);

export function configText({ compatibilityDate, compatibilityFlags, objects, vars, modules, port, disk }: WorkerConfig): string {
  // The entry is the first module.
  const ordered = [...modules].sort((a, b) => Number(b.endsWith('.js')) - Number(a.endsWith('.js')));
  const moduleTexts = ordered.map((name) =>
    name.endsWith('.js')
      ? `(name = ${quoted(name)}, esModule = embed ${quoted(name)})`
      : `(name = ${quoted(`./${name}`)}, text = embed ${quoted(name)})`,
  );
  const bindings = [
    ...objects.map(({ binding, className }) => `(name = ${quoted(binding)}, durableObjectNamespace = ${quoted(className)})`),
    ...Object.entries(vars).map(([name, value]) => `(name = ${quoted(name)}, text = ${quoted(value)})`),
  ];
  const namespaces = objects.map(
    ({ className }) => `(className = ${quoted(className)}, uniqueKey = ${quoted(className)}, enableSql = true)`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "disk", disk = (path = ${quoted(disk)}, writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);

const main :Workerd.Worker = (
  compatibilityDate = ${quoted(compatibilityDate)},
  compatibilityFlags = [${compatibilityFlags.map(quoted).join(', ')}],
  modules = [
    ${moduleTexts.join(',\n    ')},
  ],
  bindings = [
    ${bindings.join(',\n    ')},
  ],
  durableObjectNamespaces = [
    ${namespaces.join(',\n    ')},
  ],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}
