/**
 * A job's terminal, shown in the own one.
 *
 * Owns: the own terminal from `open` to `close`, its keyboard, and the queue of keys. Does not own
 * the stream: the caller passes its events in order.
 *
 *   TV1  The own terminal is as it was before, on every way out.
 *   TV2  A `screen` event is shown only where the output before it is missing: at the start of
 *        `attach`, and after a gap. The own screen is cleared first.
 *   TV3  A viewer that only reads sends neither keys nor sizes.
 *   TV4  What Holdfast has to say meanwhile goes into the title; remarks wait for the end.
 *   TV5  A line feed of the program moves the cursor down, and not to the first column.
 *   TV6  Between two parts of much output everything else has its turn: keys, signals, titles.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { KeyQueue, type KeyQueueOptions, type Size } from '../../client/terminal/key-queue.ts';
import { ViewerFilter } from '../../client/terminal/viewer-filter.ts';
import { gapText, type LoggedEvent, newInputId } from '../../protocol/index.ts';
import { escapeControls } from '../terminal-text.ts';
import { DetachKeys } from './detach-keys.ts';
import type { OwnTerminal } from './own-terminal.ts';

/** A window that is dragged changes its size many times. */
const SIZE_SETTLES_MS = 250;
const CTRL_C = '\u0003';
/**
 * TV6. Node waits for the terminal while it writes, and a slow one takes seconds for what one
 * frame of the stream brings. About as much as the kernel holds for a terminal.
 */
const PART_CHARS = 4096;

const SAVE_TITLE = '\u001b[22;0t';
const RESTORE_TITLE = '\u001b[23;0t';
/** Soft reset, usual settings, and an empty screen. */
const CLEAR = '\u001b[!p\u001b[0m\u001b(B\u000f\u001b[r\u001b[H\u001b[2J';

/**
 * TV5. Node's raw mode leaves `onlcr` on, which makes CR LF of it. Terminals take VT as LF, and
 * `onlcr` does not know it. What follows a CR may stay as it is.
 */
const BARE_LINE_FEED = /(?<!\r)\n/g;
const VERTICAL_TAB = '\v';

