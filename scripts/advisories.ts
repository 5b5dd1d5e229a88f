/**
 * What `npm audit --json` said, as a verdict. Pure; scripts/audit.ts asks and prints.
 *
 * Only what is shipped decides: the production dependencies, and what the build takes into the pages. An advisory of a tool that runs on the machine of a
 * developer is told and fails nothing, or no fix of ours could land while somebody else's is awaited.
 */

export const SEVERITIES = ['info', 'low', 'moderate', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** From this on an advisory of something that is shipped fails the step. */
export const SEVERITY_THAT_FAILS: Severity = 'high';

/** Development dependencies by their name in package.json, which the build bundles. A test compares them with what the sources import. */
export const BUNDLED = ['preact'];

/** Licences that ask for no more than to be named; MIT is ours. */
export const LICENCES = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'Unlicense'];

export interface Advisory {
  package: string;
  severity: Severity;
  /** What the advisory is called, with its address where there is one. */
  title: string;
}

export type AuditVerdict =
  /** `told`: of what is shipped, but less than what fails. `ofTools`: packages with an advisory that are not shipped. */
  | { kind: 'passed'; told: Advisory[]; ofTools: number }
  | { kind: 'failed'; found: Advisory[]; told: Advisory[]; ofTools: number }
  /** The registry has no such service, or could not be reached. */
  | { kind: 'unavailable'; reason: string }
  /** npm could not ask, or said something that is not known here: it must not pass for "nothing was found". */
  | { kind: 'not_understood'; reason: string };

/** `packages` of a package-lock.json, by path in the tree. */
export type LockedPackages = Record<
  string,
  { version?: string; license?: string; dev?: boolean; devOptional?: boolean; peer?: boolean; link?: boolean }
>;

const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** Paths of the lockfile whose packages reach a user. The packages of this repository itself are not among them. */
export const shippedPaths = (packages: LockedPackages): string[] =>
  Object.entries(packages)
    .filter(
      ([path, { dev, devOptional, peer, link }]) =>
        path.includes('node_modules/') && !link && (BUNDLED.includes(nameOf(path)) || !(dev || devOptional || peer)),
    )
    .map(([path]) => path);

/** Shipped packages whose licence is not on the list, as `name: licence`. */
export const foreignLicences = (packages: LockedPackages): string[] =>
  shippedPaths(packages)
    .map((path) => ({ name: nameOf(path), license: packages[path]?.license ?? 'none' }))
    .filter(({ license }) => !LICENCES.includes(license))
    .map(({ name, license }) => `${name}: ${license}`);

interface Report {
  vulnerabilities: Record<string, { severity?: unknown; nodes?: unknown; via?: unknown }>;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isSeverity = (value: unknown): value is Severity => SEVERITIES.includes(value as Severity);

export function judgeAudit(answer: string, packages: LockedPackages): AuditVerdict {
  let said: unknown;
  try {
    said = JSON.parse(answer);
  } catch {
    return { kind: 'not_understood', reason: 'npm audit did not answer with JSON' };
  }
  if (!isObject(said)) return { kind: 'not_understood', reason: 'npm audit answered with something that is no report' };
  if (!isObject(said.vulnerabilities)) return withoutReport(said);

  const shipped = new Set(shippedPaths(packages));
  const found: Advisory[] = [];
  const told: Advisory[] = [];
  let ofTools = 0;
  for (const [name, { severity, nodes, via }] of Object.entries((said as unknown as Report).vulnerabilities)) {
    if (!isSeverity(severity) || !Array.isArray(nodes)) {
      return { kind: 'not_understood', reason: `npm audit says of ${name} what is not known here` };
    }
    if (!nodes.some((path) => shipped.has(String(path)))) {
      ofTools += 1;
      continue;
    }
    const fails = SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(SEVERITY_THAT_FAILS);
    (fails ? found : told).push({ package: name, severity, title: titleOf(via) });
  }
  return found.length > 0 ? { kind: 'failed', found, told, ofTools } : { kind: 'passed', told, ofTools };
}

/** Either the advisories themselves, or names of packages that are affected further down. */
function titleOf(via: unknown): string {
  const reasons = (Array.isArray(via) ? via : []).map((reason) =>
    isObject(reason) ? [reason.title, reason.url].filter((text) => typeof text === 'string').join(' ') : `by ${String(reason)}`,
  );
  return reasons.join('; ') || 'no title';
}

/** npm gives the registry's refusal as `message` with an HTTP status, or without one when it was not reached; its own as `error` with a code. */
function withoutReport({ message, statusCode, error }: Record<string, unknown>): AuditVerdict {
  if (typeof statusCode === 'number') return { kind: 'unavailable', reason: `the registry answered ${statusCode}` };
  if (isObject(error) && typeof error.code === 'string') {
    return { kind: 'not_understood', reason: `npm audit could not ask: ${error.code} ${String(error.summary ?? '')}`.trim() };
  }
  if (typeof message === 'string') return { kind: 'unavailable', reason: 'the registry could not be reached' };
  return { kind: 'not_understood', reason: 'npm audit answered with something that is no report' };
}
