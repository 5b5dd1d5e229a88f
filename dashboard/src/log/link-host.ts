/**
 * The host of a link in job output, when its text does not show it. A job may write any text over
 * any address (OSC 8), including the name of another host.
 */

/** The host, with a port, at the beginning of a text that is an address. */
const SHOWN_HOST = /^\s*(?:https?:\/\/)?([^\s/?#]*)/i;

/**
 * The host to show next to the link, or null when its text begins with that host, letter for
 * letter. So a user name before the host (`good.example@bad.example`) and letters that only look
 * alike (`xn--…`) count as different.
 */
export function hostToShow(href: string, text: string): string | null {
  const { host } = new URL(href);
  const shown = SHOWN_HOST.exec(text)?.[1] ?? '';
  return shown.toLowerCase() === host ? null : host;
}
