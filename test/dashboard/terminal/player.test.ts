// @vitest-environment node
/**
 * Goal: a page's terminal shows what a terminal would that got the whole output, from wherever it
 * begins, whatever is missing, and however far it falls behind. Method: the player, with a terminal
 * without a window as its emulator, or one that parses when the test lets it.
 */

import { SerializeAddon } from '@xterm/addon-serialize';
import headless from '@xterm/headless';
import { describe, expect, test } from 'vitest';
import type { LoggedEvent } from '../../../client/index.ts';
import { type Emulator, JUMP_CHARS, ROOM_CHARS, TerminalPlayer } from '../../../dashboard/src/terminal/player.ts';
import { FONT_PX, FONT_PX_MIN, fontThatFits, sizeThatFits } from '../../../dashboard/src/terminal/sizing.ts';
import { Headless } from '../../support/headless.ts';

const ESC = '\u001b';

let offset = 0;
const event = (type: string, data: Record<string, unknown>): LoggedEvent => {
  offset += 1;
  return { offset, execution: 'e1', type, at: 0, data };
};
const output = (text: string) => event('output', { stream: 'tty', text });
const screen = (data: string, extra: Record<string, unknown> = {}) =>
  event('screen', { cols: 80, rows: 24, data, modes: '', ...extra });

function player(judge: Headless, readOnly = false) {
  const sizes: string[] = [];
  const { terminal } = judge;
  const made = new TerminalPlayer(terminal, { readOnly, onSize: ({ cols, rows }) => sizes.push(`${cols}x${rows}`) });
  return { player: made, sizes };
}

/** Records calls, and parses only when told. */
class SlowEmulator implements Emulator {
  calls: string[] = [];
  #done: (() => void)[] = [];
  write(text: string, done: () => void): void {
    this.calls.push(text);
    this.#done.push(done);
  }
  reset(): void {
    this.calls.push('RESET');
  }
  resize(cols: number, rows: number): void {
    this.calls.push(`${cols}x${rows}`);
  }
  parse(): boolean {
    const done = this.#done.shift();
    done?.();
    return done !== undefined;
  }
}

describe('[P1] order', () => {
  test('a size comes between the writes before and after it, when those before are drawn', () => {
    const emulator = new SlowEmulator();
    const made = new TerminalPlayer(emulator, { readOnly: false, onSize: () => {} });
    made.take([event('started', { terminal: { cols: 90, rows: 30 } }), output('a')]);
    made.take([output('b'), output('c'), event('resize', { cols: 100, rows: 40 }), output('d')]);
    expect(emulator.calls).toEqual(['90x30', 'a']);
    emulator.parse();
    expect(emulator.calls).toEqual(['90x30', 'a', 'bc']);
    emulator.parse();
    expect(emulator.calls).toEqual(['90x30', 'a', 'bc', '100x40', 'd']);
  });

  test('[P4] a query that is split between events reaches no emulator', async () => {
    const judge = new Headless();
    const { player: made } = player(judge);
    for (const character of `a${ESC}[6nb${ESC}]11;?\u0007c${ESC}P+q544e${ESC}\\d`) made.take([output(character)]);
    await made.drawn();
    expect(judge.text).toBe('abcd');
    expect(judge.answers).toBe('');
  });

  test('a viewer that only reads keeps the mouse of its page', async () => {
    const judge = new Headless();
    const { player: made } = player(judge, true);
    made.take([output(`${ESC}[?1000;1006hx`)]);
    await made.drawn();
    expect(judge.terminal.modes.mouseTrackingMode).toBe('none');
  });
});

describe('[P2] screens', () => {
  test('a late viewer: the same picture as with the whole output', async () => {
    const before = `shell$ ${ESC}[?1049h${ESC}[2J${ESC}[3;5H${ESC}[1;34mtitle${ESC}[0m${ESC}[?2004h`;
    const after = `${ESC}[5;1Hmore 漢字${ESC}[?1049l`;
    const whole = new Headless();
    await whole.write(before);
    const addon = new SerializeAddon();
    whole.terminal.loadAddon(addon as never);
    const late = new Headless(40, 10);
    const { player: made, sizes } = player(late);
    made.take([screen(addon.serialize({ scrollback: 0 }), { modes: `${ESC}[?25l` }), output(after.slice(0, 9))]);
    made.take([output(after.slice(9))]);
    await made.drawn();
    await whole.write(after);
    expect(late.rows).toEqual(whole.rows);
    expect(sizes).toEqual(['80x24']);
  });

  test('while nothing is missing they are skipped; after a gap the next one is drawn, on an empty screen', async () => {
    const judge = new Headless();
    const { player: made } = player(judge);
    made.take([output('live'), screen('not this')]);
    await made.drawn();
    expect(judge.text).toBe('live');
    made.take([event('gap', { events: 0, bytes: 0, reason: 'placeholder' }), screen('nor this')]);
    await made.drawn();
    expect(judge.text).toBe('live');
    made.take([output(`${ESC}[31`), event('gap', { events: 2, bytes: 9, reason: 'log_full' }), screen('whole', { cols: 70 })]);
    await made.drawn();
    expect(judge.text).toBe('whole');
    expect(judge.terminal.cols).toBe(70);
    // The sequence before the gap is not continued.
    made.take([output('m!')]);
    await made.drawn();
    expect(judge.text).toBe('wholem!');
  });

  test.each<[string, Record<string, unknown>]>([
    ['without a size', { data: 'x', cols: undefined }],
    ['without data', { data: undefined }],
    ['with data that is no text', { data: 7 }],
  ])('a screen %s is skipped', async (_what, data) => {
    const judge = new Headless();
    const { player: made } = player(judge);
    made.take([event('screen', { cols: 80, rows: 24, modes: '', ...data }), output('ok')]);
    await made.drawn();
    expect(judge.text).toBe('ok');
  });
});

