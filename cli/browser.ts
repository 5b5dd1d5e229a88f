/** Opens an address in the user's browser with the platform's opener. */

import { spawn } from 'node:child_process';

/**
 * Program and arguments. The address is one argument and is not parsed by a shell. Windows' `start`
 * is a shell command, in which `&` in an address would begin another command, so there it is the
 * handler that `start` itself would call.
 */
export function browserCommand(platform: NodeJS.Platform, url: string): [program: string, args: string[]] {
  switch (platform) {
    case 'darwin':
      return ['open', [url]];
    case 'win32':
      return ['rundll32', ['url.dll,FileProtocolHandler', url]];
    default:
      return ['xdg-open', [url]];
  }
}

/**
 * Null when the opener was started, otherwise the error. It runs detached: some openers stay as
 * long as the browser does.
 */
export function openInBrowser(url: string, platform: NodeJS.Platform = process.platform): Promise<string | null> {
  const [program, args] = browserCommand(platform, url);
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
