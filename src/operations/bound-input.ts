/**
 * Checks the form of a caller's input before its fields are validated. Over HTTP the input was JSON
 * text of bounded size. Over RPC it is anything that the platform can carry: 32 MiB, cyclic
 * objects, maps, streams, and functions of the caller that a read would call. Only input that JSON
 * can express within the size limit of a body goes on to the schemas. So HTTP and RPC accept the
 * same requests, and each fits a runner.
 */

import { type Failure, START_BODY_BYTES_MAX, utf8Bytes } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';

/**
 * Why the input is refused, or null. The limit bounds the work: a value that is referenced twice
 * counts twice, and a cycle exceeds the limit.
 */
export function checkInputForm(input: unknown): Failure | null {
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

/** The bytes of a list's or object's brackets and of the commas between its entries. */
const bracketsOf = (count: number): number => 2 + Math.max(0, count - 1);

/** The bytes of a JSON string. Counts only characters when these alone exceed the limit. */
const textBytes = (text: string, before: number): number =>
  before + text.length > START_BODY_BYTES_MAX ? text.length : utf8Bytes(JSON.stringify(text));

const tooLarge = (): Failure =>
  failure('too_large', `A request may have at most ${START_BODY_BYTES_MAX} bytes as JSON.`, { limit: START_BODY_BYTES_MAX });

const notPlain = (): Failure =>
  failure('bad_request', 'The request must be plain data: objects, lists, texts, numbers and booleans.');
