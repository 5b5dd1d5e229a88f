/**
 * The output of `npm audit --json` as a verdict. Pure; scripts/audit.ts runs npm and prints.
 *
 * Only shipped packages fail the step: the production dependencies, and what the build bundles into
 * the pages. An advisory of a development tool is reported but does not fail the step; otherwise no
 * fix could land while an upstream fix is pending.
 */

export const SEVERITIES = ['info', 'low', 'moderate', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** From this severity on an advisory of a shipped package fails the step. */
export const SEVERITY_THAT_FAILS: Severity = 'high';

/**
 * Development dependencies, by their name in package.json, that the build bundles. A test compares
 * them with the imports of the sources.
 */
export const BUNDLED = ['preact', '@xterm/xterm', 'marked'];

/** Licences that require only attribution; the project's own is MIT. */
export const LICENCES = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'Unlicense'];

export interface Advisory {
  package: string;
  severity: Severity;
  /** The title of the advisory, with its address if there is one. */
  title: string;
}

export type AuditVerdict =
  /**
   * `reported`: of shipped packages, but below the severity that fails. `ofTools`: packages with an
   * advisory that are not shipped.
   */
  | { kind: 'passed'; reported: Advisory[]; ofTools: number }
  | { kind: 'failed'; found: Advisory[]; reported: Advisory[]; ofTools: number }
  /** The registry has no such service, or could not be reached. */
  | { kind: 'unavailable'; reason: string }
  /** npm failed, or its output is unknown: it must not pass for "nothing was found". */
  | { kind: 'not_understood'; reason: string };

/** `packages` of a package-lock.json, by path in the tree. */
export type LockedPackages = Record<
  string,
  { version?: string; license?: string; dev?: boolean; devOptional?: boolean; peer?: boolean; link?: boolean }
>;

const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/**
 * Paths of the lockfile whose packages reach a user. The packages of this repository itself are not
 * among them.
 */
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
  const reported: Advisory[] = [];
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
    (fails ? found : reported).push({ package: name, severity, title: titleOf(via) });
  }
  return found.length > 0 ? { kind: 'failed', found, reported, ofTools } : { kind: 'passed', reported, ofTools };
}

/** Either the advisories themselves, or names of affected packages further down. */
function titleOf(via: unknown): string {
  const reasons = (Array.isArray(via) ? via : []).map((reason) =>
    isObject(reason) ? [reason.title, reason.url].filter((text) => typeof text === 'string').join(' ') : `by ${String(reason)}`,
  );
  return reasons.join('; ') || 'no title';
}

/**
 * npm reports the registry's refusal as `message`, with an HTTP status if the registry was reached;
 * its own failure as `error` with a code.
 */
function withoutReport({ message, statusCode, error }: Record<string, unknown>): AuditVerdict {
  if (typeof statusCode === 'number') return { kind: 'unavailable', reason: `the registry answered ${statusCode}` };
  if (isObject(error) && typeof error.code === 'string') {
    return { kind: 'not_understood', reason: `npm audit could not ask: ${error.code} ${String(error.summary ?? '')}`.trim() };
  }
  if (typeof message === 'string') return { kind: 'unavailable', reason: 'the registry could not be reached' };
  return { kind: 'not_understood', reason: 'npm audit answered with something that is no report' };
}
