/**
 * Goal: keys reach the job in order and once, and the keys that detach are found in each encoding.
 * Method: the pure parts, and a queue whose requests the test answers.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../cli/settings.ts';
import { DetachKeys, describeKeys, HELD_ESCAPE_MS, HELD_KEY_MS, parseDetachKeys } from '../../cli/terminal/detach-keys.ts';
import { KeyQueue, type KeyQueueOptions, QUEUED_BYTES_MAX } from '../../client/terminal/key-queue.ts';
import { INPUT_BYTES_MAX } from '../../protocol/index.ts';
import { propertyRuns } from '../support/property-runs.ts';

const ESC = '\u001b';
const CTRL_BACKSLASH = '\u001c';

describe('which keys detach', () => {
  test.each<[string, number[], string]>([
    ['ctrl-\\', [0x1c], 'Ctrl-\\'],
    ['^]', [0x1d], 'Ctrl-]'],
    ['ctrl-p,ctrl-q', [0x10, 0x11], 'Ctrl-P Ctrl-Q'],
    ['Ctrl-A,d', [0x01, 0x64], 'Ctrl-A d'],
    ['ctrl-@', [0x00], 'Ctrl-@'],
    ['~,.', [0x7e, 0x2e], '~ .'],
    ['none', [], ''],
  ])('%s', (text, codes, said) => {
    expect(parseDetachKeys(text)).toEqual(codes);
    expect(describeKeys(codes)).toBe(said);
  });

  test.each(['', 'ctrl-', 'ctrl-1', 'alt-a', 'ctrl-p,', 'F1', 'ü', 'ctrl-p ctrl-q'])(
    '%j is refused, with what is possible',
    (text) => {
      expect(() => parseDetachKeys(text)).toThrow(UsageError);
      expect(() => parseDetachKeys(text)).toThrow(/--detach-keys: .* is no key: give ctrl-/);
    },
  );
});

describe('[DK1] [DK3] the default key, in each encoding, wherever it is split', () => {
  test.each<[what: string, key: string]>([
    ['the control character', CTRL_BACKSLASH],
    ['kitty', `${ESC}[92;5u`],
    ['kitty, with the kind of event', `${ESC}[92;5:1u`],
    ['kitty, repeated', `${ESC}[92;5:2u`],
    ['kitty, with the shifted key', `${ESC}[92:124;5u`],
    ['kitty, with the key of a usual layout', `${ESC}[92::92;5u`],
    ['kitty, with caps lock and num lock', `${ESC}[92;197u`],
    ['kitty, with text', `${ESC}[92;5;28u`],
    ['xterm, modifyOtherKeys', `${ESC}[27;5;92~`],
  ])('%s', (_what, key) => {
    for (let cut = 0; cut <= key.length; cut += 1) {
      const keys = new DetachKeys([0x1c]);
      const first = keys.push(`a${key.slice(0, cut)}`);
      const second = first.detached ? first : keys.push(`${key.slice(cut)}b`);
      expect(second.detached, `cut at ${cut}`).toBe(true);
      expect(first.send + (first.detached ? '' : second.send)).toBe('a');
    }
  });

  test.each<[what: string, key: string]>([
    ['the key without Ctrl', '\\'],
    ['kitty, without Ctrl', `${ESC}[92u`],
    ['kitty, with Alt', `${ESC}[92;7u`],
    ['kitty, its release', `${ESC}[92;5:3u`],
    ['xterm, without Ctrl', `${ESC}[27;2;92~`],
    ['an arrow', `${ESC}[1;5A`],
    ['Alt and the key', `${ESC}\\`],
    ['a key of the application mode', `${ESC}OP`],
    ['a mouse report', `${ESC}[<0;28;92M`],
    ['pasted text with the character', `${ESC}[200~a${CTRL_BACKSLASH}b${ESC}[201~`],
    ['bytes that are not UTF-8', '\u00ff\u00fe'],
  ])('not: %s', (_what, key) => {
    for (let cut = 0; cut <= key.length; cut += 1) {
      const keys = new DetachKeys([0x1c]);
      const parts = [keys.push(key.slice(0, cut)), keys.push(key.slice(cut)), keys.push('x')];
      expect(parts.some(({ detached }) => detached)).toBe(false);
      expect(parts.map(({ send }) => send).join('') + keys.release()).toBe(`${key}x`);
    }
  });
});

describe('[DK2] a sequence of keys', () => {
  const P = '\u0010';
  const Q = '\u0011';

  test('its beginning is held back, and sent after a time', () => {
    const keys = new DetachKeys([0x10, 0x11]);
    expect(keys.push(`a${P}`)).toEqual({ send: 'a', detached: false });
    expect(keys.heldForMs).toBe(HELD_KEY_MS);
    expect(keys.release()).toBe(P);
    expect(keys.heldForMs).toBeNull();
    // The released key begins nothing.
    expect(keys.push(Q)).toEqual({ send: Q, detached: false });
  });

  test('another key sends what was held, in order', () => {
    const keys = new DetachKeys([0x10, 0x11]);
    expect(keys.push(`${P}x${P}${P}`)).toEqual({ send: `${P}x${P}`, detached: false });
    expect(keys.push(`${Q}y`)).toEqual({ send: '', detached: true });
  });

  test('a sequence that begins within itself is found', () => {
    const keys = new DetachKeys([0x61, 0x61, 0x62]);
    expect(keys.push('aaab')).toEqual({ send: 'a', detached: true });
  });

  test('kitty encoding: releases and modifiers between the keys do not break it', () => {
    const keys = new DetachKeys([0x10, 0x11]);
    expect(keys.push(`${ESC}[57442;5u${ESC}[112;5u${ESC}[112;5:3u`)).toEqual({ send: `${ESC}[57442;5u`, detached: false });
    expect(keys.push(`${ESC}[57442;5:3u${ESC}[113;5u`)).toEqual({ send: '', detached: true });
  });

  test('an unfinished escape sequence waits for a moment only', () => {
    const keys = new DetachKeys([0x1c]);
    expect(keys.push(ESC)).toEqual({ send: '', detached: false });
    expect(keys.heldForMs).toBe(HELD_ESCAPE_MS);
    expect(keys.release()).toBe(ESC);
  });

  test('none: nothing is ever held', () => {
    const keys = new DetachKeys([]);
    expect(keys.push(`${CTRL_BACKSLASH}${ESC}`)).toEqual({ send: `${CTRL_BACKSLASH}${ESC}`, detached: false });
    expect(keys.heldForMs).toBeNull();
  });

  test('whatever is typed in whatever parts, nothing is lost or reordered', () => {
    const part = fc.constantFrom(
      P,
      Q,
      'a',
      ESC,
      `${ESC}[A`,
      `${ESC}[112;5u`,
      `${ESC}[112;5:3u`,
      `${ESC}[200~`,
      `${ESC}[201~`,
      '[',
      '1',
      '~',
      '\u00e9',
    );
    fc.assert(
      fc.property(fc.array(fc.array(part, { maxLength: 5 }), { maxLength: 8 }), (chunks) => {
        const keys = new DetachKeys([0x10, 0x11, 0x12]);
        let sent = '';
        for (const chunk of chunks) sent += keys.push(chunk.join('')).send;
        expect(sent + keys.release()).toBe(chunks.flat().join(''));
      }),
      { numRuns: propertyRuns(1000) },
    );
  });
});

// ── the queue ────────────────────────────────────────────────────────────────────────────────────

class Requests {
  /** In the order in which they were made. */
  readonly log: string[] = [];
  readonly ids: string[] = [];
  #answers: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  failed: unknown = null;
  rooms = 0;
  changed = true;

  queue(options: Partial<KeyQueueOptions> = {}): KeyQueue {
    const wait = () => new Promise<void>((resolve, reject) => this.#answers.push({ resolve, reject }));
    return new KeyQueue({
      id: 'v',
      size: { cols: 80, rows: 24 },
      leads: true,
      input: ({ base64, inputId }) => {
        this.log.push(Buffer.from(base64, 'base64').toString('latin1'));
        this.ids.push(inputId);
        return wait();
      },
      resize: async ({ cols, rows }) => {
        this.log.push(`${cols}x${rows}`);
        await wait();
        return this.changed;
      },
      onFailed: (error) => {
        this.failed = error;
      },
      onRoom: () => {
        this.rooms += 1;
      },
      ...options,
    });
  }

  get underWay(): number {
    return this.#answers.length;
  }

  async answer(error?: unknown): Promise<void> {
    const next = this.#answers.shift();
    if (!next) throw new Error('no request is under way');
    if (error === undefined) next.resolve();
    else next.reject(error);
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('the queue', () => {
  test('[KQ1] [KQ2] one request at a time; what is typed meanwhile goes together into the next, with the next id', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.push(bytes('a'));
    expect(requests.log).toEqual([]);
    queue.start();
    expect(requests.log).toEqual(['a']);
    for (const key of 'bcd') queue.push(bytes(key));
    expect(requests.underWay).toBe(1);
    await requests.answer();
    expect(requests.log).toEqual(['a', 'bcd']);
    await requests.answer();
    queue.push(bytes('e'));
    expect(requests.ids).toEqual(['v.1', 'v.2', 'v.3']);
  });

  test('[KQ5] a paste is sent in parts, and the keyboard is paused while too much waits', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.start();
    const paste = Buffer.alloc(QUEUED_BYTES_MAX + INPUT_BYTES_MAX + 5, 'x');
    queue.push(paste);
    expect(queue.full).toBe(true);
    while (requests.underWay > 0) {
      expect(requests.log.at(-1)?.length).toBeLessThanOrEqual(INPUT_BYTES_MAX);
      await requests.answer();
    }
    expect(requests.rooms).toBe(1);
    expect(requests.log.join('').length).toBe(paste.length);
    expect(queue.sentBytes).toBe(paste.length);
  });

  test('a failure stops it, and reports once', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.start();
    queue.push(bytes('a'));
    queue.push(bytes('b'));
    const settled = queue.settled();
    await requests.answer(new Error('gone'));
    await settled;
    queue.push(bytes('c'));
    expect(requests.log).toEqual(['a']);
    expect(requests.failed).toEqual(new Error('gone'));
  });

  test('settled: when all that was typed is sent', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.start();
    queue.push(bytes('a'));
    queue.push(bytes('b'));
    let done = false;
    void queue.settled().then(() => {
      done = true;
    });
    await requests.answer();
    expect(done).toBe(false);
    await requests.answer();
    expect(done).toBe(true);
  });
});

