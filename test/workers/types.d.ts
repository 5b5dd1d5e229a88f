/** What `cloudflare:workers` exports in these tests: the Worker itself, and its bindings. */
type TestEnv = import('../../src/platform/env.ts').Env;

declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: typeof import('../../src/index.ts');
    durableNamespaces: 'SessionCoordinator' | 'TenantDirectory' | 'JobContainer';
  }
  interface Env extends TestEnv {}
}

/** Files as raw text. */
declare module '*?raw' {
  const text: string;
  export default text;
}

/** Several files at once, as Vite returns them. */
interface ImportMeta {
  glob<T>(pattern: string, options: { query: '?raw'; import: 'default'; eager: true }): Record<string, T>;
}
