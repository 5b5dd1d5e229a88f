/** What `cloudflare:workers` exports in these tests: the Worker itself, and its bindings. */
type TestEnv = import('../../src/env.ts').Env;

declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: typeof import('../../src/index.ts');
    durableNamespaces: 'SessionCoordinator' | 'TenantDirectory';
  }
  interface Env extends TestEnv {}
}

/** Files read as they are. */
declare module '*?raw' {
  const text: string;
  export default text;
}
