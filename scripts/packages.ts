/** The tarballs of the packages, as a registry would get them. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './stack.ts';

export interface Packed {
  /** Path of the tarball. */
  tarball: string;
  sizeBytes: number;
  files: string[];
}

/** `npm run` names its own npm, which is used again whatever else is on the PATH. */
export function npm(args: readonly string[], cwd = ROOT): string {
  const script = process.env.npm_execpath?.endsWith('.js') ? process.env.npm_execpath : null;
  const [program, first] = script ? [process.execPath, [script]] : ['npm', []];
  const { status, stdout, stderr, error } = spawnSync(program, [...first, ...args], { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed (${error?.message ?? status}):\n${stdout}${stderr}`);
  return stdout;
}

/** Builds once for both, and puts the tarballs into the folder. */
export function packPackages(into: string): { holdfast: Packed; client: Packed } {
  const build = spawnSync(process.execPath, [join(ROOT, 'scripts', 'build.mjs')], { cwd: ROOT, encoding: 'utf8' });
  if (build.status !== 0) throw new Error(`the packages could not be built:\n${build.stdout}${build.stderr}`);
  const pack = (name: string): Packed => {
    const said = npm(['pack', '--workspace', name, '--ignore-scripts', '--json', '--pack-destination', into]);
    const [packed] = Object.values(JSON.parse(said)) as { filename: string; size: number; files: { path: string }[] }[];
    if (!packed) throw new Error(`npm pack said nothing of ${name}`);
    return {
      tarball: join(into, packed.filename.replace('@', '').replace('/', '-')),
      sizeBytes: packed.size,
      files: packed.files.map(({ path }) => path),
    };
  };
  return { holdfast: pack('holdfast'), client: pack('@holdfast/client') };
}
