/**
 * Goal: a full-screen program is used through cuts on both sides: no key and no cell is lost, none
 * comes twice, its terminal answers once, and who attaches late sees the same screen.
 * Method: the real command line in a real pseudo-terminal, proxies that are cut between it and the
 * coordinator and between the coordinator and the wrapper, plain `workerd`, and a program that
 * counts what it reads. Terminals without a window judge what is shown.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../scripts/stack.ts';
import { Headless } from '../support/headless.ts';
import { OwnPty } from '../support/own-pty.ts';
import { preparePlainWorkerd } from '../support/plain-workerd.ts';
import { RealStack, until } from '../support/real-stack.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const PROGRAM = join(import.meta.dirname, '..', 'support', 'full-screen.mjs');
const SETTLE = '\u0013';
const DETACH = '\u001c';
const END = '\u0004';
const KEYS = 240;
const CUTS = 3;

// macOS has another program of this name.
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') ?? false;

let folder: string;
let real: RealStack;
let viewers: TcpProxy;
const ptys: OwnPty[] = [];

describe.skipIf(!hasScript)('a full-screen program (needs script of util-linux)', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-terminal-'));
    const plain = await preparePlainWorkerd(folder, await freePort());
    real = await RealStack.start({ coordinator: plain.command });
    viewers = await TcpProxy.start({ targetPort: real.stack.port });
  });
  afterAll(async () => {
    for (const pty of ptys) pty.close();
    await viewers?.close();
    await real?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function open(args: string[], size: { cols: number; rows: number }): OwnPty {
    const pty = new OwnPty(args, { ...size, env: { HOLDFAST_URL: viewers.url, HOLDFAST_API_KEY: real.stack.apiKey } });
    ptys.push(pty);
    return pty;
  }
  const shows = (pty: OwnPty, text: string) =>
    until(async () => (await pty.shown()).text.includes(text), `the terminal shows ${JSON.stringify(text)}`);

  /** What a terminal shows that got all of the output in the log. */
  async function pictureOfLog(session: string, id: string): Promise<Headless> {
    const judge = new Headless();
    const page = real.client.events(session, { execution: id, WebSocketImpl: (await import('ws')).WebSocket as never });
    for await (const { type, data } of page) {
      const size = (type === 'started' ? data.terminal : type === 'resize' ? data : null) as { cols: number; rows: number } | null;
      if (size) judge.resize(size.cols, size.rows);
      if (type === 'output') await judge.write(String(data.text));
      if (judge.text.includes('settled')) break;
    }
    return judge;
  }

  it('three cuts on each side, and a late viewer', async () => {
    const size = { cols: 90, rows: 30 };
    const run = open(['run', '-t', '-s', 's1', '--id', 'e1', '--', process.execPath, PROGRAM], size);
    await shows(run, 'size 90x30');
    await shows(run, 'answers 1');
    let typed = '';
    for (let key = 0; key < KEYS; key += 1) {
      const character = String.fromCharCode(97 + (key % 26));
      run.type(character);
      typed += character;
      // A person types; and an outage happens between any two keys.
      if (key % 6 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      if (key % (KEYS / CUTS) === KEYS / CUTS / 2) {
        viewers.cut();
        real.proxy.cut();
      }
    }
    expect(viewers.cuts).toBeGreaterThanOrEqual(CUTS);
    const hash = createHash('sha256').update(typed).digest('hex').slice(0, 12);
    await shows(run, `keys ${KEYS} ${hash}`);
    run.type(SETTLE);
    await shows(run, 'settled');

    const judge = await pictureOfLog('s1', 'e1');
    expect(run.judge.rows).toEqual(judge.rows);
    expect(run.judge.alternatePicture).toBe(judge.alternatePicture);
    expect(judge.alternatePicture).toContain('settled');

    const late = open(['attach', 's1/e1'], size);
    await shows(late, 'settled');
    expect(late.judge.rows).toEqual(judge.rows);
    expect(late.judge.alternatePicture).toBe(judge.alternatePicture);
    expect(late.judge.isAlternate).toBe(true);
    late.type(DETACH);
    await late.ended;
    expect(late.exitCode).toBe(130);

    // A viewer with another window: its size comes before its first key. Until then the picture is
    // that of a larger terminal, and the title says so.
    const other = open(['attach', 's1/e1'], { cols: 70, rows: 20 });
    await until(() => other.output.includes('the terminal has 90×30, this window 70×20'), 'the title');
    await until(() => other.output.includes('settled'), 'the screen');
    other.type('z');
    await shows(other, 'size 70x20');
    await shows(other, `keys ${KEYS + 1} `);
    other.type(DETACH);
    await other.ended;
    expect(other.exitCode).toBe(130);

    run.type(END);
    await run.ended;
    expect(run.exitCode).toBe(0);
    expect(run.settings[1]).toBe(run.settings[0]);
    expect((await run.shown()).isAlternate).toBe(false);
    expect(await real.client.get('s1', 'e1')).toMatchObject({ status: 'completed', exitCode: 0 });
  }, 240_000);
});
