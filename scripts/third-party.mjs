// The licences of the packages whose code is in a bundle. They ask for their text in every copy.
// Plain JavaScript, because the build uses it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const RULE = '-'.repeat(80);
const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

/**
 * The folders of the packages that esbuild's metafile has code of, without those of a bundle that
 * took nothing from them.
 */
export function bundledPackages({ outputs }) {
  const folders = new Set();
  for (const { inputs } of Object.values(outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
      const [, folder] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file) ?? [];
      if (folder !== undefined && bytesInOutput > 0) folders.add(folder);
    }
  }
  return folders;
}

/** Texts from the repositories of packages that are published without theirs. */
const TEXTS = join('scripts', 'licences');

/** Throws when a package has no text of its licence: then it must not be bundled. */
export function thirdPartyLicences(root, folders) {
  const parts = [...folders].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const own = readdirSync(join(root, folder)).filter((file) => LICENCE_FILE.test(file) && !/\.(js|ts|json)$/.test(file));
    const files = own.sort().map((file) => join(root, folder, file));
    const given = join(root, TEXTS, `${name.replace('/', '+')}.txt`);
    if (files.length === 0 && existsSync(given)) files.push(given);
    if (files.length === 0) throw new Error(`${folder} is bundled and has no file with its licence: add it as ${given}`);
    const texts = files.map((file) => readFileSync(file, 'utf8').trim());
    return `${name} ${version} (${license})\n\n${texts.join('\n\n')}\n`;
  });
  const list = [...new Set(parts)].sort();
  return ['Code of these packages is in the files of this package, under their own licences.\n', ...list].join(`\n${RULE}\n\n`);
}
