/** The region that a scroller moves: its elements, and its keys. */

import type { ComponentChildren } from 'preact';
import type { ScrollerParts } from './use-scroller.ts';

interface Props {
  parts: ScrollerParts;
  /** Its elements have the classes `NAME-view`, `NAME-space` and `NAME-block`. */
  name: string;
  label: string;
  blockStyle?: Record<string, string | number>;
  children: ComponentChildren;
}

export function ScrollView({ parts: { scroller, viewPort, space, block }, name, label, blockStyle, children }: Props) {
  return (
    <div
      ref={viewPort}
      class={`${name}-view`}
      role="log"
      aria-label={label}
      aria-live="off"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
      onKeyDown={(event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        // A field uses these keys itself.
        if (event.target instanceof Element && event.target.closest('input, textarea, select')) return;
        if (event.key === 'Home') scroller.toTop();
        else if (event.key === 'End') scroller.toEnd();
        else {
          if (event.key === 'ArrowUp' || event.key === 'PageUp') scroller.pause();
          return;
        }
        event.preventDefault();
      }}
    >
      <div ref={space} class={`${name}-space`}>
        <div ref={block} class={`${name}-block`} style={blockStyle}>
          {children}
        </div>
      </div>
    </div>
  );
}
