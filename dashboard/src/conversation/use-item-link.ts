/** Goes to the item in the address, when the address says so and the item is there. */

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { itemOf, offsetOf } from './item-hash.ts';
import type { ConversationModel } from './model.ts';

export interface ItemLink {
  /** Key of the item that the address names. */
  selected: string | null;
  /** The address names an item, and there is none. */
  missing: boolean;
}

/**
 * A link may name an event that only changed an item, such as the result of a tool call: that item
 * is shown.
 */
export function useItemLink(
  model: ConversationModel,
  version: number,
  hash: string,
  onGoToOffset: (offset: number) => Promise<boolean>,
  show: (id: number) => void,
): ItemLink {
  const [selected, setSelected] = useState<string | null>(null);
  const [missing, setMissing] = useState(false);
  /** What to show; `loaded`: no more is to come for it. */
  const wanted = useRef<{ key: string; offset: number; loaded: boolean } | null>(null);
  const shown = useRef(show);
  shown.current = show;

  const look = useCallback(() => {
    const { current } = wanted;
    if (current === null || !model.isCurrent) return;
    const key = model.has(current.key) ? current.key : current.loaded ? model.keyAt(current.offset) : null;
    if (key === null && !current.loaded) return;
    wanted.current = null;
    const id = key === null ? null : model.reveal(key);
    if (id === null) return setMissing(true);
    setSelected(key);
    shown.current(id);
  }, [model]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the page goes to an item when the address says so, and not again
  useEffect(() => {
    const key = itemOf(hash);
    const offset = offsetOf(hash);
    setMissing(false);
    setSelected(null);
    wanted.current = key === null || offset === null ? null : { key, offset, loaded: false };
    const { current } = wanted;
    if (current === null) return;
    look();
    if (wanted.current === null) return;
    void onGoToOffset(current.offset).then(() => {
      current.loaded = true;
      if (wanted.current === current) look();
    });
  }, [hash, model]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: looked for again when the model has changed
  useEffect(look, [look, version]);

  return { selected, missing };
}
