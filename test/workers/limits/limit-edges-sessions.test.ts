/** The cases of limit-edges.test.ts about a session and its readers. */

import { tryEdges } from './cases/edges.ts';
import { SESSIONS } from './cases/sessions.ts';

tryEdges(SESSIONS);
