/** Single keys as shortcuts: which handler runs, and when. */

export interface KeyBinding {
  /**
   * `event.key` of each key for it: `['j', 'ArrowDown']`. A shifted key is its character: `'G'`,
   * `'?'`.
   */
  keys: string[];
  /** The description in the key sheet. */
  label: string;
  run(event: KeyboardEvent): void;
}

type Pressed = Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey' | 'isComposing' | 'defaultPrevented'>;

/** Keys that a field or an open control uses itself. */
export function isTyping(target: { tagName?: string; type?: string; isContentEditable?: boolean } | null): boolean {
  if (!target) return false;
  if (target.isContentEditable) return true;
  const name = target.tagName?.toUpperCase();
  if (name === 'TEXTAREA' || name === 'SELECT') return true;
  const noText = ['button', 'checkbox', 'radio', 'submit', 'reset', 'range', 'color', 'file', 'image'];
  return name === 'INPUT' && !noText.includes(target.type ?? 'text');
}

/** The binding for this key; the one registered last wins, so that a page overrides the shell. */
export function bindingFor(bindings: readonly KeyBinding[], event: Pressed): KeyBinding | null {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return null;
  return bindings.findLast(({ keys }) => keys.includes(event.key)) ?? null;
}

export class KeyRegistry {
  #groups: (readonly KeyBinding[])[] = [];

  register(keys: readonly KeyBinding[]): () => void {
    const group = [...keys];
    this.#groups.push(group);
    return () => {
      this.#groups = this.#groups.filter((other) => other !== group);
    };
  }

  get all(): readonly KeyBinding[] {
    return this.#groups.flat();
  }

  /** For the window's `keydown`. An open dialog takes all keys. */
  handle = (event: KeyboardEvent): void => {
    if (isTyping(event.target as HTMLElement | null) || document.querySelector('dialog[open]')) return;
    const binding = bindingFor(this.all, event);
    if (!binding) return;
    event.preventDefault();
    binding.run(event);
  };
}