describe('[KQ3] [KQ4] sizes', () => {
  const own = { cols: 80, rows: 24 };
  const other = { cols: 132, rows: 43 };

  test('a viewer that joins sends its size before its first key, and none before', async () => {
    const requests = new Requests();
    const queue = requests.queue({ leads: false });
    queue.start();
    queue.setKnownSize(other);
    queue.setOwnSize({ cols: 90, rows: 30 });
    expect(requests.log).toEqual([]);
    queue.push(bytes('a'));
    expect(requests.log).toEqual(['90x30']);
    await requests.answer();
    expect(requests.log).toEqual(['90x30', 'a']);
  });

  test('no size when it fits already', () => {
    const requests = new Requests();
    const queue = requests.queue({ leads: false });
    queue.start();
    queue.setKnownSize(own);
    queue.push(bytes('a'));
    expect(requests.log).toEqual(['a']);
  });

  test('a viewer that typed last follows its window at once; after another has typed, with its next key', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.start();
    queue.setOwnSize({ cols: 100, rows: 30 });
    expect(requests.log).toEqual(['100x30']);
    await requests.answer();
    queue.setKnownSize({ cols: 100, rows: 30 });
    queue.setKnownSize(other);
    queue.setOwnSize({ cols: 101, rows: 30 });
    expect(requests.log).toEqual(['100x30']);
    // Mouse and focus are not typing.
    queue.push(bytes(`${ESC}[<0;1;1M${ESC}[I`));
    expect(requests.log.at(-1)).toBe(`${ESC}[<0;1;1M${ESC}[I`);
    await requests.answer();
    queue.push(bytes('a'));
    expect(requests.log.slice(2)).toEqual(['101x30']);
    await requests.answer();
    expect(requests.log.at(-1)).toBe('a');
  });

  test('the event of an earlier size does not take the lead away from a newer one', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.start();
    queue.setOwnSize({ cols: 100, rows: 30 });
    await requests.answer();
    queue.setOwnSize({ cols: 101, rows: 30 });
    queue.setKnownSize({ cols: 100, rows: 30 });
    await requests.answer();
    queue.setKnownSize({ cols: 101, rows: 30 });
    queue.setOwnSize({ cols: 102, rows: 30 });
    expect(requests.log).toEqual(['100x30', '101x30', '102x30']);
  });

  test('[KQ1] of the sizes that a window takes while a request is under way, only the newest is sent', async () => {
    const requests = new Requests();
    const queue = requests.queue();
    queue.start();
    for (const cols of [100, 101, 102, 103]) queue.setOwnSize({ cols, rows: 30 });
    queue.push(bytes('a'));
    await requests.answer();
    await requests.answer();
    expect(requests.log).toEqual(['100x30', '103x30', 'a']);
  });

  test('a size that changed nothing waits for no event', async () => {
    const requests = new Requests();
    const queue = requests.queue({ leads: false });
    queue.start();
    requests.changed = false;
    queue.push(bytes('a'));
    await requests.answer();
    await requests.answer();
    expect(requests.log).toEqual(['80x24', 'a']);
    queue.setKnownSize(own);
    queue.setKnownSize(other);
    queue.setOwnSize({ cols: 81, rows: 24 });
    expect(requests.log).toHaveLength(2);
  });
});

