/** Objects of one session are named `tenant/session`. Ids may not contain a slash, so the first one divides. */

export function splitName(name = ''): { tenant: string; session: string } {
  const cut = name.indexOf('/');
  return { tenant: name.slice(0, Math.max(0, cut)), session: name.slice(cut + 1) };
}
