/** The scroller in the life of the panel: created once, notified of every rendering. */

import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type Range, type RowSizes, type ScrolledModel, type ScrolledRows, Scroller } from './scroller.ts';

export interface ScrollerParts {
  scroller: Scroller;
  range: Range;
  viewPort: RefObject<HTMLDivElement | null>;
  space: RefObject<HTMLDivElement | null>;
  block: RefObject<HTMLDivElement | null>;
}

/** Renders again when the model changes, at most once a frame. */
export function useModelVersion(model: { readonly version: number; subscribe(changed: () => void): () => void }): number {
  const [version, setVersion] = useState(model.version);
  useEffect(() => {
    let frame = 0;
    const changed = (): void => {
      if (frame === 0)
        frame = requestAnimationFrame(() => {
          frame = 0;
          setVersion(model.version);
        });
    };
    changed();
    const unsubscribe = model.subscribe(changed);
    return () => {
      unsubscribe();
      cancelAnimationFrame(frame);
    };
  }, [model]);
  return version;
}

export function useScroller(
  model: ScrolledModel,
  rows: ScrolledRows,
  wrap: boolean,
  onEnd: (atEnd: boolean) => void,
  sizes?: RowSizes,
): ScrollerParts {
  const [, draw] = useState<Range | null>(null);
  const viewPort = useRef<HTMLDivElement>(null);
  const space = useRef<HTMLDivElement>(null);
  const block = useRef<HTMLDivElement>(null);
  const onEndRef = useRef(onEnd);
  onEndRef.current = onEnd;
  // biome-ignore lint/correctness/useExhaustiveDependencies: one scroller for the life of the panel; `use` gives it what changes
  const scroller = useMemo(() => new Scroller(model, rows, draw, (atEnd) => onEndRef.current(atEnd), sizes), []);
  scroller.use(model, rows, wrap);
  const { range } = scroller;
  useLayoutEffect(() => {
    const { current: port } = viewPort;
    if (port === null || space.current === null || block.current === null) return;
    return scroller.attach(port, space.current, block.current);
  }, [scroller]);
  useLayoutEffect(() => scroller.drew(range));
  return { scroller, range, viewPort, space, block };
}
