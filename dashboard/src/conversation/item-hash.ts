/** `#item-120` and `#item-120.2`: the item that a link points at. Its key begins with its offset. */

const HASH = /^#item-(\d{1,15}(?:\.\d{1,9})?)$/;

export const itemHash = (key: string): string => `#item-${key}`;

export const itemOf = (hash: string): string | null => HASH.exec(hash)?.[1] ?? null;

/** The offset of the event that the item began with. */
export function offsetOf(hash: string): number | null {
  const key = itemOf(hash);
  return key === null ? null : Math.floor(Number(key));
}
