/** A value of a tool's input, as it is shown. */

import type { JsonValue } from '../../../agent/index.ts';

export const valueText = (value: JsonValue): string => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

/** It stands in one line. */
export const isShort = (value: string): boolean => value.length <= 120 && !value.includes('\n');
