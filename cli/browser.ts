/** Opens an address in the user's browser by what the platform has for it. */

import { spawn } from 'node:child_process';

/**
 * Program and arguments; the address is one argument and no shell reads it. Windows' `start` is a word of its shell, in which `&` in an address
 * would begin another command, so there it is the handler that `start` itself would call.
 */
export function openerOf(platform: NodeJS.Platform, url: string): [program: string, args: string[]] {
  switch (platform) {
    case 'darwin':
      return ['open', [url]];
    case 'win32':
      return ['rundll32', ['url.dll,FileProtocolHandler', url]];
    default:
      return ['xdg-open', [url]];
  }
}

/** Null when the opener was started, else why not. It is left to itself: some stay for as long as the browser does. */
export function openInBrowser(url: string, platform: NodeJS.Platform = process.platform): Promise<string | null> {
  const [program, args] = openerOf(platform, url);
  return new Promise((resolve) => {
    const opener = spawn(program, args, { stdio: 'ignore', detached: true, shell: false });
    opener.on('spawn', () => {
      opener.unref();
      resolve(null);
    });
    opener.on('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ENOENT' ? `there is no ${program}` : error.message),
    );
  });
}
