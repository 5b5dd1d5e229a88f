/** Splits an object name `tenant/session` at the first slash. Ids cannot contain a slash. */

export function splitName(name = ''): { tenant: string; session: string } {
  const cut = name.indexOf('/');
  return { tenant: name.slice(0, Math.max(0, cut)), session: name.slice(cut + 1) };
}
