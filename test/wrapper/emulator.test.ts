/**
 * Goal: a viewer that begins with a screen sees and does what one does that has all of the output:
 * the same picture, modes, and keys. Method: two emulators, one fed with output, one with the
 * screen; the public package without this project's handlers stands for the viewer.
 */

import serialize from '@xterm/addon-serialize';
import headless from '@xterm/headless';
import { describe, expect, test } from 'vitest';
import { SCREEN_BYTES_MAX, type ScreenData, utf8Bytes } from '../../protocol/index.ts';
import { Emulator } from '../../wrapper/terminal/emulator.ts';

const size = { cols: 40, rows: 10 };

interface Viewer {
  write(text: string): Promise<void>;
  picture(): string[];
  look(): string;
  modes(): unknown;
  replies: string[];
}

function viewer(cols = size.cols, rows = size.rows): Viewer {
  const terminal = new headless.Terminal({ cols, rows, scrollback: 1000, allowProposedApi: true });
  const addon = new serialize.SerializeAddon();
  terminal.loadAddon(addon as never);
  const replies: string[] = [];
  terminal.onData((text) => replies.push(text));
  const core = (terminal as unknown as { _core: Record<string, never> })._core as unknown as {
    coreService: { isCursorHidden: boolean; decPrivateModes: object };
    coreMouseService: { activeEncoding: string; activeProtocol: string };
    buffer: { scrollTop: number; scrollBottom: number };
  };
  return {
    write: (text) => new Promise((resolve) => terminal.write(text, resolve)),
    picture: () => {
      const { active } = terminal.buffer;
      const rows = Array.from(
        { length: terminal.rows },
        (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '',
      );
      return [...rows, `${active.type} ${active.cursorX},${active.cursorY}`];
    },
    look: () => addon.serialize(),
    modes: () => ({
      ...terminal.modes,
      hidden: core.coreService.isCursorHidden,
      private: core.coreService.decPrivateModes,
      encoding: core.coreMouseService.activeEncoding,
      protocol: core.coreMouseService.activeProtocol,
      region: [core.buffer.scrollTop, core.buffer.scrollBottom],
    }),
    replies,
  };
}

async function screenOf(output: string, given = size): Promise<{ screen: ScreenData; replies: string[] }> {
  const replies: string[] = [];
  const emulator = await Emulator.load(given, (text) => replies.push(text));
  emulator.write(output);
  const screen = emulator.screen();
  if (!screen) throw new Error('no screen');
  return { screen, replies };
}

const SAMPLES: [what: string, output: string][] = [
  ['plain lines', 'one\r\ntwo\r\nthree'],
  ['colours', '\u001b[31mred \u001b[1;44mbold on blue\u001b[0m \u001b[38;2;1;2;3mtrue\u001b[38;5;200mindexed'],
  ['wide and combined characters', '漢字 🦀 e\u0301 \u{1F468}\u200d\u{1F469}|'],
  ['scrolled lines', Array.from({ length: 30 }, (_, n) => `line ${n}`).join('\r\n')],
  ['a hidden cursor', 'x\u001b[?25l'],
  ['the alternate buffer over a shell', 'shell $ vim\r\n\u001b[?1049h\u001b[2J\u001b[3;4Hfile'],
  ['mouse with SGR', '\u001b[?1002h\u001b[?1006h'],
  ['any mouse with pixels', '\u001b[?1003h\u001b[?1016h'],
  ['keys of applications, paste and focus', '\u001b[?1h\u001b=\u001b[?2004h\u001b[?1004h'],
  [
    'a status bar as wide as the terminal, with the cursor above it',
    '\u001b[10;1H\u001b[7mMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM\u001b[0m\u001b[3;5H',
  ],
  ['a continued row whose beginning was erased', `${'x'.repeat(45)}\u001b[1K!\r\nnext`],
  ['a scroll region', 'a\r\nb\r\nc\u001b[2;5r\u001b[3;3Hhere'],
  ['no wrapping, insert mode', '\u001b[?7l\u001b[4h'],
  ['a cursor that is a bar', '\u001b[6 q'],
  ['a blinking underline', '\u001b[3 q'],
  ['line drawing', '\u001b(0lqk'],
  ['a frame that is not complete', '\u001b[?2026hhalf'],
];

describe('[TTY12] a viewer that begins with the screen', () => {
  test.each(SAMPLES)('has the same picture and modes: %s', async (_, output) => {
    const { screen } = await screenOf(output);
    const [late, whole] = [viewer(), viewer()];
    await whole.write(output.replace('\u001b[?2026h', ''));
    await late.write(screen.data + screen.modes);
    expect(late.picture()).toEqual(whole.picture());
    expect(late.modes()).toEqual(whole.modes());
    // What follows is drawn in the same place and in the same way.
    for (const each of [late, whole]) await each.write('q\r\n\u001b[1mz');
    expect(late.picture()).toEqual(whole.picture());
    expect(late.replies).toEqual([]);
  });

  test('sees the shell again when it quits the editor', async () => {
    const { screen } = await screenOf('shell $ vim\r\n\u001b[?1049h\u001b[2J\u001b[3;4Hfile');
    const late = viewer();
    await late.write(`${screen.data}${screen.modes}\u001b[?1049l`);
    expect(late.picture()[0]).toBe('shell $ vim');
    expect(late.picture().at(-1)).toBe('normal 0,1');
  });

  test('finds the cursor of the shell again, also above a full row', async () => {
    const { screen } = await screenOf(`\u001b[5;1H${'x'.repeat(size.cols)}\u001b[2;7H\u001b[?1049heditor`);
    const late = viewer();
    await late.write(screen.data + screen.modes);
    await late.write('\u001b[?1049l');
    expect(late.picture().at(-1)).toBe('normal 6,1');
  });

  test('draws an editor in its own colours, over a shell that left others set', async () => {
    const output = 'shell\u001b[?1049h\u001b[2;1Hplain \u001b[31mred';
    const { screen } = await screenOf(output);
    const [late, whole] = [viewer(), viewer()];
    await whole.write(output);
    await late.write(screen.data + screen.modes);
    expect(late.look()).toBe(whole.look());
    // The addon leaves the shell's buffer with the pen of now.
    expect(screen.data).toContain('\u001b[0m\u001b[?1049h\u001b[H\r\nplain');
  });

  test('reads on from a screen that was taken anywhere between two sequences', async () => {
    const output =
      'a\u001b[31mb漢\u001b[2;3Hc\u001b]2;t\u0007\u001b[?1049hd\u001b[?25le\u001b[2;5r\u001b[5;1H\r\nf\u001b[r\u001b[?1049l' +
      'x'.repeat(42) +
      '\u001b[1;4mg🦀\u001bP$qm\u001b\\\u001b[3L\u001b7\u001b[Hh\u001b(0q\u001b(Bi';
    let taken = 0;
    for (let cut = 0; cut <= output.length; cut += 1) {
      const emulator = await Emulator.load(size, () => {});
      emulator.write(output.slice(0, cut));
      const half = /[\ud800-\udbff]$/.test(output.slice(0, cut));
      if (!emulator.isBetweenSequences || half) continue;
      taken += 1;
      const screen = emulator.screen();
      const [late, whole] = [viewer(), viewer()];
      await late.write(`${screen?.data}${screen?.modes}${output.slice(cut)}`);
      await whole.write(output);
      expect(late.picture(), `cut at ${cut}`).toEqual(whole.picture());
      expect(late.modes(), `cut at ${cut}`).toEqual(whole.modes());
    }
    expect(taken).toBeGreaterThan(50);
    expect(taken).toBeLessThan(output.length);
  });

  test('has the keyboard modes that the addon leaves out, and the title', async () => {
    const { screen } = await screenOf('\u001b[>1u\u001b[>5u\u001b[<1u\u001b[=3;2u\u001b[>4;2m\u001b[?1007h\u001b]0;my title\u0007');
    expect(screen.title).toBe('my title');
    expect(screen.modes).toContain('\u001b[>3u');
    expect(screen.modes).toContain('\u001b[>4;2m');
    expect(screen.modes).toContain('\u001b[?1007h');
    const { screen: other } = await screenOf('\u001b[>1u\u001b[?1049h\u001b[?1007h\u001bc');
    expect(other.modes).not.toContain('u');
  });

  test('never gets 2026 or the clipboard', async () => {
    const { screen } = await screenOf('\u001b[?2026h\u001b]52;c;c2VudGluZWw=\u0007x');
    expect(screen.data + screen.modes).not.toMatch(/2026|\]52|c2VudGluZWw/);
  });
});

