/** The cases of limit-edges.test.ts about what a caller sends. */

import { tryEdges } from './limits/edges.ts';
import { STARTS } from './limits/starts.ts';

tryEdges(STARTS);
