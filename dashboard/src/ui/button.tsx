import type { ButtonHTMLAttributes, ComponentChildren } from 'preact';
import { Icon, type IconName } from './icon.tsx';

export interface ButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'size' | 'icon'> {
  kind?: 'plain' | 'primary' | 'danger' | 'ghost' | undefined;
  size?: 'small' | 'medium' | undefined;
  icon?: IconName | undefined;
  /** Makes it a toggle. */
  pressed?: boolean | undefined;
  children?: ComponentChildren;
}

/** Without children it needs an `aria-label`, which is then also its tooltip. */
export function Button({ kind = 'plain', size = 'medium', icon, pressed, children, class: extra, ...rest }: ButtonProps) {
  const bare = children === undefined || children === null;
  const label = rest['aria-label'];
  return (
    <button
      type="button"
      title={bare && typeof label === 'string' ? label : undefined}
      {...rest}
      aria-pressed={pressed}
      class={`button button-${kind} button-${size}${bare ? ' button-bare' : ''}${typeof extra === 'string' ? ` ${extra}` : ''}`}
    >
      {icon ? <Icon name={icon} /> : null}
      {bare ? null : <span class="button-text">{children}</span>}
    </button>
  );
}
