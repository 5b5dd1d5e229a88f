import { Dialog } from '../ui/index.ts';
import type { KeyBinding } from './keys.ts';

const NAMES: Readonly<Record<string, string>> = {
  ArrowDown: '↓',
  ArrowUp: '↑',
  ' ': 'Space',
  Escape: 'Esc',
  PageUp: 'Page up',
  PageDown: 'Page down',
};

/** The shortcuts of this page. */
export function KeySheet({ bindings, open, onClose }: { bindings: readonly KeyBinding[]; open: boolean; onClose(): void }) {
  return (
    <Dialog title="Keys" open={open} onClose={onClose}>
      <dl class="key-sheet">
        {bindings.map(({ keys, label }) => (
          <div key={`${label}:${keys.join()}`}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{NAMES[key] ?? key}</kbd>
              ))}
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">Keys rest while you type in a field.</p>
    </Dialog>
  );
}
