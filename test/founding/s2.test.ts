/** S2, drewstone/cli-bridge #62: durable streams, the job apart from the connection, a single instance. */

import { covers } from './covered.ts';

covers('S2', [
  [
    'A second launch on the same port or spool exits 0 with a message and does not disturb the first',
    'e2e/job-apart.long.test.ts › a second runner on the same spool, or on the same port, exits 0',
    'wrapper/runner.long.test.ts › a second one on the same port exits 0 and leaves no lock behind',
  ],
  [
    'The lock has pid and process start identity; stale ones are reclaimed, corrupt or foreign ones refused',
    'wrapper/runner-lock.test.ts › takes over from a holder that is gone, also when its pid belongs to someone else by now',
    'wrapper/runner.long.test.ts › exits 1 when the port belongs to another program, or the lock can not be trusted',
    'wrapper/spool.test.ts › leaves a lock alone that it cannot read while a process has a file of the folder open',
  ],
  ['A disconnect of the client never aborts the job', 'e2e/job-apart.long.test.ts › a client that goes away aborts nothing'],
  [
    'Only an explicit cancel kills the process; it answers 202 until the exit is proven, and is idempotent',
    'e2e/job-apart.long.test.ts › a cancel is answered 202, however often, until the exit is proven',
    'wrapper/runner.long.test.ts › answers 202 until the exit is proven, then 200, and signals once',
  ],
  [
    'Events are kept by the server and replayed on reconnect by Last-Event-ID; a cursor ahead or expired is refused with the facts, never a silent restart at 0; contiguous ids',
    'workers/sse.test.ts › Last-Event-ID wins over after and tail',
    'workers/sse.test.ts › 400, 401, 404, 409 with head, 410 with earliest',
    'workers/sse.test.ts › readers keep no object awake, hear of everything, and miss and repeat nothing through cuts',
    'workers/stream-offsets.long.test.ts › from every offset of a log of 1,000 events gives exactly what follows it',
    'workers/stream.test.ts › an offset ahead of the log closes 4410 offset_ahead',
    'cli/cli.test.ts › what has expired is said, and what is left is shown',
  ],
  [
    'Dispatch is idempotent by run id and bound to a digest of the normalised request: same attaches, different is 409',
    'e2e/job-apart.long.test.ts › a dispatch is idempotent by its id and bound to its request',
    'wrapper/runner.long.test.ts › the same request again, with a new token, is the same run; a different one is a conflict',
  ],
  [
    'Saturation: 429 with Retry-After and the facts; a slot lives as long as the job',
    'e2e/job-apart.long.test.ts › a full runner answers 429 with the facts',
    'wrapper/runner.long.test.ts › says 429 with Retry-After and the facts when every slot is taken',
    'workers/launch.test.ts › a saturated runner is asked again after its Retry-After',
  ],
  [
    'A source that ends without an explicit terminal event is an error, never a success',
    'e2e/job-apart.long.test.ts › a source that ends without saying how is an error',
    'workers/lifecycle.test.ts › grace is a row',
  ],
]);
