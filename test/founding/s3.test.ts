/**
 * S3, openai/codex #23867 and after: replacing a dead connection, on the client's side and on the server's. In Holdfast the session that outlives its
 * connection is an execution, and what is detached is a wrapper in its grace. What a client replaces is the connection of a stream, and the credential
 * of its calls.
 *
 * One line is kept differently on purpose: "resuming one that is still attached is a retryable refusal". Here the same wrapper takes over at once (S4, ING3), because
 * the old connection is most often a half-open one; another wrapper is refused for good (ING2).
 */

import { covers } from './covered.ts';

covers('S3', [
  [
    'The coordinator client of a server is lazy: nothing is asked or opened before it is needed',
    'client/client.test.ts › asks nothing before it is asked',
    'client/one-replacement.test.ts › nothing is made before it is asked for',
  ],
  [
    'get() gives the current one while it is alive by both signals: the latch, and what it says itself',
    'client/one-replacement.test.ts › [O1] either signal ends it',
    'client/client.test.ts › a function is asked once for all who call together, and again only when its ticket is refused or over',
  ],
  [
    'Otherwise exactly one replacement is made, and all concurrent callers share it',
    'client/one-replacement.test.ts › [O2] all who ask while it is replaced share one attempt',
    'client/page-lifecycle.test.ts › visible, pageshow and online together make one connection and one ticket',
    'client/page-lifecycle.test.ts › callers who ask to reconnect together share one attempt',
    'client/react.test.ts › in Strict Mode, which puts every component up twice',
  ],
  [
    'A failed attempt poisons nothing; the next call tries again',
    'client/one-replacement.test.ts › [O3] a failed attempt poisons nothing',
    'client/client.test.ts › a function that fails is asked again within the budget, and its failure is not kept',
    'client/page-lifecycle.test.ts › a failed attempt leaves nothing behind',
  ],
  [
    'On the client, too, a late attempt of an old generation can never install itself',
    'client/one-replacement.test.ts › [O4] a late attempt of an old generation can never install itself',
    'client/page-lifecycle.test.ts › a ticket that an overtaken attempt was waiting for opens nothing when it comes',
    'client/session-stream.test.ts › frames and closes of an old socket change nothing',
  ],
  [
    'Detached sessions are cleaned up by TTL',
    'workers/lifecycle.test.ts › grace is a row: it survives eviction',
    'workers/lifecycle.test.ts › a socket that was lost without a close is noticed on the wake',
  ],
  [
    'Resuming one that is still attached (kept as: the same wrapper takes over, another is refused)',
    'workers/ingest.test.ts › the older socket closes 4001, which starts no grace',
    'workers/ingest.test.ts › another wrapper is refused with 4409 and the first is not disturbed',
  ],
  ['Resuming an expired one is final', 'workers/lifecycle.test.ts › resuming an expired one is final'],
  ['A stale detach is a no-op', 'workers/lifecycle.test.ts › a stale detach is a no-op'],
  ['At the boundary, expiry wins', 'workers/lifecycle.test.ts › expiry wins'],
  [
    'A late attempt of an old generation can never install itself',
    'workers/ingest.test.ts › frames of a lower epoch are ignored',
    'wrapper/connection.test.ts › a welcome that comes after the watchdog is nobody’s',
  ],
  [
    'What was attached to a dead connection fails loudly through its own path',
    'workers/lifecycle.test.ts › grace is a row',
    'wrapper/foreign-answers.test.ts › a coordinator that refuses %s until the grace is certainly over ends it',
  ],
  [
    'Idempotent calls may be made again across a recovery; input whose answer was lost is not',
    'workers/calls.test.ts › never',
    'client/http.test.ts › not input whose answer was lost',
    'client/http.test.ts › a lost answer leads to the same execution',
  ],
  [
    'The reader runs before the handshake answer is awaited: a burst ahead of it does not block it',
    'wrapper/connection.test.ts › says hello first, with its token, and is up after the welcome only',
  ],
  [
    'The recovery of the client is quicker than the grace of the server',
    'wrapper/connection.test.ts › several attempts fit into a short grace',
  ],
]);
