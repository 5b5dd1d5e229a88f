/**
 * What the middleware of each group leaves for its handlers. A handler that uses what another group
 * has does not compile.
 */

import type { Context } from 'hono';
import type { Failure } from '../../protocol/index.ts';
import type { Caller } from '../operations/service.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import type { IngestClaims } from '../platform/tokens.ts';
import type { Reader } from './readers.ts';
import type { Group, IdsOf, PathOf } from './routes.ts';
import type { RunnerClaims } from './runner-upgrade.ts';

interface CommonVariables {
  requestId: string;
}

interface ConfiguredVariables extends CommonVariables {
  config: Config;
}

interface GroupVariables {
  public: CommonVariables;
  ingest: ConfiguredVariables & { wrapper: IngestClaims };
  reader: ConfiguredVariables & { reader: Reader };
  actor: ConfiguredVariables & { caller: Caller };
  key: ConfiguredVariables & { caller: Caller };
  runner: ConfiguredVariables & { runner: RunnerClaims };
}

export type AppEnv = { Bindings: Env; Variables: CommonVariables };
export type ConfiguredEnv = { Bindings: Env; Variables: ConfiguredVariables };
export type GroupEnv<G extends Group> = { Bindings: Env; Variables: GroupVariables[G] };

/** Exactly one handler for each route of the group. A failure becomes a problem document. */
export type Handlers<G extends Group> = {
  [Id in IdsOf<G>]: (c: Context<GroupEnv<G>, PathOf<G, Id>>) => Response | Promise<Response | Failure>;
};