export interface Keyboard {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  off(event: 'data', listener: (chunk: Buffer) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

export interface ViewOptions {
  terminal: OwnTerminal;
  keyboard: Keyboard;
  /** Writes to the own terminal, and resolves when more may be written. */
  write(text: string): Promise<void>;
  /** Null: it only reads. */
  writer: Pick<KeyQueueOptions, 'input' | 'resize' | 'leads'> | null;
  detachKeys: readonly number[];
  /** The stream begins with a `screen`, or with the first event when there is none. */
  fromScreen: boolean;
  onDetach(): void;
  /** False: no titles, as for TERM=dumb. */
  titles: boolean;
}

export class TerminalView {
  readonly #options: ViewOptions;
  readonly #filter: ViewerFilter;
  readonly #detach: DetachKeys;
  readonly #queue: KeyQueue | null;
  readonly #unlisten: (() => void)[] = [];
  #awaitsScreen: boolean;
  #isOpen = false;
  /** Nothing of the job is shown yet. */
  #isFresh = true;
  #midLine = false;
  /** Since the last turn of everything else. */
  #drawnChars = 0;
  /** The last character of the program that was written. */
  #last = '';
  #sizeTimer: NodeJS.Timeout | null = null;
  #keyTimer: NodeJS.Timeout | null = null;
  #states = { connection: '', job: '', keys: '', size: '' };
  #title = '';
  #known: Size | null = null;
  /** For after the end, in order. */
  readonly remarks: string[] = [];
  keysFailed: unknown = null;
  /** Of the keys, at the end. */
  unsentBytes = 0;
  unansweredBytes = 0;

  constructor(options: ViewOptions) {
    const { writer, terminal, fromScreen, detachKeys } = options;
    this.#options = options;
    this.#awaitsScreen = fromScreen;
    this.#filter = new ViewerFilter({ readOnly: writer === null });
    this.#detach = new DetachKeys(detachKeys);
    this.#queue =
      writer &&
      new KeyQueue({
        ...writer,
        id: newInputId(),
        size: terminal.size,
        onFailed: (error) => {
          this.keysFailed = error;
          this.#state('keys', 'keys are not sent any more');
        },
        onRoom: () => this.#options.keyboard.resume(),
      });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Takes over the own terminal. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    const { terminal, keyboard } = this.#options;
    this.#unlisten.push(terminal.onExit(() => this.#restore()));
    terminal.setRaw(true);
    if (this.#options.titles) terminal.writeNow(SAVE_TITLE);
    const onData = (chunk: Buffer) => this.#onKeys(Buffer.from(chunk).toString('latin1'));
    keyboard.on('data', onData);
    keyboard.resume();
    this.#unlisten.push(
      () => keyboard.off('data', onData),
      terminal.onResize(() => this.#onResize()),
      terminal.onContinue(() => {
        terminal.setRaw(false);
        terminal.setRaw(true);
      }),
    );
    this.#showSize();
  }

  /** The job takes input now. */
  takesKeys(): void {
    this.#queue?.start();
  }

  async show({ type, data }: LoggedEvent): Promise<void> {
    switch (type) {
      case 'started':
        this.#setKnownSize(data.terminal);
        return;
      case 'resize':
        this.#setKnownSize(data);
        return;
      case 'screen':
        if (this.#awaitsScreen) await this.#showScreen(data);
        return;
      case 'output': {
        // Without a screen at the start, all of the output is shown.
        this.#awaitsScreen = false;
        this.#isFresh = false;
        await this.#draw(String(data.text ?? ''));
        return;
      }
      case 'gap': {
        const missing = gapText(data);
        if (missing === null) return;
        this.remarks.push(`${missing}: ${data.reason}`);
        this.#awaitsScreen = true;
        return;
      }
      case 'error':
        if (data.fatal !== true) this.remarks.push(`error: ${data.error}`);
        return;
      case 'wrapper_disconnected':
        this.#state('job', 'the job lost its connection; it continues');
        return;
      case 'wrapper_reconnected':
        this.#state('job', '');
        return;
    }
  }

  /** The own connection is down, or up again (''). */
  connection(text: string): void {
    this.#state('connection', text);
  }

  /** Resolves when the keys typed so far are sent, or after this time. */
  async keysSent(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | null = null;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.#queue?.settled(), timeout]);
    if (timer) clearTimeout(timer);
  }

  /** No key is sent any more. A request that is aborted after this has not failed. */
  endKeys(): void {
    this.unsentBytes = this.#queue?.queuedBytes ?? 0;
    this.unansweredBytes = this.#queue?.unansweredBytes ?? 0;
    this.#queue?.stop();
  }

  /** Gives the own terminal back. */
  close(): void {
    const { keyboard } = this.#options;
    if (this.#sizeTimer) clearTimeout(this.#sizeTimer);
    if (this.#keyTimer) clearTimeout(this.#keyTimer);
    if (!this.#isOpen) return;
    keyboard.pause();
    this.#restore();
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
  }

  get sentBytes(): number {
    return this.#queue?.sentBytes ?? 0;
  }

  // ── the own terminal ──────────────────────────────────────────────────────────────────────────

  /** TV1. Without waiting for anything, because the process may be ending. */
  #restore(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { terminal, titles } = this.#options;
    // In the normal screen, what follows begins on a line of its own.
    const line = this.#midLine && !this.#filter.modes.alternate ? '\r\n' : '';
    // An unfinished sequence was held back, so the terminal stands between two.
    terminal.writeNow(`${this.#filter.modes.restoreText()}${titles ? RESTORE_TITLE : ''}${line}`);
    terminal.setRaw(false);
  }

  async #showScreen(data: Record<string, unknown>): Promise<void> {
    this.#awaitsScreen = false;
    this.#setKnownSize(data);
    this.#filter.restart();
    const leave = this.#filter.modes.restoreText();
    this.#filter.modes.forget();
    // What the own terminal showed before `attach` stays, above the screen.
    const { rows } = this.#options.terminal.size;
    const push = this.#isFresh ? `\u001b[${rows};1H${'\n'.repeat(rows)}` : '';
    this.#isFresh = false;
    const title = typeof data.title === 'string' ? `\u001b]2;${escapeControls(data.title)}\u001b\\` : '';
    await this.#write(leave + push);
    await this.#draw(`${CLEAR}${data.data ?? ''}${data.modes ?? ''}${title}`);
  }

  /** The parts are of the text before the filter, which never leaves the terminal in a sequence. */
  async #draw(text: string): Promise<void> {
    for (let at = 0; at < text.length && this.#isOpen; ) {
      // A character of two units is not cut.
      const end = at + PART_CHARS + (isHighSurrogate(text.charCodeAt(at + PART_CHARS - 1)) ? 1 : 0);
      await this.#write(this.#filter.push(text.slice(at, end)));
      this.#drawnChars += Math.min(end, text.length) - at;
      at = end;
      if (this.#drawnChars < PART_CHARS) continue;
      this.#drawnChars = 0;
      await turn(); // TV6
    }
  }

  async #write(text: string): Promise<void> {
    if (text === '') return;
    const written = (this.#last + text).replace(BARE_LINE_FEED, VERTICAL_TAB).slice(this.#last.length); // TV5
    this.#last = text.at(-1) ?? '';
    this.#midLine = !written.endsWith('\n');
    await this.#options.write(written);
  }

  // ── sizes ─────────────────────────────────────────────────────────────────────────────────────

  #setKnownSize(value: unknown): void {
    const { cols, rows } = (value ?? {}) as Partial<Size>;
    if (typeof cols !== 'number' || typeof rows !== 'number') return;
    this.#known = { cols, rows };
    this.#queue?.setKnownSize(this.#known);
    this.#showSize();
  }

  #onResize(): void {
    if (this.#sizeTimer) clearTimeout(this.#sizeTimer);
    this.#sizeTimer = setTimeout(() => {
      this.#queue?.setOwnSize(this.#options.terminal.size);
      this.#showSize();
    }, SIZE_SETTLES_MS);
  }

  /** A picture that was drawn for another size does not fit. */
  #showSize(): void {
    const { cols, rows } = this.#options.terminal.size;
    const known = this.#known;
    const fits = known === null || (known.cols <= cols && known.rows <= rows);
    this.#state('size', fits ? '' : `the terminal has ${known.cols}×${known.rows}, this window ${cols}×${rows}`);
  }

  // ── keys ──────────────────────────────────────────────────────────────────────────────────────

  #onKeys(text: string): void {
    if (this.#keyTimer) clearTimeout(this.#keyTimer);
    this.#keyTimer = null;
    const { send, detached } = this.#detach.push(text);
    this.#send(send);
    if (detached || (this.#queue === null && text.includes(CTRL_C))) {
      this.#options.onDetach();
      return;
    }
    const heldMs = this.#detach.heldForMs;
    if (heldMs !== null) this.#keyTimer = setTimeout(() => this.#send(this.#detach.release()), heldMs);
  }

  #send(text: string): void {
    if (!this.#queue || text === '') return; // TV3
    this.#queue.push(Buffer.from(text, 'latin1'));
    if (this.#queue.full) this.#options.keyboard.pause();
  }

  // ── the title ─────────────────────────────────────────────────────────────────────────────────

  #state(kind: 'connection' | 'job' | 'keys' | 'size', text: string): void {
    if (this.#states[kind] === text) return;
    this.#states[kind] = text;
    this.#drawTitle();
  }

  #drawTitle(): void {
    if (!this.#isOpen || !this.#options.titles) return;
    const { connection, job, keys, size } = this.#states;
    const said = [connection, job, keys, size].find((text) => text !== '') ?? '';
    const own = said === '' ? '' : `holdfast: ${escapeControls(said)}`;
    if (own === this.#title && own === '') return;
    this.#title = own;
    // Not through the filter, which knows the program's own title.
    this.#options.terminal.writeNow(`\u001b]2;${own === '' ? (this.#filter.modes.title ?? '') : own}\u001b\\`);
  }
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
