/** `npm test [-- vitest arguments]`: builds the two programs that the tests run as a user would, then runs every test. */

import { join } from 'node:path';
import { run } from './run.ts';
import { ROOT } from './stack.ts';

const built = await run(process.execPath, [join(ROOT, 'scripts', 'build.mjs')]);
if (built !== 0) process.exit(built);
process.exit(await run(process.execPath, [join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)]));
