/**
 * Goal: [TTY15] a job in a terminal outlives its wrapper. The next one has its output, its end, its
 * size, and the screen. Method: real wrapper processes, ended by SIGKILL.
 */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COORDINATOR_FEATURES } from '../../protocol/index.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { gate, gated, ownRun, removeTemporaryFolders, startWrapper, type WrapperProcess } from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const started: WrapperProcess[] = [];
const terminal = { cols: 80, rows: 24 };

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.features = COORDINATOR_FEATURES;
  coordinator.job = { ...ownRun(), terminal };
});
afterEach(async () => {
  for (const { process } of started.splice(0)) process.kill('SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
  expect(coordinator.faults).toEqual([]);
});

const start: typeof startWrapper = (...given) => {
  const wrapper = startWrapper(...given);
  started.push(wrapper);
  return wrapper;
};
const sh = (script: string) => ['sh', '-c', script];
const text = () => coordinator.text('tty');
const kill = async (wrapper: WrapperProcess) => {
  wrapper.process.kill('SIGKILL');
  await wrapper.ended;
};
const screens = () => coordinator.events.filter(({ type }) => type === 'screen').map(({ data }) => data);

describe('[TTY15] a wrapper that was killed', () => {
  it('is replaced: every line that was printed meanwhile arrives, and the true end', async () => {
    const { script, gates } = gated(['echo begin', 'for i in $(seq 1 40); do echo line $i; done', 'kill -9 $$']);
    const first = start(coordinator, sh(script));
    await coordinator.until(() => text() === 'begin\r\n', 'output');
    await kill(first);
    gates[0]?.open(); // Printed while there is no wrapper.
    const second = start(coordinator, sh('echo must not run'), { spool: first.spool });
    await coordinator.until(() => text().includes('line 40\r\n'), 'the lines');
    gates[1]?.open();
    expect((await second.ended).code).toBe(137);
    expect(text()).toBe(`begin\r\n${Array.from({ length: 40 }, (_, n) => `line ${n + 1}\r\n`).join('')}`);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: null, signal: 'SIGKILL' } });
    expect(coordinator.events.filter(({ type }) => type === 'gap')).toHaveLength(1);
  });

  it('is replaced by one that takes keys and sizes, and asks the program to draw its screen again', async () => {
    const draw = 'draw() { printf "\\033[2J\\033[H\\033[?25lpicture of %s " "$(stty size)"; }';
    const script = `${draw}; trap draw WINCH; printf "\\033[?1049h\\033[?1002h\\033[?1006h\\033[>1u\\033]2;a title\\007"; draw; head -c 20000 /dev/zero | tr '\\0' .; draw; while :; do read -r line && echo "got $line" && [ "$line" = end ] && exit 6; done`;
    const first = start(coordinator, sh(script));
    await coordinator.until(() => screens().length > 0, 'a screen');
    await kill(first);
    const before = screens().length;
    const second = start(coordinator, sh('true'), { spool: first.spool });
    await coordinator.until(() => screens().length > before, 'a screen of the next wrapper');
    const screen = screens().at(-1);
    expect(screen).toMatchObject({ cols: 80, rows: 24, title: 'a title' });
    expect(screen?.data).toContain('\u001b[?1049h');
    expect(screen?.data).toContain('picture of 24 80');
    expect(screen?.data).toContain('\u001b[?1002h');
    for (const mode of ['\u001b[?1006h', '\u001b[>1u', '\u001b[?25l']) expect(screen?.modes).toContain(mode);
    coordinator.sendCommand({ id: 1, command: 'resize', data: { cols: 100, rows: 30 } });
    await coordinator.until(() => text().includes('picture of 30 100'), 'the new size');
    coordinator.sendCommand({ id: 2, command: 'input', data: { text: 'end\r' } });
    expect((await second.ended).code).toBe(6);
    expect(text()).toContain('got end');
  });

  it('while it floods its terminal: what arrives is in order, and the end is true', async () => {
    const { isOpen, open } = gate();
    const first = start(coordinator, sh(`n=0; until ${isOpen}; do n=$((n+1)); echo line $n; done; exit 9`));
    let wrapper = first;
    for (let round = 0; round < 3; round += 1) {
      const seen = text().length;
      await coordinator.until(() => text().length > seen + 2000, 'output');
      await kill(wrapper);
      wrapper = start(coordinator, sh('true'), { spool: first.spool });
    }
    open();
    expect((await wrapper.ended).code).toBe(9);
    const numbers = [...text().matchAll(/^line (\d+)\r$/gm)].map(([, number]) => Number(number));
    expect(numbers.length).toBeGreaterThan(100);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});
