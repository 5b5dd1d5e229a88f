/** Parts of the page that are chunks of their own, loaded when a run needs them. */

import { useCallback, useEffect, useState } from 'preact/hooks';
import { Button } from '../ui/index.ts';

export type Chunk<Part> = { state: 'loading' } | { state: 'failed'; retry(): void } | { state: 'ready'; part: Part };

/** `load` must be the same function each time. */
export function useChunk<Part>(load: () => Promise<Part>): Chunk<Part> {
  const [chunk, setChunk] = useState<Chunk<Part>>({ state: 'loading' });
  const begin = useCallback(() => {
    setChunk({ state: 'loading' });
    // After it was left, a state is set in vain.
    load().then(
      (part) => setChunk({ state: 'ready', part }),
      () => setChunk({ state: 'failed', retry: begin }),
    );
  }, [load]);
  useEffect(begin, [begin]);
  return chunk;
}

/** Shown in its place until it is there. `what`: "The terminal". */
export function ChunkState({ chunk, what }: { chunk: Chunk<unknown>; what: string }) {
  if (chunk.state !== 'failed') return <p class="exec-empty">Loading {what.toLowerCase()}…</p>;
  return (
    <div class="exec-empty" role="alert">
      <p>{what} could not be loaded. After an update of the deployment, load the page again.</p>
      <Button onClick={chunk.retry}>Try again</Button>
    </div>
  );
}
