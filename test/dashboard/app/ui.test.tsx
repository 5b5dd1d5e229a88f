/** The controls, as a keyboard and a screen reader meet them. */

import { type ComponentChild, render } from 'preact';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Button, Dialog, Duration, Menu, StatusBadge } from '../../../dashboard/src/ui/index.ts';
import { type ToastEntry, ToastRegion, withToast } from '../../../dashboard/src/ui/toast.tsx';

let root = document.createElement('div');
const show = (what: ComponentChild): HTMLElement => {
  if (!root.isConnected) document.body.append(root);
  render(what, root);
  return root;
};
afterEach(() => {
  render(null, root);
  root.remove();
  root = document.createElement('div');
  vi.useRealTimers();
});
const key = (name: string): boolean =>
  (document.activeElement ?? document.body).dispatchEvent(
    new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }),
  );
const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 60));

describe('StatusBadge', () => {
  it.each([
    [{ status: 'queued' }, 'Queued', 'queued'],
    [{ status: 'pending' }, 'Preparing', 'pending'],
    [{ status: 'pending', waiting: true }, 'Waiting', 'waiting'],
    [{ status: 'running', waiting: true }, 'Running', 'running'],
    [{ status: 'running' }, 'Running', 'running'],
    [{ status: 'running', connected: true }, 'Running', 'running'],
    [{ status: 'running', connected: false }, 'Disconnected', 'disconnected'],
    [{ status: 'completed', connected: false }, 'Completed', 'completed'],
    [{ status: 'failed' }, 'Failed', 'failed'],
    [{ status: 'interrupted' }, 'Interrupted', 'interrupted'],
  ] as const)('%o is %s', (props, word, kind) => {
    const badge = show(<StatusBadge {...props} />).querySelector('.status');
    expect(badge?.textContent?.trim()).toBe(word);
    expect(badge?.getAttribute('data-status')).toBe(kind);
  });

  it('counts a grace down, and not below nothing', () => {
    vi.useFakeTimers({ now: 1_000_000 });
    expect(show(<StatusBadge status="running" connected={false} graceUntil={1_042_500} />).textContent).toBe('Disconnected 42 s');
    expect(show(<StatusBadge status="running" connected={false} graceUntil={999_000} />).textContent).toBe('Disconnected');
  });
});

