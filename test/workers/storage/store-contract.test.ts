/** The Durable Object's SQLite store keeps the contract that the simulator relies on. */

import { runInDurableObject } from 'cloudflare:test';
import { SessionStore } from '../../../src/storage/store.ts';
import { describeStore } from '../../support/store-contract.ts';
import { newSession, stubOf } from '../support/peers.ts';

describeStore('SQLite, in the Durable Object', (body) =>
  runInDurableObject(stubOf(newSession()), (_, { storage }) => body(() => new SessionStore(storage, Date.now()))),
);
