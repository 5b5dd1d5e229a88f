/**
 * The one emulator of a job's terminal: it answers what the program asks its terminal, and knows
 * the screen. Viewers never answer, so the program gets each answer once, also without a viewer.
 *
 * Owns: the screen, and the modes that the serialize addon leaves out. Does not own: the output
 * (terminal-stream), the job's input.
 *
 *   EM1  `write` is synchronous, so `screen` shows exactly what was written before.
 *   EM2  What a screen is restored from is not answered.
 *   EM3  A screen sets no mode that a viewer could not leave: not 2026 (the viewer would wait), and
 *        never the clipboard (OSC 52).
 *   EM4  A screen that is taken inside a sequence would leave its rest to be shown as text.
 *
 * Accepted weakness: tab stops, hyperlinks (OSC 8) and a keyboard mode of the buffer that is not
 * shown are not in a screen; a program sets them when it draws again. Nor are the cursor that
 * `ESC 7` saved, and that the cursor stands behind the last column, where other rows follow.
 *
 * It reads parts of xterm.js that are not its public interface (`_core`), because the interface has
 * no synchronous write and does not name these modes. Its version is pinned, and a test compares
 * each mode.
 */

import { SCREEN_BYTES_MAX, type ScreenData, type TerminalSize, utf8Bytes } from '../../protocol/index.ts';
import { VERSION } from '../../protocol/version.ts';

type Headless = typeof import('@xterm/headless');
type Addon = typeof import('@xterm/addon-serialize');
type Terminal = InstanceType<Headless['Terminal']>;
type Params = (number | number[])[];

/** Lines above the screen that a late viewer can scroll to. */
const SCROLLBACK_ROWS = 200;
/** Private modes that neither the addon nor xterm.js remembers, and that viewers act on. */
const REMEMBERED_MODES = [1007, 2031, 2048];
/** Deeper stacks of keyboard modes lose their oldest, as the protocol says. */
const KEYBOARD_STACK_MAX = 16;
const COLOURS = { 10: 'rgb:e5e5/e5e5/e5e5', 11: 'rgb:0000/0000/0000', 12: 'rgb:e5e5/e5e5/e5e5' } as const;

interface Core {
  _writeBuffer: { writeSync(text: string): void };
  coreService: { isCursorHidden: boolean; decPrivateModes: { cursorStyle?: string; cursorBlink?: boolean } };
  _inputHandler: { _parser: { currentState: number } };
  coreMouseService: { activeEncoding: string };
  buffer: { scrollTop: number; scrollBottom: number };
  _bufferService: { buffers: { normal: CoreBuffer; alt: CoreBuffer } };
}

interface CoreBuffer {
  lines: { length: number; get(row: number): CoreLine | undefined };
  x: number;
  y: number;
}

interface CoreLine {
  isWrapped: boolean;
  getTrimmedLength(): number;
  hasContent(column: number): number;
}

/** The state of a parser that is in no sequence. */
const GROUND = 0;
const SHAPES: Readonly<Record<string, number>> = { block: 1, underline: 3, bar: 5 };

const numbers = (params: Params): number[] => params.map((each) => (Array.isArray(each) ? (each[0] ?? 0) : each));

export class Emulator {
  readonly #terminal: Terminal;
  readonly #core: Core;
  readonly #addon: InstanceType<Addon['SerializeAddon']>;
  readonly #reply: (text: string) => void;
  #silent = false;
  #title: string | null = null;
  /** Kitty's keyboard flags, of the normal and the alternate buffer. */
  readonly #keyboard = { normal: [0], alternate: [0] };
  #modifyOtherKeys = 0;
  readonly #modes = new Set<number>();
  #lineDrawing = false;

  /** Loaded only for a job in a terminal: it takes some megabytes. */
  static async load(size: TerminalSize, reply: (text: string) => void): Promise<Emulator> {
    const [headless, addon] = await Promise.all([import('@xterm/headless'), import('@xterm/addon-serialize')]);
    return new Emulator(modulesOf(headless), modulesOf(addon), size, reply);
  }

