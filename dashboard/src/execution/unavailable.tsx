/** Shown in place of the whole page while there is no run to show. */

import { useApp } from '../app/context.ts';
import { sessionPath } from '../app/router.ts';
import { Button } from '../ui/index.ts';
import type { Load } from './feed-types.ts';
import { errorText } from './messages.ts';

export function Unavailable({ load, session, onRetry }: { load: Load; session: string; onRetry(): void }) {
  const { credential, signOut } = useApp();
  switch (load.state) {
    case 'ready':
    case 'loading':
      return (
        <div class="exec-unavailable" role="status">
          <h1 class="exec-hidden">Run</h1>
          <p>{load.state === 'loading' && load.searching ? 'Looking for the line…' : 'Loading the run…'}</p>
        </div>
      );
    case 'not_found':
      return (
        <div class="exec-unavailable">
          <h1>There is no such run</h1>
          <p>{load.message}</p>
          <p class="exec-muted">It may have been deleted, or have expired with its session.</p>
          <p>
            <a href={sessionPath(session)}>To the session</a>
          </p>
        </div>
      );
    case 'refused':
      return (
        <div class="exec-unavailable">
          <h1>No access</h1>
          <p>
            {credential.kind === 'ticket'
              ? 'The link you came by has expired, or was made for another run. Ask for a new one, or sign in with a key.'
              : 'The key was refused.'}
          </p>
          <p class="exec-muted">{load.message}</p>
          <div class="exec-actions">
            <Button onClick={onRetry}>Try again</Button>
            <Button kind="primary" onClick={() => signOut(credential.kind === 'ticket' ? 'expired' : 'refused')}>
              Sign in
            </Button>
          </div>
        </div>
      );
    case 'failed':
      return (
        <div class="exec-unavailable">
          <h1>The run could not be loaded</h1>
          <p role="alert">{errorText(load.error)}</p>
          <Button kind="primary" onClick={onRetry}>
            Try again
          </Button>
        </div>
      );
    default:
      return load satisfies never;
  }
}
