/**
 * The contract between the three programs. It imports no platform, and no other folder of this
 * repository.
 *
 *   ids               names of sessions, executions, wrappers
 *   statuses, policy  the lifecycle's words and times
 *   events, frames    what a wrapper sends, what the coordinator answers; strict parsers for both
 *   stream            what a viewer gets
 *   known-events      the events of a log as types
 *   asking            questions of an agent, and their answers
 *   close-codes       close codes
 *   next-step         whose answer counts, and what a peer does next
 *   reconnect-policy  when the next attempt is made
 *   clock             the clock of every budget
 *   connection-failure  why a connection could not be made, as text
 *   job-env           variables of a job that its wrapper sets
 *   api               HTTP and RPC data, problem codes; rpc: the methods of the RPC; callback: the
 *                     body of a callback; again: a start with the terms of an earlier one
 *   limits            every bound
 *   launch, pool      what a coordinator asks of a runner, and a runner that dials in; not exported
 *                     here, because they need zod
 *   json, version     for our own programs; not exported
 *
 * A page gets only the parts that it uses: a call or `new` at the top of a module is marked
 * `@__PURE__`; otherwise a bundler would have to keep it.
 */

export * from './again.ts';
export * from './api.ts';
export * from './asking.ts';
export * from './callback.ts';
export * from './clock.ts';
export * from './close-codes.ts';
export * from './connection-failure.ts';
export * from './events.ts';
export * from './frames.ts';
export * from './ids.ts';
export * from './job-env.ts';
export * from './known-events.ts';
export * from './limits.ts';
export * from './next-step.ts';
export * from './policy.ts';
export * from './reconnect-policy.ts';
export * from './rpc.ts';
export * from './statuses.ts';
export * from './stream.ts';
