/** The state of the page's own connection, and the button that reconnects. */

import type { StreamState } from '../../../client/index.ts';
import { Button, useNow } from '../ui/index.ts';
import { streamView } from './stream-view.ts';

export function Connection({ state, since, onReconnect }: { state: StreamState | null; since: number; onReconnect(): void }) {
  const now = useNow(state?.status === 'reconnecting');
  const { kind, tone, label, detail, canReconnect } = streamView(state, since, Math.max(now, since));
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is a form's; this only names what belongs together.
    <span class={`exec-connection exec-tone-${tone}`} data-kind={kind} role="group" aria-label="Connection">
      <span class="exec-dot" aria-hidden="true" />
      <span class="exec-connection-label">{label}</span>
      {detail && kind !== 'ended' ? <span class="exec-muted exec-connection-detail">{detail}</span> : null}
      {canReconnect ? (
        <Button size="small" onClick={onReconnect}>
          Reconnect
        </Button>
      ) : null}
    </span>
  );
}
