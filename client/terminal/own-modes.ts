/**
 * Which modes of the own terminal a program has changed, and the text that undoes it. What is
 * harmless is undone always; what moves the cursor or belongs to another program, only if the
 * program changed it.
 */

/** Mouse, focus, paste, cursor keys: off, whatever was seen. */
const ALWAYS_OFF = [1, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004];
/** On in every terminal unless a program has switched it off. */
const ON_BY_DEFAULT = new Set([7, 25]);
const ALTERNATE = [1049, 1047, 47];
/** Which colours an OSC sets, and the OSC that resets them. */
const COLOUR_RESETS: ReadonlyMap<number, number> = new Map([
  [4, 104],
  [5, 105],
  [10, 110],
  [11, 111],
  [12, 112],
  [13, 113],
  [14, 114],
  [17, 117],
  [19, 119],
]);

export class OwnModes {
  /** The program's title; null: none yet. */
  title: string | null = null;
  readonly #on = new Set<number>();
  readonly #insert = new Set<number>();
  readonly #colours = new Set<number>();
  /** Pushed entries of kitty's keyboard encoding: of the normal screen, and of the alternate one. */
  #kitty: [number, number] = [0, 0];
  #kittySet = false;
  #otherKeys = false;
  #cursorStyle = false;
  #region = false;

  get alternate(): boolean {
    return ALTERNATE.some((mode) => this.#on.has(mode));
  }

  onEscape(character: string): void {
    if (character === 'c') this.forget();
  }

  onCsi(prefix: string, parameters: string, intermediate: string, final: string): void {
    switch (`${prefix}${intermediate}${final}`) {
      case '?h':
        for (const mode of parameters.split(';')) this.#on.add(Number(mode));
        break;
      case '?l':
        for (const mode of parameters.split(';')) this.#off(Number(mode));
        break;
      case 'h':
        for (const mode of parameters.split(';')) this.#insert.add(Number(mode));
        break;
      case 'l':
        for (const mode of parameters.split(';')) this.#insert.delete(Number(mode));
        break;
      case '>u':
        this.#kitty[this.alternate ? 1 : 0] += 1;
        break;
      case '<u': {
        const at = this.alternate ? 1 : 0;
        this.#kitty[at] = Math.max(0, this.#kitty[at] - Math.max(1, Number(parameters) || 1));
        break;
      }
      case '=u':
        this.#kittySet = true;
        break;
      case '>m':
      case '>n':
        this.#otherKeys = true;
        break;
      case ' q':
        this.#cursorStyle = true;
        break;
      case 'r':
        this.#region = true;
        break;
    }
  }

  onOsc(number: number, payload: string): void {
    if (number === 0 || number === 2) this.title = payload;
    if (COLOUR_RESETS.has(number)) this.#colours.add(number);
  }

  /** Leaves the own terminal as a shell expects it. */
  restoreText(): string {
    let text = '';
    if (this.alternate) {
      text += pop(this.#kitty[1], this.#kittySet);
      text += `\u001b[?${ALTERNATE.filter((mode) => this.#on.has(mode)).join(';')}l`;
    }
    text += pop(this.#kitty[0], this.#kittySet);
    const off = [...this.#on].filter((mode) => !ALTERNATE.includes(mode) && !ON_BY_DEFAULT.has(mode) && mode !== 1048 && mode > 0);
    text += `\u001b[?${[...new Set([...ALWAYS_OFF, ...off])].join(';')}l`;
    text += '\u001b[?7;25h\u001b>\u001b[0m';
    if (this.#insert.size > 0) text += `\u001b[${[...this.#insert].join(';')}l`;
    if (this.#otherKeys) text += '\u001b[>4;0m';
    if (this.#cursorStyle) text += '\u001b[0 q';
    // Both of these move the cursor.
    if (this.#region) text += '\u001b7\u001b[r\u001b8';
    text += '\u000f\u001b(B';
    for (const number of this.#colours) text += `\u001b]${COLOUR_RESETS.get(number)}\u001b\\`;
    return text;
  }

  #off(mode: number): void {
    // Leaving the alternate screen forgets its keyboard entries.
    if (ALTERNATE.includes(mode)) this.#kitty[1] = 0;
    this.#on.delete(mode);
  }

  /** Everything was undone. */
  forget(): void {
    this.#on.clear();
    this.#insert.clear();
    this.#kitty = [0, 0];
    this.#kittySet = false;
    this.#otherKeys = false;
    this.#cursorStyle = false;
    this.#region = false;
  }
}

const pop = (entries: number, set: boolean): string => `${entries > 0 ? `\u001b[<${entries}u` : ''}${set ? '\u001b[=0u' : ''}`;
