/**
 * The page's Content-Security-Policy requires Trusted Types: no text becomes markup or code. One thing that looks like it is wanted, a worker
 * started from a script of this build, and the default policy lets just that through. Browsers without Trusted Types lack this guard only.
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
