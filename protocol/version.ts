/**
 * The version of every program. It stands in that package.json and nowhere else. Not exported: a
 * client does not carry it.
 */

import manifest from '../packages/holdfast/package.json' with { type: 'json' };

export const VERSION: string = manifest.version;
