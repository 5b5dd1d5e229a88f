/**
 * The clock of every budget, delay and silence: it only goes forward, whatever is done to the wall clock. Where the system stops
 * it during a suspend (Linux), a suspend uses up no budget; elsewhere a timer may fire late. So a budget ends something only after
 * an attempt that began when the budget was over (see wrapper/run/budgets.ts).
 *
 * The wall clock (`Date.now`) is for what people and other machines read: the `at` of an event, an expiry, an HTTP date.
 *
 * A runtime without `performance` has only the wall clock.
 */
export const monotonicNow = (): number => (typeof performance === 'undefined' ? Date.now() : performance.now());
