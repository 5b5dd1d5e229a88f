/**
 * Lines and the address: scrolls to the line in the address, and writes the selected lines to it.
 */

import type { RefObject } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { hashOf, type LineRange, linesOf } from './line-hash.ts';
import type { LogModel } from './model.ts';

export interface LineLink {
  selected: LineRange | null;
  /** The same for callbacks that outlive a rendering. */
  now: RefObject<LineRange | null>;
  /** Number of a line that the address names and the log does not have. */
  missing: number | null;
  select(lines: LineRange): void;
}

export function useLineLink(
  model: LogModel,
  hash: string,
  setHash: (hash: string) => void,
  onGoToLine: (line: number) => Promise<boolean>,
  show: (id: number) => void,
): LineLink {
  const selected = linesOf(hash);
  const now = useRef(selected);
  now.current = selected;
  const shown = useRef(show);
  shown.current = show;
  const [missing, setMissing] = useState<number | null>(null);
  const own = useRef<string | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the page goes to a line when the address says so, and not again
  useEffect(() => {
    setMissing(null);
    const wanted = linesOf(hash);
    if (wanted === null || own.current === hash) return;
    let left = false;
    const go = async (): Promise<void> => {
      const isThere = model.idOf(wanted.from) !== null || (await onGoToLine(wanted.from));
      if (left) return;
      const id = model.idOf(wanted.from);
      if (isThere && id !== null) shown.current(id);
      else setMissing(wanted.from);
    };
    void go();
    return () => {
      left = true;
    };
  }, [hash, model]);
  const select = useCallback(
    (lines: LineRange) => {
      own.current = hashOf(lines);
      setHash(own.current);
    },
    [setHash],
  );
  return { selected, now, missing, select };
}
