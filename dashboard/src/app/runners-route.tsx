/**
 * The heading of the runners' page, and the place of its chunk: who watches runs does not load it.
 * The heading is here because it takes the focus at navigation, before the chunk has arrived.
 */

import type { ComponentType } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { Button } from '../ui/index.ts';

export function RunnersRoute() {
  const [loaded, setLoaded] = useState<{ Page: ComponentType } | 'failed' | null>(null);
  const load = useCallback(() => {
    setLoaded(null);
    // After it was left, a state is set in vain.
    import('../runners/runners-page.tsx').then(
      ({ default: Page }) => setLoaded({ Page }),
      () => setLoaded('failed'),
    );
  }, []);
  useEffect(load, [load]);
  return (
    <>
      <div class="page-head">
        <h1 tabIndex={-1}>Runners</h1>
      </div>
      {loaded === null ? (
        <p class="muted appear-late">Loading …</p>
      ) : loaded === 'failed' ? (
        <div class="list-empty" role="alert">
          <p>This page could not be loaded. After an update of the deployment, load it again.</p>
          <Button onClick={load}>Try again</Button>
        </div>
      ) : (
        <loaded.Page />
      )}
    </>
  );
}
