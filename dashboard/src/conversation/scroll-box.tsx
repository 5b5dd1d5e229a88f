/** A box that scrolls, reachable by keyboard. No landmark: a conversation has hundreds of them. */

import type { ComponentChildren } from 'preact';

interface Props {
  class: string;
  label: string;
  style?: Readonly<Record<string, string | number>>;
  children: ComponentChildren;
}

export function ScrollBox({ class: name, label, style, children }: Props) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for controls
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <div class={name} role="group" aria-label={label} tabIndex={0} {...(style === undefined ? {} : { style })}>
      {children}
    </div>
  );
}
