/** S4, Kilo-Org/cloud #916 and #917: cloud-agent-next, and the faults its authors met. */

import { covers } from './covered.ts';

covers('S4', [
  [
    'failExecution is one idempotent function behind every failure: disconnect, stale running, stuck pending, launcher error, and a call of others',
    'workers/lifecycle.test.ts › settles once: the second call says false and adds no event',
    'workers/lifecycle.test.ts › grace is a row',
    'workers/lifecycle.test.ts › a wrapper that never connects fails the execution',
    'workers/launch.test.ts › a runner that refuses fails the execution as launch_failed',
  ],
  [
    'Failing one clears only its own interrupt, never the activity or interrupt of a newer one',
    'workers/lifecycle.test.ts › failing one does not touch the next: neither its activity nor its interrupt',
  ],
  [
    'The reaper: a second alarm after a failure emits nothing; it works with zero executions',
    'workers/lifecycle.test.ts › a second alarm after the failure emits nothing',
    'workers/lifecycle.test.ts › the alarm works with zero executions',
  ],
  [
    'Grace after a lost socket: persisted, alarm-driven, survives hibernation; reconnecting within it cancels it',
    'workers/lifecycle.test.ts › grace is a row: it survives eviction',
    'workers/ingest.test.ts › reconnecting within the grace ends it',
  ],
  [
    'getWebSockets() is the only register; a new connection replaces and closes all older ones; the close of a replaced socket starts no grace',
    'workers/ingest.test.ts › the older socket closes 4001, which starts no grace',
    'workers/lifecycle.test.ts › evicted, sockets kept: nobody notices',
    'workers/lifecycle.test.ts › a stale detach is a no-op',
  ],
  [
    'Close 4000 is done: not a disconnect, and it suppresses nothing',
    'workers/ingest.test.ts › closes 4000 with its status after the terminal event was acked',
    'wrapper/connection.test.ts › 4000 is the good end, not a disconnect',
  ],
  [
    'wrapper_disconnected keeps {reason, wsCloseCode, wsCloseReason}; failures add {error, fatal}',
    'workers/ingest.test.ts › reconnecting within the grace ends it',
    'workers/lifecycle.test.ts › grace is a row: it survives eviction, and names how the connection ended',
  ],
  [
    'Wrapper: buffers while disconnected, with backoff',
    'wrapper/supervisor.test.ts › through five cuts of the network',
    'wrapper/connection.test.ts › the first retry is immediate',
  ],
  [
    'Wrapper: generation counter against zombie sockets; explicit close() never reconnects',
    'wrapper/connection.test.ts › a welcome that comes after the watchdog is nobody’s',
    'wrapper/connection.test.ts › never reconnects: not when up, not while waiting, not while dialing',
  ],
  [
    'Wrapper: heartbeat pauses with the connection; agent-stream health checks rest while reconnecting',
    'wrapper/connection.test.ts › a half-open connection is noticed by the missing pong',
    'wrapper/agent-stream.test.ts › a silent stream is connected to anew, but not while the ingest connection is down',
  ],
  [
    'State that one execution set does not leak into the next: a wrapper process is one execution, a spool belongs to one',
    'wrapper/spool.test.ts › refuses the spool of another execution',
    'wrapper/runner.long.test.ts › many identical requests at once start one wrapper',
  ],
  ['The completion of a child unit is not the completion of the run', 'workers/lifecycle.test.ts › the completion of a child unit'],
  [
    '/stream: filters, replay in bounded rounds, tickets, origin check',
    'workers/stream.test.ts › types= leaves holes',
    'workers/stream.test.ts › flow=ack keeps at most the window in flight',
    'workers/stream.test.ts › a ticket for one execution and some types gives no more',
    'workers/stream.test.ts › a foreign origin',
  ],
  [
    'Fault: half-open socket, no close for minutes',
    'workers/lifecycle.test.ts › silence is a disconnect: a half-open socket is found by the age of its last ping',
    'wrapper/connection.test.ts › a half-open connection is noticed by the missing pong',
  ],
  [
    'Fault: a client timeout against a slow accept leaves zombie accepted sockets',
    'workers/ingest.test.ts › silence closes 4408 after ten seconds',
    'workers/ingest.test.ts › more silent sockets than allowed push out the oldest',
    'wrapper/connection.test.ts › a welcome that comes after the watchdog is nobody’s',
  ],
  [
    'Fault: an error inside the failure path locks a session',
    'workers/lifecycle.test.ts › a write that fails in the middle of settling undoes all of it',
  ],
  ['Fault: a broadcast failure blocks a state change', 'workers/lifecycle.test.ts › a broadcast that fails blocks no state change'],
  [
    'Fault: an oversize event closes the connection for ever',
    'wrapper/text-splitter.test.ts › the worst piece still fits one event',
    'wrapper/text-splitter.test.ts › passes an object at the size limit, and gives a longer one as text without losing any of it',
    'workers/ingest.test.ts › the limit is exact',
  ],
  ['Fault: a reaper kills sessions that never wrote the liveness field', 'workers/lifecycle.test.ts › never having pinged'],
  [
    'Fault: the alarm is lost, and nothing pending ever again',
    'workers/lifecycle.test.ts › is repaired on a wake when it was lost',
    'workers/launch.test.ts › an attempt that died with its object is made again when its lease is over',
  ],
  [
    'Fault: inner timeouts longer than outer ones',
    'contract/policy.test.ts › half',
    'wrapper/connection.test.ts › several attempts fit into a short grace',
  ],
  ['Fault: a stop hits a sibling', 'workers/lifecycle.test.ts › stopping one does not stop its sibling'],
  [
    'Fault: the replay of an old "idle" resolves a new wait',
    'workers/lifecycle.test.ts › an old end does not answer a new wait',
    'client/session-stream.test.ts › an execution that ended before is ended, never waited for',
  ],
  [
    'Fault: a wrapper crash loses the buffer',
    'wrapper/spool.test.ts › is on disk when it is announced, and survives a crash',
    'e2e/runner-faults.test.ts › a wrapper that is killed is restarted, reports its own crash',
  ],
  [
    'Fault: frozen tabs, and tickets expired on reconnect',
    'client/session-stream.test.ts › a ticket is minted for every connection',
    'client/session-stream.test.ts › a ticket that expires after a sound while is refreshed each time',
    'client/session-stream.test.ts › probe() keeps a sound connection and replaces a dead one',
  ],
]);