describe('[TTY12] the size of a screen', () => {
  const noise = (cols: number, rows: number) =>
    Array.from({ length: cols * rows }, (_, n) => `\u001b[38;2;${n % 256};${(n * 7) % 256};${(n * 13) % 256}mx`).join('');

  test('a large one has no colours, and the same characters and cursor', async () => {
    const large = { cols: 500, rows: 200 };
    const output = `${noise(500, 200)}\u001b[?1049h\u001b[?1002h${noise(500, 199)}\u001b[5;6H`;
    const { screen } = await screenOf(output, large);
    expect(screen.colours).toBe(false);
    expect(utf8Bytes(JSON.stringify(screen))).toBeLessThanOrEqual(SCREEN_BYTES_MAX);
    const [late, whole] = [viewer(500, 200), viewer(500, 200)];
    await late.write(screen.data + screen.modes);
    await whole.write(output);
    expect(late.picture()).toEqual(whole.picture());
    expect(late.modes()).toEqual(whole.modes());
  });

  test('one of an ordinary size has them, also after much output', async () => {
    const ordinary = { cols: 120, rows: 40 };
    const { screen } = await screenOf(
      noise(120, 40) + Array.from({ length: 300 }, (_, n) => `\u001b[3${n % 8}mline ${n}`).join('\r\n'),
      ordinary,
    );
    expect(screen).not.toHaveProperty('colours');
  });
});

describe('[TTY13] questions', () => {
  test('what is restored is not answered, and what follows is', async () => {
    const replies: string[] = [];
    const emulator = await Emulator.load(size, (text) => replies.push(text));
    emulator.restore({ ...size, data: 'x\u001b[c\u001b[6n\u001b]11;?\u0007\u001b[?u', modes: '\u001b[>q', title: 'kept' });
    expect(replies).toEqual([]);
    expect(emulator.screen()?.title).toBe('kept');
    emulator.write('\u001b[5n');
    expect(replies).toEqual(['\u001b[0n']);
  });

  test('a resize keeps the picture, and equal sizes change nothing', async () => {
    const emulator = await Emulator.load(size, () => {});
    emulator.write('text');
    emulator.resize({ cols: 20, rows: 5 });
    expect(emulator.screen()).toMatchObject({ cols: 20, rows: 5 });
    expect(emulator.screen()?.data).toContain('text');
  });
});
