/** S1, cluesmith/codev #972: one transport-agnostic reconnect policy. */

import { covers } from './covered.ts';

covers('S1', [
  [
    'backoffDelayMs: the floor is past curve, jitter and cap; else the capped curve; random is not called when jitterMs is 0',
    'contract/reconnect-policy.test.ts › is min(baseMs·2^attempt + floor(random()·jitterMs), capMs)',
    'contract/reconnect-policy.test.ts › from floor.afterAttempts on the answer is floor.delayMs',
    'contract/reconnect-policy.test.ts › the floor is past curve, jitter and cap',
    'contract/reconnect-policy.test.ts › random is not called when jitterMs is 0',
  ],
  [
    'BackoffController: status and attempt, start, recordFailure, nextDelayMs, recordSuccess, reset, stop; Infinity never gives up',
    'contract/reconnect-policy.test.ts › begins idle at attempt 0',
    'contract/reconnect-policy.test.ts › start() is connecting',
    'contract/reconnect-policy.test.ts › recordFailure() is retry with attempt + 1',
    'contract/reconnect-policy.test.ts › give-up is giving-up with the attempt unchanged',
    'contract/reconnect-policy.test.ts › nextDelayMs() is the curve of attempt − 1',
    'contract/reconnect-policy.test.ts › recordSuccess() is attempt 0, connected',
    'contract/reconnect-policy.test.ts › reset() is the manual reconnect',
    'contract/reconnect-policy.test.ts › stop() is idle',
    'contract/reconnect-policy.test.ts › Infinity never gives up',
  ],
  [
    'classifyUpgradeError: permanent for 4404, 400–499, "Unexpected server response: 4xx"; all else transient',
    'contract/reconnect-policy.test.ts › code 4404 is permanent',
    'contract/reconnect-policy.test.ts › code %s is permanent',
    'contract/reconnect-policy.test.ts › code %s is transient',
    'contract/reconnect-policy.test.ts › an error that says nothing is transient',
  ],
  [
    'Ours on top: jitter also at the cap, a total-time budget, Retry-After, one table of codes and statuses',
    'contract/reconnect-policy.test.ts › the cap holds for jitter too',
    'contract/reconnect-policy.test.ts › a total-time budget',
    'wrapper/connection.test.ts › honours Retry-After',
    'contract/close-codes.test.ts › a code from 4000 to 4999 that is not known stops',
  ],
  [
    'A browser can not see the status of a refused upgrade: refusals are accept-then-close',
    'workers/stream.test.ts › refusals are an accepted socket that closes with a code',
    'workers/stream.test.ts › an unknown session or execution closes 4404',
  ],
  [
    'Giving up leaves a way back: reconnect() truly reconnects',
    'client/session-stream.test.ts › giveUpAfterMs ends it as unreachable, and reconnect() is the way back',
  ],
  [
    'Exactly one socket per attempt; a late close of an old socket changes nothing; closing cancels a waiting retry',
    'client/session-stream.test.ts › exactly one socket per attempt',
    'client/session-stream.test.ts › frames and closes of an old socket change nothing',
    'client/session-stream.test.ts › a close while waiting to retry cancels the retry',
  ],
  [
    'Learned since: a connect watchdog, because half-open handshakes hang for ever',
    'client/session-stream.test.ts › is given up by the watchdog',
    'wrapper/connection.test.ts › gives up an upgrade that nobody answers',
  ],
  [
    'Learned since: backpressure is not answered by "reconnect for a fresh replay"',
    'client/session-stream.test.ts › acks follow the consumer',
    'workers/stream.test.ts › flow=ack keeps at most the window in flight',
  ],
  [
    'Learned since: a deterministic failure retried is an amplifier',
    'client/session-stream.test.ts › a coordinator that greets and closes at once is not hammered',
    'wrapper/foreign-answers.test.ts › a wrong token ends it soon, with the cause from the first refusal on',
  ],
]);
