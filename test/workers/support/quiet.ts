/**
 * Removes the Worker's routine lines (level info) from the output of the tests; warnings and errors
 * are shown. vitest's own filter does not see them, since the runtime prints these lines itself
 * (`disableConsoleIntercept` in vitest.config.ts).
 */
const print = console.info.bind(console);
console.info = (...values: unknown[]) => {
  if (!String(values[0]).startsWith('{"level":"info",')) print(...values);
};
