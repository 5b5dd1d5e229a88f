/**
 * The form of what a caller hands in, before its fields are looked at. Over HTTP it was JSON text of bounded size. Over RPC it is whatever the platform can
 * carry: 32 MiB of it, objects that hold themselves, maps, streams, functions of the caller that would be called by reading them. Only what JSON could say in
 * as many bytes as a body may have goes on to the schemas; so a request is never taken by one way and refused by the other, nor taken here and then too
 * large for a runner.
 */

import { type Failure, START_BODY_BYTES_MAX, utf8Bytes } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';

/** What is wrong with it, or null. The work is bounded by the limit: what is held in two places counts twice, what holds itself without end. */
export function refusalOfForm(input: unknown): Failure | null {
  const waiting: unknown[] = [input];
  let bytes = 0;
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (!isPlain(value)) return notPlain();
    if (Array.isArray(value)) {
      bytes += bracketsOf(value.length);
      if (bytes + value.length > START_BODY_BYTES_MAX) return tooLarge();
      for (const inner of value) waiting.push(inner === undefined ? null : inner);
    } else if (typeof value === 'object' && value !== null) {
      const members = Object.entries(value).filter(([, inner]) => inner !== undefined);
      bytes += bracketsOf(members.length);
      for (const [name, inner] of members) {
        bytes += textBytes(name, bytes) + 1;
        if (bytes > START_BODY_BYTES_MAX) return tooLarge();
        waiting.push(inner);
      }
    } else {
      bytes += typeof value === 'string' ? textBytes(value, bytes) : String(value).length;
    }
    if (bytes > START_BODY_BYTES_MAX) return tooLarge();
  }
  return null;
}

function isPlain(value: unknown): boolean {
  if (typeof value === 'function' || typeof value === 'bigint') return false;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Of a list or an object, with the commas between so many. */
const bracketsOf = (count: number): number => 2 + Math.max(0, count - 1);

/** As a JSON text. Not counted to the end where the number of characters decides. */
const textBytes = (text: string, before: number): number =>
  before + text.length > START_BODY_BYTES_MAX ? text.length : utf8Bytes(JSON.stringify(text));

const tooLarge = (): Failure =>
  failure('too_large', `A request may have at most ${START_BODY_BYTES_MAX} bytes as JSON.`, { limit: START_BODY_BYTES_MAX });

const notPlain = (): Failure =>
  failure('bad_request', 'The request must be plain data: objects, lists, texts, numbers and booleans.');