test('1,000 keys of two viewers, with answers that are late or lost, arrive in the order of each and once', async () => {
  const read: string[] = [];
  const seen = new Set<string>();
  let attempts = 0;
  const viewer = (name: string): KeyQueue => {
    const queue = new KeyQueue({
      id: name,
      size: { cols: 80, rows: 24 },
      leads: true,
      // The client's retry: the same request until its answer arrives.
      async input({ base64, inputId }) {
        for (;;) {
          attempts += 1;
          await new Promise((resolve) => setImmediate(resolve));
          const lost = attempts % 3;
          if (lost === 0) continue;
          if (!seen.has(inputId)) for (const byte of Buffer.from(base64, 'base64')) read.push(`${name}${byte}`);
          seen.add(inputId);
          if (lost === 2) return;
        }
      },
      resize: async () => true,
      onFailed: (error) => {
        throw error;
      },
      onRoom: () => {},
    });
    queue.start();
    return queue;
  };
  const queues = [viewer('a'), viewer('b')] as const;
  for (let key = 0; key < 1000; key += 1) {
    for (const queue of queues) queue.push(Buffer.from([key % 251]));
    if (key % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(queues.map((queue) => queue.settled()));
  for (const name of ['a', 'b']) {
    const keys = read.filter((key) => key.startsWith(name)).map((key) => Number(key.slice(1)));
    expect(keys).toEqual(Array.from({ length: 1000 }, (_, key) => key % 251));
  }
  expect(seen.size).toBeLessThan(1000);
});
