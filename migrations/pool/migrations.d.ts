/** Types of the bundle that drizzle-kit writes (migrations.js). */
declare const bundle: {
  journal: { entries: { idx: number; when: number; tag: string; breakpoints: boolean }[] };
  migrations: Record<string, string | undefined>;
};
export default bundle;
