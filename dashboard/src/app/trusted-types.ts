/**
 * The page's Content-Security-Policy requires Trusted Types: text never becomes markup or code. One
 * exception is needed, a worker started from a script of this build, and the default policy allows
 * just that. Browsers without Trusted Types lack only this guard.
 */

/** Throws for any URL that is not a script of this build. */
export function ownScriptUrl(url: string, origin: string): string {
  const { origin: from, pathname } = new URL(url, origin);
  if (from !== origin || !/^\/assets\/[\w.-]+\.js$/.test(pathname)) throw new TypeError(`${url} is no script of this page`);
  return url;
}

interface TrustedTypesFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}

export function installTrustedTypes(): void {
  const { trustedTypes } = window as { trustedTypes?: TrustedTypesFactory };
  trustedTypes?.createPolicy('default', { createScriptURL: (url) => ownScriptUrl(url, window.location.origin) });
}