it('Duration ticks until it has an end, and its clock rests while the page is hidden', async () => {
  vi.useFakeTimers({ now: 1_000_000 });
  show(<Duration from={999_000} />);
  await vi.advanceTimersByTimeAsync(100);
  expect(root.textContent).toBe('1 s');
  await vi.advanceTimersByTimeAsync(3_000);
  expect(root.textContent).toBe('4 s');
  const hidden = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
  document.dispatchEvent(new Event('visibilitychange'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(root.textContent).toBe('4 s');
  hidden.mockRestore();
  document.dispatchEvent(new Event('visibilitychange'));
  await vi.advanceTimersByTimeAsync(50);
  expect(root.textContent).toBe('1 m 04 s');
  show(<Duration from={999_000} to={1_095_000} />);
  expect(root.textContent).toBe('1 m 36 s');
  await vi.advanceTimersByTimeAsync(5_000);
  expect(root.textContent).toBe('1 m 36 s');
});

describe('Button', () => {
  it('is not a submit button by default, exposes its state when it is a toggle, and its name when it has no text', () => {
    show(<Button icon="copy" aria-label="Copy" pressed={false} />);
    const button = root.querySelector('button');
    expect([button?.type, button?.getAttribute('aria-pressed'), button?.title]).toEqual(['button', 'false', 'Copy']);
    show(<Button type="submit">Go</Button>);
    expect(root.querySelector('button')?.type).toBe('submit');
  });
});

describe('Menu', () => {
  const items = (log: string[]) => ['Apple', 'Banana', 'Cherry'].map((label) => ({ label, onSelect: () => log.push(label) }));

  it('opens on its first item, walks around, jumps by letter, and gives the focus back', async () => {
    const log: string[] = [];
    show(<Menu label="Fruit" items={items(log)} />);
    const button = root.querySelector('button') as HTMLButtonElement;
    button.focus();
    key('ArrowDown');
    await settled();
    expect(button.getAttribute('aria-expanded')).toBe('true');
    const at = (): string | null | undefined => document.activeElement?.textContent;
    expect(at()).toBe('Apple');
    key('ArrowUp');
    expect(at()).toBe('Cherry');
    key('ArrowDown');
    expect(at()).toBe('Apple');
    key('b');
    expect(at()).toBe('Banana');
    key('End');
    expect(at()).toBe('Cherry');
    (document.activeElement as HTMLElement).click();
    await settled();
    expect(log).toEqual(['Cherry']);
    expect(root.querySelector('[role=menu]')).toBeNull();
    expect(document.activeElement).toBe(button);
    button.click();
    await settled();
    key('Escape');
    await settled();
    expect(root.querySelector('[role=menu]')).toBeNull();
    expect(document.activeElement).toBe(button);
  });

  it('closes on a press elsewhere, and a disabled item does nothing', async () => {
    const log: string[] = [];
    show(<Menu label="Fruit" items={items(log).map((item) => ({ ...item, disabled: true }))} />);
    (root.querySelector('button') as HTMLButtonElement).click();
    await settled();
    (root.querySelector('[role=menuitem]') as HTMLElement).click();
    expect(log).toEqual([]);
    document.body.dispatchEvent(new Event('pointerdown', { bubbles: true }));
    await settled();
    expect(root.querySelector('[role=menu]')).toBeNull();
  });
});

describe('Dialog', () => {
  it('is modal, named, closed by Esc through its owner, and gives the focus back', async () => {
    const before = document.createElement('button');
    document.body.append(before);
    before.focus();
    const onClose = vi.fn();
    const dialog = (open: boolean) => (
      <Dialog title="Sure?" open={open} onClose={onClose} footer={<Button>Yes</Button>}>
        text
      </Dialog>
    );
    const modal = vi.spyOn(HTMLDialogElement.prototype, 'showModal');
    show(dialog(true));
    await settled();
    const element = root.querySelector('dialog') as HTMLDialogElement;
    expect(modal).toHaveBeenCalledTimes(1);
    expect(document.getElementById(element.getAttribute('aria-labelledby') ?? '')?.textContent).toBe('Sure?');
    root.querySelector('button')?.focus();
    const cancel = new Event('cancel', { cancelable: true });
    element.dispatchEvent(cancel);
    expect(cancel.defaultPrevented).toBe(true);
    expect(onClose).toHaveBeenCalledTimes(1);
    show(dialog(false));
    await settled();
    expect(root.querySelector('dialog')).toBeNull();
    expect(document.activeElement).toBe(before);
    before.remove();
  });

  it('a press on the backdrop closes, one inside does not', () => {
    const onClose = vi.fn();
    show(
      <Dialog title="Sure?" open onClose={onClose}>
        <p>text</p>
      </Dialog>,
    );
    root.querySelector('p')?.dispatchEvent(new Event('pointerdown', { bubbles: true }));
    expect(onClose).not.toHaveBeenCalled();
    root.querySelector('dialog')?.dispatchEvent(new Event('pointerdown', { bubbles: true }));
    expect(onClose).toHaveBeenCalledTimes(1);
  });
});

describe('toasts', () => {
  const entry = (id: number, text = `t${id}`): ToastEntry => ({ id, text, kind: 'info' });

  it('are at most four, and the same one is not stacked', () => {
    const many = [1, 2, 3, 4, 5].reduce<ToastEntry[]>((all, id) => withToast(all, entry(id)), []);
    expect(many.map(({ id }) => id)).toEqual([2, 3, 4, 5]);
    expect(withToast(many, entry(6, 't3')).map(({ id }) => id)).toEqual([2, 4, 5, 6]);
  });

  it('leave after a while, an error later, and not while one points at them', async () => {
    vi.useFakeTimers();
    const dismiss = vi.fn();
    show(<ToastRegion entries={[entry(1), { ...entry(2), kind: 'error' }, entry(3)]} toast={() => {}} dismiss={dismiss} />);
    await vi.advanceTimersByTimeAsync(100);
    expect(root.querySelector('[aria-live=polite]')).not.toBeNull();
    root.querySelectorAll('.toast')[2]?.dispatchEvent(new Event('pointerenter'));
    await vi.advanceTimersByTimeAsync(6_000);
    expect(dismiss.mock.calls).toEqual([[1]]);
    await vi.advanceTimersByTimeAsync(7_000);
    expect(dismiss.mock.calls).toEqual([[1], [2]]);
    root.querySelectorAll('.toast')[2]?.dispatchEvent(new Event('pointerleave'));
    await vi.advanceTimersByTimeAsync(6_000);
    expect(dismiss.mock.calls).toEqual([[1], [2], [3]]);
  });
});
