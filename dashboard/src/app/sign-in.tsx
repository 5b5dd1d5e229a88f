import { useEffect, useRef, useState } from 'preact/hooks';
import { Button, Icon } from '../ui/index.ts';
import { tryKey } from './access.ts';
import { cleanKey, isSendableKey } from './credential.ts';

/** Why there is no valid credential. */
export type SignedOut = 'key-refused' | 'ticket-expired' | 'ticket-refused' | 'asked' | null;

const REASONS: Readonly<Record<Exclude<SignedOut, null>, string>> = {
  'key-refused':
    'Your API key is not accepted any more. It may have been replaced. Sign in with the new one to go on where you were.',
  'ticket-expired': 'This link has expired. Ask the person who shared it for a new one, or sign in with an API key.',
  'ticket-refused': 'This link is not valid for this page. Ask the person who shared it for a new one, or sign in with an API key.',
  asked: 'You are signed out of this tab.',
};

export interface SignInProps {
  reason: SignedOut;
  onKey(apiKey: string): void;
  /** Replaced in tests. */
  check?: (apiKey: string) => Promise<string | null>;
}

export function SignIn({ reason, onKey, check = tryKey }: SignInProps) {
  const [text, setText] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [checking, setChecking] = useState(false);
  const [shown, setShown] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);

  const refuse = (why: string): void => {
    setProblem(why);
    setChecking(false);
    input.current?.focus();
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (checking) return;
    const key = cleanKey(text);
    if (key === '') return refuse('Enter an API key.');
    if (!isSendableKey(key)) return refuse('That is no API key: it has spaces or other characters that no key has.');
    setProblem(null);
    setChecking(true);
    const why = await check(key);
    if (why === null) onKey(key);
    else refuse(why);
  };

  return (
    <div class="sign-in">
      <h1 tabIndex={-1}>Sign in</h1>
      {reason ? (
        <p class="notice" data-kind={reason === 'asked' ? 'info' : 'warn'} role="status">
          <Icon name={reason === 'asked' ? 'info' : 'warning'} />
          <span>{REASONS[reason]}</span>
        </p>
      ) : null}
      <form class="sign-in-form" onSubmit={submit} noValidate>
        <div class="field">
          <label for="api-key">API key</label>
          <div class="sign-in-key">
            <input
              ref={input}
              id="api-key"
              class="input mono"
              {...(shown ? { type: 'text' as const } : { type: 'password' as const })}
              name="api-key"
              autoComplete="current-password"
              autoCapitalize="off"
              autoCorrect="off"
              spellcheck={false}
              value={text}
              aria-invalid={problem !== null}
              aria-describedby={problem ? 'api-key-problem' : 'api-key-hint'}
              onInput={(event) => setText(event.currentTarget.value)}
            />
            <Button pressed={shown} onClick={() => setShown(!shown)} aria-label="Show the key">
              {shown ? 'Hide' : 'Show'}
            </Button>
          </div>
          <div aria-live="polite">
            {problem ? (
              <p class="field-error" id="api-key-problem">
                <Icon name="warning" />
                <span>{problem}</span>
              </p>
            ) : null}
          </div>
        </div>
        <Button kind="primary" type="submit" disabled={checking}>
          {checking ? 'Checking …' : 'Sign in'}
        </Button>
        <p class="muted" id="api-key-hint">
          One of the keys in the deployment's <code>HOLDFAST_API_KEYS</code>; <code>npm start</code> prints its own. It stays in
          this tab and goes when you close it.
        </p>
      </form>
    </div>
  );
}
