/** The cases of limit-edges.test.ts about what a caller sends. */

import { tryEdges } from './cases/edges.ts';
import { STARTS } from './cases/starts.ts';

tryEdges(STARTS);
