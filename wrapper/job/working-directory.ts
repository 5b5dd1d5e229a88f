import { statSync } from 'node:fs';

/** Whether a job can be started in this directory. */
export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
