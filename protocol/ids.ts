/**
 * Identifiers on the wire: sessions, executions, wrappers, boots. One pattern, so that an id is
 * safe in a path, a tag, a log line and a file name.
 */

import { ulid } from 'ulid';

/**
 * 1 to 128 characters; the first is alphanumeric, so that no id can look like an option or a hidden
 * file.
 */
export const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

export function isId(value: unknown): value is string {
  return typeof value === 'string' && ID_PATTERN.test(value);
}

/** A bearer credential travels in a header, which carries only visible ASCII (RFC 6750). */
export const isVisibleAscii = (text: string): boolean => /^[\x21-\x7e]+$/.test(text);

/** Generated ids sort by creation time (ULID), which keeps listings and folders in order. */
export const newExecutionId = (): string => `exec_${ulid()}`;
export const newWrapperId = (): string => `w_${ulid()}`;
export const newBootId = (): string => `b_${ulid()}`;
export const newCallbackId = (): string => `cb_${ulid()}`;
export const newInputId = (): string => `in_${ulid()}`;
export const newAnswerId = (): string => `an_${ulid()}`;
/** Of a runner's key. */
export const newRunnerKeyId = (): string => `rk_${ulid()}`;
export const newRequestId = (): string => `req_${ulid()}`;