describe('[P3] a viewer that is slower than the job', () => {
  const chunk = 'x'.repeat(32 * 1024);

  test('goes on at the newest screen, and draws nothing of what it skipped', async () => {
    const emulator = new SlowEmulator();
    const made = new TerminalPlayer(emulator, { readOnly: false, onSize: () => {} });
    made.take([output('first')]);
    const flood = Array.from({ length: 40 }, () => output(chunk));
    made.take([...flood, screen('old'), ...flood, screen('newest'), output('after')]);
    expect(made.jumps).toBe(1);
    expect(made.queuedChars).toBeLessThan(100);
    while (emulator.parse());
    expect(emulator.calls).toEqual(['first', 'RESET', '80x24', 'newest', 'after']);
  });

  test('without a screen it takes no more than it has room for, and loses nothing', async () => {
    const emulator = new SlowEmulator();
    const made = new TerminalPlayer(emulator, { readOnly: false, onSize: () => {} });
    const events = Array.from({ length: 40 }, (_, index) => output(`${index} ${chunk}`));
    let hasRoom = false;
    made.take(events);
    expect(made.queuedChars).toBeGreaterThan(ROOM_CHARS);
    void made.room().then(() => {
      hasRoom = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(hasRoom).toBe(false);
    while (emulator.parse());
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(hasRoom).toBe(true);
    expect(emulator.calls.join('')).toBe(events.map(({ data }) => data.text).join(''));
    expect(Math.max(...emulator.calls.map((text) => text.length))).toBeLessThanOrEqual(64 * 1024);
  });

  test('a short delay is no reason to skip', () => {
    const emulator = new SlowEmulator();
    const made = new TerminalPlayer(emulator, { readOnly: false, onSize: () => {} });
    made.take([output('a'), output('b'.repeat(JUMP_CHARS / 2)), screen('no'), output('c')]);
    while (emulator.parse());
    expect(made.jumps).toBe(0);
    expect(emulator.calls.join('')).toBe(`a${'b'.repeat(JUMP_CHARS / 2)}c`);
  });

  test('after close nothing waits and nothing is drawn', async () => {
    const emulator = new SlowEmulator();
    const made = new TerminalPlayer(emulator, { readOnly: false, onSize: () => {} });
    made.take(Array.from({ length: 40 }, () => output(chunk)));
    const room = made.room();
    made.close();
    await room;
    emulator.parse();
    expect(emulator.calls).toHaveLength(1);
  });
});

describe('sizes', () => {
  const space = { width: 800, height: 480, charWidth: 8, charHeight: 16 };

  test.each<[string, Partial<typeof space>, string]>([
    ['fills the space', {}, '100x30'],
    ['at least 20 by 5', { width: 10, height: 10 }, '20x5'],
    ['at most 500 by 200', { width: 99_999, height: 99_999 }, '500x200'],
  ])('%s', (_what, change, size) => {
    const { cols, rows } = sizeThatFits({ ...space, ...change });
    expect(`${cols}x${rows}`).toBe(size);
  });

  test('the font shrinks until all columns fit, and not below what can be read', () => {
    expect(fontThatFits({ cols: 100, rows: 30 }, space)).toBe(FONT_PX);
    expect(fontThatFits({ cols: 130, rows: 30 }, space)).toBe(10);
    expect(fontThatFits({ cols: 500, rows: 30 }, space)).toBe(FONT_PX_MIN);
  });
});

test('the emulator of the page and the one beside the job are of one version', async () => {
  const { version: page } = (await import('@xterm/xterm/package.json', { with: { type: 'json' } })).default;
  const { version: beside } = (await import('@xterm/headless/package.json', { with: { type: 'json' } })).default;
  expect(page).toBe(beside);
  expect(headless.Terminal).toBeDefined();
});
