import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Button, type ButtonProps } from './button.tsx';
import { Icon, type IconName } from './icon.tsx';

export interface MenuItem {
  label: string;
  icon?: IconName | undefined;
  danger?: boolean | undefined;
  disabled?: boolean | undefined;
  /** Given: the item is one of a choice, and this is whether it is selected. */
  checked?: boolean | undefined;
  onSelect(): void;
}

export interface MenuProps {
  /** The button's name; its text, too, unless `bare`. */
  label: string;
  bare?: boolean | undefined;
  icon?: IconName | undefined;
  kind?: ButtonProps['kind'];
  size?: ButtonProps['size'];
  items: readonly MenuItem[];
}

const entriesOf = (list: HTMLElement | null): HTMLElement[] => [...(list?.querySelectorAll<HTMLElement>('[role^=menuitem]') ?? [])];
/** Wraps around at both ends. */
const focusAt = (all: readonly HTMLElement[], index: number): void => all[(index + all.length) % all.length]?.focus();

/**
 * A button that opens a list of actions: arrows, Home, End and first letters move, Esc and a click
 * elsewhere close.
 */
export function Menu({ label, bare = false, icon = 'more', kind, size, items }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();

  const close = (): void => {
    setOpen(false);
    root.current?.querySelector('button')?.focus();
  };

  useEffect(() => {
    if (!open) return;
    const all = entriesOf(list.current);
    const chosen = all.findIndex((entry) => entry.getAttribute('aria-checked') === 'true');
    focusAt(all, Math.max(0, chosen));
    const onPointer = (event: Event) => {
      if (!(event.target instanceof Node && root.current?.contains(event.target))) setOpen(false);
    };
    document.addEventListener('pointerdown', onPointer);
    return () => document.removeEventListener('pointerdown', onPointer);
  }, [open]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const all = entriesOf(list.current);
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (event.key === 'ArrowDown') focusAt(all, at + 1);
    else if (event.key === 'ArrowUp') focusAt(all, at - 1);
    else if (event.key === 'Home') focusAt(all, 0);
    else if (event.key === 'End') focusAt(all, -1);
    else if (event.key === 'Escape') close();
    else if (event.key === 'Tab') return setOpen(false);
    else if (event.key.length === 1 && event.key !== ' ') {
      const next = [...all.slice(at + 1), ...all].find((entry) =>
        entry.textContent?.toLowerCase().startsWith(event.key.toLowerCase()),
      );
      next?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div class="menu" ref={root}>
      <Button
        kind={kind}
        size={size}
        icon={icon}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={bare ? label : undefined}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown' || open) return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        {bare ? undefined : label}
      </Button>
      {open ? (
        <div class="menu-list" id={id} role="menu" aria-label={label} tabIndex={-1} ref={list} onKeyDown={onKeyDown}>
          {items.map((item) => (
            <button
              type="button"
              key={item.label}
              {...(item.checked === undefined ? { role: 'menuitem' } : { role: 'menuitemradio', 'aria-checked': item.checked })}
              aria-disabled={item.disabled}
              tabIndex={-1}
              class={`menu-item${item.danger ? ' menu-item-danger' : ''}`}
              onClick={() => {
                if (item.disabled) return;
                close();
                item.onSelect();
              }}
            >
              {item.icon ? <Icon name={item.icon} /> : null}
              <span>{item.label}</span>
              {item.checked ? <Icon name="check" /> : null}
            </button>
          ))}
        </div>
      ) : null}
    </div>
  );
}
