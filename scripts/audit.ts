/**
 * Asks the registry for advisories about the dependencies, and checks their licences; a step of
 * `npm run verify`. advisories.ts decides.
 *
 * Not every registry offers this. If it does not, or cannot be reached, the step says so in
 * capitals and passes: the tests of a change must not depend on an external service. `--registry
 * URL` asks another one.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Advisory, foreignLicences, judgeAudit, type LockedPackages } from './advisories.ts';
import { ROOT } from './stack.ts';

/** A registry that answers does so within a second or two. */
const PATIENCE_MS = Number(process.env.HOLDFAST_AUDIT_PATIENCE_MS) || 20_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const lineOf = ({ package: name, severity, title }: Advisory): string => `  ${severity.padEnd(8)}  ${name}: ${title}`;

/** `npm run` names its own npm, which is used again whatever else is on the PATH. */
function npmAudit(): string | null {
  const script = process.env.npm_execpath?.endsWith('.js') ? process.env.npm_execpath : null;
  const [program, first] = script ? [process.execPath, [script]] : ['npm', []];
  const args = [...first, 'audit', '--json', '--fetch-retries=0', ...process.argv.slice(2)];
  const { stdout, error } = spawnSync(program, args, {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32' && !script,
  });
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT' ? null : (stdout ?? '');
}

function audit(packages: LockedPackages): number {
  const answer = npmAudit();
  const verdict =
    answer === null
      ? ({ kind: 'unavailable', reason: `no answer within ${PATIENCE_MS / 1000} s` } as const)
      : judgeAudit(answer, packages);
  switch (verdict.kind) {
    case 'unavailable':
      say(`NOT AUDITED: ${verdict.reason}. Nothing is known of the dependencies; run \`npm audit\` where a registry offers it.`);
      return 0;
    case 'not_understood':
      say(`${verdict.reason}.`);
      return 1;
    case 'failed':
    case 'passed': {
      const found = verdict.kind === 'failed' ? verdict.found : [];
      for (const advisory of [...found, ...verdict.reported]) say(lineOf(advisory));
      if (verdict.ofTools > 0) say(`  ${verdict.ofTools} packages of the toolchain have advisories: \`npm audit\` tells which.`);
      say(
        found.length > 0
          ? `${found.length} of what is shipped must be replaced.`
          : 'Nothing that fails is known of what is shipped.',
      );
      return found.length > 0 ? 1 : 0;
    }
    default:
      return verdict satisfies never;
  }
}

const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: LockedPackages };
const foreign = foreignLicences(packages);
for (const line of foreign) say(`licence that is not on the list of scripts/advisories.ts: ${line}`);
process.exit(Math.max(audit(packages), foreign.length > 0 ? 1 : 0));
