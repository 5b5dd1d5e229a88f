/**
 * Goal: browsers keep to https on a host of one's own, and on no other. Method: addresses, and one
 * answer of the API in test/workers/auth/ticket-until.test.ts.
 */

import { expect, it } from 'vitest';
import { HSTS, hstsFor } from '../../src/http/hsts.ts';

it.each([
  'https://holdfast.example.com/',
  'https://holdfast.test/v1/sessions',
  'https://notworkers.dev/',
  'https://a.localhost.example/',
])('[HTTP20] %s is kept to https', (url) => expect(hstsFor(url)).toBe(HSTS));

it.each([
  'http://holdfast.example.com/',
  'http://127.0.0.1:8787/',
  'https://127.0.0.1:8787/',
  'https://[::1]:8787/',
  'https://localhost:8787/',
  'https://a.localhost/',
  'https://holdfast.acme.workers.dev/',
])('[HTTP20] %s is not', (url) => expect(hstsFor(url)).toBeNull());
