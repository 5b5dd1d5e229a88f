#!/usr/bin/env node
// Starts the bundled bridge to agents that speak ACP. Plain JavaScript, so that an older Node can read it and say what is missing.
import { existsSync } from 'node:fs';

const bundle = new URL('../dist/holdfast-acp.mjs', import.meta.url);

if (Number.parseInt(process.versions.node, 10) < 22) {
  console.error(`holdfast-acp needs Node 22 or newer; this is ${process.versions.node}`);
  process.exitCode = 125;
} else if (!existsSync(bundle)) {
  console.error('holdfast-acp is not built yet: run `npm run build` in the repository, then try again');
  process.exitCode = 125;
} else {
  await import(bundle.href);
}
