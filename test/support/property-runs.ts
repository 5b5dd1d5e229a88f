/** How often a property is tried: a fifth of it in `npm test`, which is for a quick answer, and all of it everywhere else. */
const QUICK = process.env.HOLDFAST_TEST_QUICK === '1';

export const propertyRuns = (runs: number): number => (QUICK ? Math.ceil(runs / 5) : runs);
