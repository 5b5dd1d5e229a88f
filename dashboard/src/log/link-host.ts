/**
 * Which host a link of the job goes to, when its text does not say so. A job may write any text over any address (OSC 8), also one host over another.
 */

/** What stands at the beginning of a text that is an address: its host, with a port. */
const SHOWN_HOST = /^\s*(?:https?:\/\/)?([^\s/?#]*)/i;

/**
 * The host to show beside the link, or null when its text begins with that host, letter for letter. So a user name before the host (`good.example@bad.example`)
 * and letters that only look alike (`xn--…`) count as different.
 */
export function hostToShow(href: string, text: string): string | null {
  const { host } = new URL(href);
  const shown = SHOWN_HOST.exec(text)?.[1] ?? '';
  return shown.toLowerCase() === host ? null : host;
}
