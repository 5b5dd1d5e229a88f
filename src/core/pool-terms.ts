/** Words and times of pools that the decisions use. */

export type { ConcurrencyLimit, WaitReason } from '../../protocol/index.ts';
export { LEASE_CONFIRM_MS } from '../../protocol/pool.ts';