  private constructor(
    { Terminal }: Headless,
    { SerializeAddon }: Addon,
    { cols, rows }: TerminalSize,
    reply: (text: string) => void,
  ) {
    this.#reply = reply;
    this.#terminal = new Terminal({
      cols,
      rows,
      scrollback: SCROLLBACK_ROWS,
      windowOptions: { getWinSizeChars: true },
      allowProposedApi: true,
    });
    this.#core = (this.#terminal as unknown as { _core: Core })._core;
    this.#addon = new SerializeAddon();
    this.#terminal.loadAddon(this.#addon as never);
    this.#terminal.onData((text) => this.#answer(text));
    this.#terminal.onTitleChange((title) => {
      this.#title = title;
    });
    this.#followModes();
    this.#answerMore();
  }

  get size(): TerminalSize {
    return { cols: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** EM1 */
  write(text: string): void {
    this.#core._writeBuffer.writeSync(text);
  }

  /** EM4 */
  get isBetweenSequences(): boolean {
    return this.#core._inputHandler._parser.currentState === GROUND;
  }

  resize({ cols, rows }: TerminalSize): void {
    this.#terminal.resize(cols, rows);
  }

  /** EM2 */
  restore({ cols, rows, data, modes, title }: ScreenData): void {
    const { size } = this;
    this.#silent = true;
    this.resize({ cols, rows });
    this.write(data + modes);
    this.resize(size);
    this.#silent = false;
    this.#title = title ?? null;
  }

  /** Null when no screen fits (SCREEN_BYTES_MAX). */
  screen(): ScreenData | null {
    const { size } = this;
    this.#unwrapBrokenLines();
    const modes = this.#leftOutModes();
    const title = this.#title === null ? {} : { title: this.#title.slice(0, 1024).toWellFormed() };
    const rows = this.#addon;
    const attempts: (() => Pick<ScreenData, 'data' | 'colours'>)[] = [
      () => ({ data: this.#apart(rows.serialize({ scrollback: SCROLLBACK_ROWS })) }),
      () => ({ data: this.#apart(rows.serialize({ scrollback: 0 })) }),
      () => ({ data: this.#plain(), colours: false }),
    ];
    for (const attempt of attempts) {
      const { data, ...more } = attempt();
      const screen = { ...size, data: data.toWellFormed(), modes, ...title, ...more };
      if (utf8Bytes(JSON.stringify(screen)) <= SCREEN_BYTES_MAX) return screen;
    }
    return null;
  }

  /**
   * A row continues the row above it. When that one was cleared or moved away since, the addon
   * leaves a dash in its place; when the row itself begins with nothing now, it is drawn one lower.
   */
  #unwrapBrokenLines(): void {
    const { normal, alt } = this.#core._bufferService.buffers;
    for (const { lines } of [normal, alt]) {
      for (let row = 0; row < lines.length; row += 1) {
        const line = lines.get(row);
        const above = row === 0 ? undefined : lines.get(row - 1);
        if (!line?.isWrapped) continue;
        if ((above?.getTrimmedLength() ?? 0) < this.#terminal.cols || line.hasContent(0) === 0) line.isWrapped = false;
      }
    }
  }

  /**
   * The addon draws the alternate buffer over the colours that it has left, and leaves the cursor
   * of the normal one as `#leftOutModes` says.
   */
  #apart(data: string): string {
    const { x, y } = this.#core._bufferService.buffers.normal;
    const cursor = x < this.#terminal.cols ? `\u001b[${y + 1};${x + 1}H` : '';
    return data.replace('\u001b[?1049h', `${cursor}\u001b[0m\u001b[?1049h`);
  }

  /** The characters of the shown buffer, its cursor, and the modes of the addon. */
  #plain(): string {
    const { active } = this.#terminal.buffer;
    const rows = Array.from({ length: this.#terminal.rows }, (_, row) => active.getLine(active.baseY + row));
    const text = rows.map((line) => line?.translateToString(true) ?? '').join('\r\n');
    const { data, modes } = this.#modesOfAddon(active.type === 'alternate');
    return `${data}${text}\u001b[${active.cursorY + 1};${active.cursorX + 1}H${modes}`;
  }

  #modesOfAddon(isAlternate: boolean): { data: string; modes: string } {
    const modes = this.#terminal.modes;
    const mouse = { none: 0, x10: 9, vt200: 1000, drag: 1002, any: 1003 }[modes.mouseTrackingMode];
    const on = [
      ...(modes.applicationCursorKeysMode ? ['?1'] : []),
      ...(modes.applicationKeypadMode ? ['?66'] : []),
      ...(modes.bracketedPasteMode ? ['?2004'] : []),
      ...(modes.insertMode ? ['4'] : []),
      ...(modes.sendFocusMode ? ['?1004'] : []),
      ...(mouse > 0 ? [`?${mouse}`] : []),
    ];
    const wrap = modes.wraparoundMode ? '' : '\u001b[?7l';
    return { data: isAlternate ? '\u001b[?1049h\u001b[H' : '', modes: on.map((mode) => `\u001b[${mode}h`).join('') + wrap };
  }

  #leftOutModes(): string {
    const { coreService, coreMouseService, buffer } = this.#core;
    const { cursorStyle, cursorBlink } = coreService.decPrivateModes;
    const { active } = this.#terminal.buffer;
    let modes = '';
    const { rows } = this.#terminal;
    const hasRegion = buffer.scrollTop > 0 || buffer.scrollBottom < rows - 1;
    if (hasRegion) modes += `\u001b[${buffer.scrollTop + 1};${buffer.scrollBottom + 1}r`;
    // To set a region or the origin mode moves the cursor. And the addon counts one column too many
    // where the last row is full. Behind a full row the cursor has no number of its own.
    if (hasRegion || active.cursorX < this.#terminal.cols) {
      const top = this.#terminal.modes.originMode ? buffer.scrollTop : 0;
      modes += `\u001b[${active.cursorY - top + 1};${active.cursorX + 1}H`;
    }
    if (this.#lineDrawing) modes += '\u001b(0';
    if (cursorStyle !== undefined) modes += `\u001b[${(SHAPES[cursorStyle] ?? 1) + (cursorBlink ? 0 : 1)} q`;
    if (coreMouseService.activeEncoding === 'SGR') modes += '\u001b[?1006h';
    if (coreMouseService.activeEncoding === 'SGR_PIXELS') modes += '\u001b[?1016h';
    for (const mode of this.#modes) modes += `\u001b[?${mode}h`;
    if (this.#modifyOtherKeys > 0) modes += `\u001b[>4;${this.#modifyOtherKeys}m`;
    const [base = 0, ...pushed] = this.#keyboard[active.type];
    if (base > 0) modes += `\u001b[=${base};1u`;
    for (const flags of pushed) modes += `\u001b[>${flags}u`;
    if (coreService.isCursorHidden) modes += '\u001b[?25l';
    return modes;
  }

  #answer(text: string): void {
    if (!this.#silent) this.#reply(text);
  }

  /** Handlers that return false leave the sequence to xterm.js. */
  #followModes(): void {
    const { parser } = this.#terminal;
    const remember = (on: boolean) => (params: Params) => {
      for (const mode of numbers(params)) {
        if (!REMEMBERED_MODES.includes(mode)) continue;
        if (on) this.#modes.add(mode);
        else this.#modes.delete(mode);
      }
      return false;
    };
    parser.registerCsiHandler({ prefix: '?', final: 'h' }, remember(true));
    parser.registerCsiHandler({ prefix: '?', final: 'l' }, remember(false));
    parser.registerEscHandler({ intermediates: '(', final: '0' }, () => this.#drawLines(true));
    parser.registerEscHandler({ intermediates: '(', final: 'B' }, () => this.#drawLines(false));
    parser.registerEscHandler({ final: 'c' }, () => this.#reset());
    parser.registerCsiHandler({ intermediates: '!', final: 'p' }, () => this.#reset());
    parser.registerCsiHandler({ prefix: '>', final: 'm' }, (params) => {
      const [resource, value = 0] = numbers(params);
      if (resource === 4) this.#modifyOtherKeys = value;
      return true;
    });
    const stack = () => this.#keyboard[this.#terminal.buffer.active.type];
    parser.registerCsiHandler({ prefix: '>', final: 'u' }, (params) => {
      const flags = stack();
      flags.push(numbers(params)[0] ?? 0);
      if (flags.length > KEYBOARD_STACK_MAX) flags.shift();
      return true;
    });
    parser.registerCsiHandler({ prefix: '<', final: 'u' }, (params) => {
      const flags = stack();
      flags.splice(-Math.max(1, numbers(params)[0] ?? 1));
      if (flags.length === 0) flags.push(0);
      return true;
    });
    parser.registerCsiHandler({ prefix: '=', final: 'u' }, (params) => {
      const flags = stack();
      const [value = 0, how = 1] = numbers(params);
      const before = flags.pop() ?? 0;
      flags.push(how === 2 ? before | value : how === 3 ? before & ~value : value);
      return true;
    });
    parser.registerCsiHandler({ prefix: '?', final: 'u' }, () => {
      this.#answer(`\u001b[?${stack().at(-1) ?? 0}u`);
      return true;
    });
  }

  #drawLines(on: boolean): boolean {
    this.#lineDrawing = on;
    return false;
  }

  #reset(): boolean {
    this.#lineDrawing = false;
    this.#modes.clear();
    this.#modifyOtherKeys = 0;
    this.#keyboard.normal = [0];
    this.#keyboard.alternate = [0];
    return false;
  }

  /** What xterm.js leaves to the program around it. A program that asks may wait for the answer. */
  #answerMore(): void {
    const { parser } = this.#terminal;
    parser.registerCsiHandler({ prefix: '>', final: 'q' }, () => {
      this.#answer(`\u001bP>|holdfast(${VERSION})\u001b\\`);
      return true;
    });
    for (const [code, colour] of Object.entries(COLOURS)) {
      parser.registerOscHandler(Number(code), (data) => {
        if (data === '?') this.#answer(`\u001b]${code};${colour}\u001b\\`);
        return data === '?';
      });
    }
    // Whether the colours are dark. It goes with COLOURS.
    parser.registerCsiHandler({ prefix: '?', final: 'n' }, (params) => {
      if (numbers(params)[0] !== 996) return false;
      this.#answer('\u001b[?997;1n');
      return true;
    });
  }
}

/** Both are CommonJS: a bundler and Node give their exports at different places. */
function modulesOf<M extends object>(module: M): M {
  return 'default' in module && typeof module.default === 'object' ? (module.default as M) : module;
}
