/**
 * Goal: what a file needs can be read without reading it first: no file imports itself through others, for types either.
 * Method: the imports of each program's files as a graph, searched for circles.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');

type Graph = ReadonlyMap<string, readonly string[]>;

function importsOf(folder: string): Graph {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => join(folder, name));
  const known = new Set(files);
  return new Map(
    files.map((file) => {
      const named = [...readFileSync(join(ROOT, file), 'utf8').matchAll(/\bfrom '(\.[^']+)'/g)];
      return [file, named.map(([, path]) => join(dirname(file), path as string)).filter((path) => known.has(path))];
    }),
  );
}

/** The first circle that is found, as the way through it; null when there is none. */
function circleIn(graph: Graph): string[] | null {
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (file: string): string[] | null => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (done.has(file)) return null;
    way.push(file);
    for (const next of graph.get(file) ?? []) {
      const circle = visit(next);
      if (circle) return circle;
    }
    way.pop();
    done.add(file);
    return null;
  };
  for (const file of graph.keys()) {
    const circle = visit(file);
    if (circle) return circle;
  }
  return null;
}

describe('imports', () => {
  it.each(['protocol', 'src', 'wrapper', 'runner', 'client', 'dashboard', 'cli', 'bench'])('of %s/ have no circle', (folder) => {
    const graph = importsOf(folder);
    expect([...graph.values()].flat().length).toBeGreaterThan(10);
    expect(circleIn(graph)).toBeNull();
  });

  it('a circle is found', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ]);
    expect(circleIn(graph)).toEqual(['b', 'd', 'b']);
  });
});
