/** The cases of limit-edges.test.ts about a session and its readers. */

import { tryEdges } from './limits/edges.ts';
import { SESSIONS } from './limits/sessions.ts';

tryEdges(SESSIONS);
