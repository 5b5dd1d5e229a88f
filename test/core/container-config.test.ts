/**
 * Goal: a deployment with containers is the deployment without, and the containers; and the image
 * is what the coordinator starts.
 * Method: the files are compared as text; there is no container engine here. What the image's
 * entrypoint does is tested with processes (runner/drain, e2e).
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONTAINER_PORT } from '../../src/core/container.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

/** Without the comment at its top, which says which of the two it is. */
const settingsOf = (toml: string): string[] => toml.slice(toml.indexOf('\nname = ')).split('\n');

/** What only a deployment with containers has: the section with its comments, and the variable. */
function withoutContainers(lines: readonly string[]): string[] {
  const section = lines.indexOf('[[containers]]');
  const begin = lines.lastIndexOf('', section);
  const end = lines.indexOf('', section);
  return [...lines.slice(0, begin), ...lines.slice(end)].filter((line) => line !== 'HOLDFAST_CONTAINERS = "1"');
}

describe('wrangler.containers.toml', () => {
  const lines = settingsOf(read('wrangler.containers.toml'));

  it('is wrangler.toml, with the section [[containers]] and HOLDFAST_CONTAINERS', () => {
    expect(lines).toContain('[[containers]]');
    expect(lines).toContain('HOLDFAST_CONTAINERS = "1"');
    expect(withoutContainers(lines)).toEqual(settingsOf(read('wrangler.toml')));
  });

  it('without them no container is requested, so that Docker is not needed', () => {
    expect(read('wrangler.toml')).not.toMatch(/^\[\[containers\]\]|^HOLDFAST_CONTAINERS/m);
  });

  it('gives the class a container and builds it from a Dockerfile that is there', () => {
    const section = lines.slice(lines.indexOf('[[containers]]'));
    expect(section).toContain('class_name = "JobContainer"');
    expect(section).toContain('image = "./container/Dockerfile"');
    expect(section).toContain('image_build_context = "."');
  });

  it('both are checked before a deploy, without Docker', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(scripts['deploy:check']).toMatch(/--dry-run && .*--dry-run -c wrangler\.containers\.toml --containers-rollout=none$/);
    expect(scripts['deploy:containers']).toMatch(/wrangler deploy -c wrangler\.containers\.toml$/);
  });
});

describe('every configuration of this Worker', () => {
  const FILES = ['wrangler.toml', 'wrangler.containers.toml', 'test/workers/wrangler.toml', 'bench/floor/wrangler.toml'];
  const termsOf = (name: string): string[] => read(name).match(/^compatibility_(date|flags) = .*$/gm) ?? [];

  it.each(FILES)('%s has the same compatibility date and flags as wrangler.toml', (name) => {
    expect(termsOf(name)).toEqual(termsOf('wrangler.toml'));
    expect(termsOf(name)).toHaveLength(2);
  });

  it.each(FILES)('%s sends its requests through the front of its own zone, Access and WAF included', (name) => {
    // Without the flag the platform gives such a request to the origin behind them. No date implies
    // it.
    expect(termsOf(name)[1]).toContain('"global_fetch_strictly_public"');
  });
});

describe('container/Dockerfile', () => {
  const image = read('container/Dockerfile');

  it('listens where the coordinator asks, drains, runs under an init and not as root', () => {
    expect(image).toContain(`EXPOSE ${CONTAINER_PORT}`);
    expect(image).toContain(`HOLDFAST_RUNNER_PORT=${CONTAINER_PORT}`);
    expect(image).toMatch(/HOLDFAST_RUNNER_DRAIN=1$/m);
    expect(image).toMatch(/^USER node$/m);
    const [, program] = /^COPY packages\/\S+ (\S+)$/m.exec(image) ?? [];
    expect(image).toContain(`ENTRYPOINT ["/usr/bin/tini", "--", "node", "${program}", "serve"]\n`);
  });

  it('copies what the build makes, and the build context holds nothing else', () => {
    const copied = [...image.matchAll(/^COPY (?:--\S+ )*(\S+)/gm)].map(([, source]) => source);
    const patterns = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(patterns).toEqual(['*', ...copied.map((source) => `!${source}`)]);
    for (const source of copied) expect(read('scripts/build.mjs')).toContain(`outfile: '${source}'`);
  });

  it('holds no secret', () => {
    expect(image).not.toMatch(/TOKEN|SECRET|_KEY/);
  });
});
