/** A terminal without a window (`@xterm/headless`), which judges what a viewer's terminal shows. */

import { SerializeAddon } from '@xterm/addon-serialize';
import headless from '@xterm/headless';

export class Headless {
  readonly terminal: InstanceType<typeof headless.Terminal>;
  readonly #serialize = new SerializeAddon();
  /** What the terminal wrote to its input without a key: answers to queries. */
  answers = '';
  title = '';

  constructor(cols = 80, rows = 24) {
    this.terminal = new headless.Terminal({ cols, rows, allowProposedApi: true, scrollback: 1000 });
    this.terminal.loadAddon(this.#serialize as never);
    this.terminal.onData((data) => {
      this.answers += data;
    });
    this.terminal.onTitleChange((title) => {
      this.title = title;
    });
  }

  write(text: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => this.terminal.write(text, resolve));
  }

  resize(cols: number, rows: number): void {
    this.terminal.resize(cols, rows);
  }

  /** The visible rows, without spaces at their ends. */
  get rows(): string[] {
    const { active } = this.terminal.buffer;
    return Array.from(
      { length: this.terminal.rows },
      (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '',
    );
  }

  get text(): string {
    return this.rows.join('\n').trimEnd();
  }

  /** Everything that was scrolled out, and the screen. */
  get allRows(): string[] {
    const { active } = this.terminal.buffer;
    return Array.from({ length: active.length }, (_, row) => active.getLine(row)?.translateToString(true) ?? '');
  }

  /** Characters, colours, cursor and modes as text: equal for equal screens. */
  get picture(): string {
    return this.#serialize.serialize({ scrollback: 0 });
  }

  /** The same, of the alternate screen alone: what was before it is not the program's. */
  get alternatePicture(): string {
    return this.picture.split('\u001b[?1049h')[1] ?? '';
  }

  get isAlternate(): boolean {
    return this.terminal.buffer.active.type === 'alternate';
  }
}
