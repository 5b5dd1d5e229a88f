/** What `cloudflare:workers` exports in these tests: the Worker itself, and its bindings. */
declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: typeof import('../../src/index.ts');
    durableNamespaces: 'SessionCoordinator';
  }
  interface Env extends import('../../src/env.ts').Env {}
}
