/**
 * Number of runs of a property: one fifth in `npm test`, which must be quick, and all of them
 * everywhere else.
 */
const QUICK = process.env.HOLDFAST_TEST_QUICK === '1';

export const propertyRuns = (runs: number): number => (QUICK ? Math.ceil(runs / 5) : runs);
