/** Which key is whose, and when keys rest. */

import { afterEach, describe, expect, it } from 'vitest';
import { bindingFor, isTyping, type KeyBinding, KeyRegistry } from '../../../dashboard/src/app/keys.ts';

const pressed = { ctrlKey: false, metaKey: false, altKey: false, isComposing: false, defaultPrevented: false };
const binding = (keys: string[], run = () => {}): KeyBinding => ({ keys, label: keys.join(), run });

describe('bindingFor', () => {
  const bindings = [binding(['g']), binding(['G']), binding(['j', 'ArrowDown'])];

  it('distinguishes a shifted key from a plain one, and knows each key of a binding', () => {
    expect(['g', 'G', 'ArrowDown', 'x'].map((key) => bindingFor(bindings, { ...pressed, key })?.label ?? null)).toEqual([
      ...['g', 'G', 'j,ArrowDown', null],
    ]);
  });

  it('leaves keys to the browser: with Ctrl, Cmd or Alt, while composing, or when another handler took it', () => {
    for (const of of ['ctrlKey', 'metaKey', 'altKey', 'isComposing', 'defaultPrevented'] as const)
      expect(bindingFor(bindings, { ...pressed, [of]: true, key: 'g' })).toBeNull();
  });

  it('the last one registered wins', () => {
    const own = binding(['g']);
    expect(bindingFor([...bindings, own], { ...pressed, key: 'g' })).toBe(own);
  });
});

it('text fields keep their keys; buttons and checkboxes do not', () => {
  const typing = (tagName: string, type?: string) => isTyping({ tagName, ...(type ? { type } : {}) });
  expect([typing('INPUT'), typing('input', 'search'), typing('TEXTAREA'), typing('SELECT')]).toEqual([true, true, true, true]);
  expect([typing('INPUT', 'checkbox'), typing('BUTTON'), typing('A'), isTyping(null)]).toEqual([false, false, false, false]);
  expect(isTyping({ tagName: 'DIV', isContentEditable: true })).toBe(true);
});

describe('the registry', () => {
  const registry = new KeyRegistry();
  window.addEventListener('keydown', registry.handle);
  afterEach(() => document.body.replaceChildren());
  const press = (key: string, target: EventTarget = document.body): boolean =>
    target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

  it('runs what is registered, once, and keeps the browser from it; and not after it was taken back', () => {
    let runs = 0;
    const drop = registry.register([
      binding(['j'], () => {
        runs += 1;
      }),
    ]);
    expect(press('j')).toBe(false);
    expect(press('x')).toBe(true);
    expect(runs).toBe(1);
    drop();
    expect(press('j')).toBe(true);
    expect(registry.all).toEqual([]);
  });

  it('rests in a field, and while a dialog is open', () => {
    let runs = 0;
    const drop = registry.register([
      binding(['j'], () => {
        runs += 1;
      }),
    ]);
    const input = document.createElement('input');
    document.body.append(input);
    expect(press('j', input)).toBe(true);
    const dialog = document.createElement('dialog');
    document.body.append(dialog);
    dialog.setAttribute('open', '');
    expect(press('j')).toBe(true);
    dialog.remove();
    expect(press('j')).toBe(false);
    expect(runs).toBe(1);
    drop();
  });
});
