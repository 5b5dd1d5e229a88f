/**
 * The clock of every budget, delay and silence: it is monotonic and ignores changes of the wall
 * clock. Where the system stops it during a suspend (Linux), a suspend uses up no budget; elsewhere
 * a timer may fire late. So a budget expires only after an attempt that began after its end (see
 * wrapper/run/budgets.ts).
 *
 * The wall clock (`Date.now`) is for people and other machines: the `at` of an event, an expiry, an
 * HTTP date.
 *
 * A runtime without `performance` has only the wall clock.
 */
export const monotonicNow = (): number => (typeof performance === 'undefined' ? Date.now() : performance.now());
