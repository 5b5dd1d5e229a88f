/**
 * Goal: no secret gets through, whatever the secrets and the output are and wherever the output is
 * cut; and nothing else is changed. Method: properties over secrets and output of few letters, so
 * that they overlap, contain each other and begin in vain all the time, against a reference that
 * marks every occurrence in the whole text; examples for which variables count, for JSON, and for
 * what is held back.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EVENT_BYTES_MAX, type JsonObject } from '../../protocol/index.ts';
import { agentData, redactedData } from '../../wrapper/job/agent-stream.ts';
import { LineNumbers } from '../../wrapper/output/line-numbers.ts';
import { REDACTED, type Redaction, readRedaction, SECRET_BYTES_MIN, SECRETS_BYTES_MAX } from '../../wrapper/output/redaction.ts';
import { formsOf } from '../../wrapper/output/redaction-forms.ts';
import { isSecretName } from '../../wrapper/output/redaction-names.ts';
import {
  JSON_LINE_BYTES_MAX,
  JsonLineSplitter,
  type Piece,
  type Splitter,
  TextSplitter,
} from '../../wrapper/output/text-splitter.ts';
import { propertyRuns } from '../support/property-runs.ts';

const environment = (values: readonly string[]): NodeJS.ProcessEnv =>
  Object.fromEntries(values.map((value, index) => [`N${index}_TOKEN`, value]));

function redactionOf(...values: string[]): Redaction {
  const reading = readRedaction([environment(values)], []);
  if (reading.kind !== 'read' || !reading.redaction) throw new Error('nothing to redact');
  return reading.redaction;
}

// ── the reference: all of the text at once, every place, every spelling ──────────────────────────

function spellings(value: string): string[] {
  const lines = value.split(/\r|\n/).map((line) => line.trim());
  return lines
    .filter((line) => Buffer.byteLength(line) >= 6)
    .flatMap((line) => {
      const json = JSON.stringify(line).slice(1, -1);
      const ascii = [...json]
        .map((unit) => (unit > '~' ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : unit))
        .join('');
      return [line, json, ascii, json.replaceAll('<', '\\u003c'), ...escaped(line), ...base64s(line)];
    });
}

/**
 * Byte by byte, and not by a function of the platform: what each of the common encoders leaves as
 * it is.
 */
function escaped(line: string): string[] {
  const UNESCAPED = ["A-Za-z0-9._~!'()*-", 'A-Za-z0-9._~-', 'A-Za-z0-9._~/-', 'A-Za-z0-9._*-'];
  return UNESCAPED.flatMap((kept, index) => {
    const as = (hex: (byte: number) => string) =>
      [...Buffer.from(line)]
        .map((byte) => (new RegExp(`[${kept}]`).test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : hex(byte)))
        .join('');
    const upper = as((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`);
    const lower = as((byte) => `%${byte.toString(16).padStart(2, '0')}`);
    // The last one is a form's: a space is a plus there.
    return index === 3 ? [upper.replaceAll('%20', '+'), lower.replaceAll('%20', '+')] : [upper, lower];
  });
}

/** What is the same whatever stands before and behind: tried with bytes whose bits all differ. */
function base64s(line: string): string[] {
  const forms = [0, 1, 2].flatMap((before) => {
    const encode = (fill: number, after: number) =>
      Buffer.concat([Buffer.alloc(before, fill), Buffer.from(line), Buffer.alloc(after, fill)]).toString('base64');
    const same = (a: string, b: string) => [...a].filter((unit, at) => unit === b[at] && unit !== '=').join('');
    const atTheEnd = same(encode(0, 0), encode(255, 0));
    return [same(encode(0, 3), encode(255, 3)), atTheEnd, atTheEnd + encode(0, 0).replace(/^[^=]*/, '')];
  });
  return forms.flatMap((form) => [form, form.replace(/[+/]/g, (unit) => (unit === '+' ? '-' : '_'))]);
}

function reference(text: string, values: readonly string[]): string {
  const covered = new Array<boolean>(text.length).fill(false);
  for (const secret of values.flatMap(spellings)) {
    for (let at = text.indexOf(secret); at !== -1; at = text.indexOf(secret, at + 1)) covered.fill(true, at, at + secret.length);
  }
  return [...text.split('').keys()].map((at) => (covered[at] ? (covered[at - 1] ? '' : REDACTED) : text[at])).join('');
}

// ── made-up secrets and output: few letters, none of which is in the marker ──────────────────────

const unit = fc.constantFrom('x', 'x', 'y', 'z', '0', '"', '\\', 'é', '<', ' ');
const secretLine = fc.string({ unit, minLength: 1, maxLength: 14 });
const secret = fc.oneof(
  { weight: 4, arbitrary: secretLine },
  { weight: 1, arbitrary: fc.array(secretLine, { minLength: 2, maxLength: 3 }).map((lines) => lines.join('\n')) },
);
/** Secrets, and secrets made of parts of each other. */
const secrets = fc.array(secret, { minLength: 1, maxLength: 5 }).chain((some) =>
  fc
    .array(
      fc.tuple(fc.constantFrom(...some), fc.nat(20), fc.nat(20), fc.constantFrom(...some)).map(([one, from, to, other]) => {
        return one.slice(from % (one.length + 1)) + other.slice(0, to % (other.length + 1));
      }),
      { maxLength: 4 },
    )
    .map((more) => [...some, ...more]),
);

const scene = secrets.chain((values) => {
  const forms = values.flatMap((value) => [value, ...spellings(value)]);
  const fragment = fc.oneof(
    fc.constantFrom(...forms),
    fc.tuple(fc.constantFrom(...forms), fc.nat(20)).map(([form, to]) => form.slice(0, to % (form.length + 1))),
    fc.tuple(fc.constantFrom(...forms), fc.nat(20)).map(([form, from]) => form.slice(from % (form.length + 1))),
    fc.string({ unit, maxLength: 6 }),
    fc.constantFrom('\n', '\r\n', 'ordinary\n', 'é€😀'),
    fc.integer({ min: 65_500, max: 65_560 }).map((length) => 'x'.repeat(length % 8 === 0 ? length : 3)),
  );
  return fc.record({
    values: fc.constant(values),
    text: fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join('')),
    // Most cuts near to each other: a secret in three reads.
    reads: fc.array(fc.record({ bytes: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.nat(100_000)), flush: fc.boolean() }), {
      maxLength: 40,
    }),
  });
});

function feed(splitter: Splitter, bytes: Buffer, reads: { bytes: number; flush: boolean }[]): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const { bytes: length, flush } of reads) {
    // A copy that is overwritten behind it: what is held back must not be the reader's buffer.
    pieces.push(...splitter.push(Buffer.from(bytes.subarray(from, from + length))));
    if (flush) pieces.push(...splitter.flush());
    from += length;
  }
  pieces.push(...splitter.push(bytes.subarray(from)), ...splitter.end());
  return pieces;
}
const joined = (pieces: readonly Piece[]): string => pieces.map(({ text }) => text).join('');
const splitterFor = (values: readonly string[], kind: 'text' | 'jsonl' = 'text'): Splitter => {
  const reading = readRedaction([environment(values)], []);
  const redaction = reading.kind === 'read' ? reading.redaction : null;
  return kind === 'text' ? new TextSplitter(redaction) : new JsonLineSplitter(redaction);
};

describe('[SPL25] text', () => {
  it.each(['text', 'jsonl'] as const)(
    '[RD2] [RD3] [RD4] [RD5] has one marker where secrets were, wherever it was cut: %s',
    (kind) => {
      let markers = 0;
      fc.assert(
        fc.property(scene, ({ values, text, reads }) => {
          const output = joined(feed(splitterFor(values, kind), Buffer.from(text), reads));
          expect(output).toBe(reference(text, values));
          for (const each of values.flatMap(spellings)) expect(output.includes(each)).toBe(false);
          if (output.includes(REDACTED)) markers += 1;
        }),
        { numRuns: propertyRuns(1000) },
      );
      expect(markers).toBeGreaterThan(propertyRuns(300));
    },
  );

  it('[SPL24] [TX3] keeps the number of each line and marks correctly what ends one', () => {
    fc.assert(
      fc.property(scene, ({ values, text, reads }) => {
        const numbers = new LineNumbers();
        let before = '';
        for (const piece of feed(splitterFor(values), Buffer.from(text), reads)) {
          expect(piece.kind === 'text' && piece.partial).toBe(!piece.text.endsWith('\n'));
          const ends = before.split('\n').length;
          const begins = before === '' || before.endsWith('\n') ? ends : piece.text.slice(0, -1).includes('\n') ? ends + 1 : null;
          expect(numbers.take('stdout', piece.text)).toBe(begins);
          before += piece.text;
        }
        expect(before.split('\n').length).toBe(text.split('\n').length);
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('[TX1] leaves invalid UTF-8 as it was', () => {
    const bytes = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 6 }).map((each) => Buffer.from(each)),
        fc.constantFrom(Buffer.from('é€xyzé'), Buffer.from('€')),
      ),
    );
    fc.assert(
      fc.property(bytes, fc.array(fc.record({ bytes: fc.nat(4), flush: fc.boolean() })), (parts, reads) => {
        const all = Buffer.concat(parts);
        expect(joined(feed(splitterFor(['é€xyzé']), all, reads))).toBe(
          all.toString('utf8').replaceAll(/(?:é€xyzé(?:€xyzé)*)+/g, REDACTED),
        );
      }),
      { numRuns: propertyRuns(500) },
    );
  });

  it('[RD6] holds back only what begins a secret, and never a line', () => {
    fc.assert(
      fc.property(scene, ({ values, text, reads }) => {
        fc.pre(reference(text, values) === text);
        const stream = splitterFor(values);
        const all = Buffer.from(text);
        const begin = Buffer.from(
          values
            .flatMap(spellings)
            .map((each) => `\n${each}`)
            .join(''),
        );
        let given = 0;
        let from = 0;
        for (const { bytes } of reads) {
          const late = [...stream.push(all.subarray(from, from + bytes)), ...stream.flush()];
          given += Buffer.byteLength(joined(late));
          from = Math.min(from + bytes, all.length);
          const held = all.subarray(given, from);
          // The beginning of a character is held back by the splitter itself.
          const whole = held.toString('utf8').replace(/\ufffd$/, '');
          expect(whole === '' || begin.includes(`\n${whole}`)).toBe(true);
        }
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('[RD6] a prompt appears at once; an end of it that begins a secret follows with the next bytes', () => {
    const splitter = new TextSplitter(redactionOf('s3cret-value'));
    const say = (text: string) => joined([...splitter.push(Buffer.from(text)), ...splitter.flush()]);
    expect(say('Password: ')).toBe('Password: ');
    expect(say('tries')).toBe('trie');
    expect(splitter.late).toBe(false);
    expect(say('3cr')).toBe('');
    expect(say('ew')).toBe('s3crew');
    expect(say('s3cret-')).toBe('');
    expect(say('value')).toBe(REDACTED);
    expect(say('s3cret-valu')).toBe('');
    expect(joined(splitter.end())).toBe('s3cret-valu');
  });

  it('[RD4] a secret within an unfinished longer one is redacted alone, and two in a row are one marker', () => {
    const text =
      (...values: string[]) =>
      (output: string) =>
        redactionOf(...values).text(output);
    expect(text('inner-secret', 'an inner-secret, longer')('an inner-secret, shorter')).toBe(`an ${REDACTED}, shorter`);
    expect(text('inner-secret', 'an inner-secret, longer')('(an inner-secret, longer)')).toBe(`(${REDACTED})`);
    expect(text('abcdef', 'defghi')('abcdefghi abcdefabcdef')).toBe(`${REDACTED} ${REDACTED}`);
  });

  it('[RD2] finds the lines of a key however they are set, and leaves its short last line', () => {
    const key = '-----BEGIN KEY-----\r\nMIIEvQIBADANBg\r\nkqhkiG9w0BAQEF\r\nQw==\r\n-----END KEY-----\r\n';
    const redaction = redactionOf(key);
    expect(redaction.text(key)).toBe(`${REDACTED}\r\n${REDACTED}\r\n${REDACTED}\r\nQw==\r\n${REDACTED}\r\n`);
    expect(redaction.text('key: |\n    MIIEvQIBADANBg\n')).toBe(`key: |\n    ${REDACTED}\n`);
    expect(redaction.text(JSON.stringify({ key }))).not.toMatch(/MIIE|kqhk/);
  });

  it('[RD3] finds a secret as JSON in text, as JavaScript, Python and Go write it', () => {
    const redaction = redactionOf('pä"ss\\<word>&');
    expect(redaction.text('{"p":"pä\\"ss\\\\<word>&"}')).toBe(`{"p":"${REDACTED}"}`);
    expect(redaction.text('{"p":"p\\u00e4\\"ss\\\\<word>&"}')).toBe(`{"p":"${REDACTED}"}`);
    expect(redaction.text('{"p":"pä\\"ss\\\\\\u003cword\\u003e\\u0026"}')).toBe(`{"p":"${REDACTED}"}`);
  });

  it('is linear in the output, also where every byte begins a long secret in vain', () => {
    const splitter = new TextSplitter(redactionOf(`${'x'.repeat(100_000)}y`, `${'x'.repeat(50_000)}z`));
    const output = Buffer.alloc(64 * 1024, 'x');
    let bytes = 0;
    const begun = performance.now();
    for (let read = 0; read < 64; read += 1) bytes += joined([...splitter.push(output), ...splitter.flush()]).length;
    bytes += joined(splitter.end()).length;
    expect(bytes).toBe(64 * output.length);
    // Byte by byte against each secret it would be 6 · 10¹¹ comparisons, which are minutes.
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});

describe('[SPL25] [RD1] which values', () => {
  it.each([
    ...[
      'GITHUB_TOKEN',
      'TOKEN',
      'npm_token',
      'A_SECRET',
      'SECRET',
      'CI_SECRETS',
      'API_KEY',
      'KEY',
      'API_KEYS',
      'APIKEY',
      'OPENAI_APIKEY',
    ],
    ...['DB_PASSWORD', 'PGPASSWORD', 'PASSWORD', 'MYSQL_PASSWD', 'DB_PASS', 'PASS', 'MYSQL_PWD', 'PASSPHRASE', 'GPG_PASSPHRASE'],
    ...[
      'GH_PAT',
      'PAT',
      'AWS_CREDENTIALS',
      'CREDENTIALS',
      'GIT_CREDENTIAL',
      'SLACK_WEBHOOK',
      'SLACK_WEBHOOK_URL',
      'SESSION_COOKIE',
    ],
    ...['DATABASE_URL', 'MY_DATABASE_URL', 'DB_URL', 'REDIS_URL', 'MONGODB_URI', 'SENTRY_DSN', 'CONNECTION_STRING', 'DB_CONNSTR'],
  ])('%s', (name) => {
    expect(isSecretName(name)).toBe(true);
  });
  it.each([
    ...['MONKEY', 'TOKENS', 'MAX_TOKENS', 'TOKEN_FILE', 'SECRETARY', 'PATH', 'KEYBOARD', 'PASSWORD_FILE', 'NONSECRET', 'BYPASS'],
    ...['PWD', 'OLDPWD', 'COMPAT', 'PATTERN', 'URL', 'PUBLIC_URL', 'WEBHOOK_PORT', 'LANG', 'HOME', 'PASSES'],
  ])('not %s', (name) => {
    expect(isSecretName(name)).toBe(false);
  });

  const redacts = (environments: NodeJS.ProcessEnv[], named: string[], text: string): string => {
    const reading = readRedaction(environments, named);
    return (reading.kind === 'read' && reading.redaction?.text(text)) || text;
  };

  it('also those that are named, and the value that the job does not get', () => {
    expect(redacts([{ SITE: 'mysql://me:pw' }], ['SITE'], 'at mysql://me:pw')).toBe(`at ${REDACTED}`);
    expect(redacts([{ SITE: 'mysql://me:pw' }], [], 'at mysql://me:pw')).toBe('at mysql://me:pw');
    expect(redacts([{ A_KEY: 'of-the-host' }, { A_KEY: 'of-the-job' }], [], 'of-the-host of-the-job')).toBe(
      `${REDACTED} ${REDACTED}`,
    );
  });

  it('reports which of the named variables have no value to redact', () => {
    const reading = readRedaction([{ SHORT: 'abc', SET: 'abcdef', EMPTY: undefined }], ['SHORT', 'SET', 'EMPTY', 'MISSING']);
    expect(reading.kind === 'read' && reading.unused).toEqual(['SHORT', 'EMPTY', 'MISSING']);
  });

  it('the shortest has 6 bytes; without any there is nothing to do', () => {
    expect(SECRET_BYTES_MIN).toBe(6);
    expect(redacts([{ A_KEY: 'abcdef' }], [], 'abcdef')).toBe(REDACTED);
    expect(redacts([{ A_KEY: 'äöü' }], [], 'äöü')).toBe(REDACTED);
    for (const value of ['abcde', ' abc  ', '', 'true', 'redacted', 'a\nb\nc\nd'])
      expect(readRedaction([{ A_KEY: value }], [])).toEqual({ kind: 'read', redaction: null, unused: [] });
  });

  it('the password of an address is secret in any variable; one equal to the user’s name is not', () => {
    const pip = { PIP_INDEX_URL: 'https://build:hunter22%2Fq@pypi.example.com/simple' };
    expect(redacts([pip], [], 'user build, password hunter22/q, as hunter22%2Fq at pypi.example.com')).toBe(
      `user build, password ${REDACTED}, as ${REDACTED} at pypi.example.com`,
    );
    expect(redacts([{ DATABASE_URL: 'postgres://app:s3cr3t-pw@db:5432/app' }], [], 'FATAL: s3cr3t-pw is wrong for app@db')).toBe(
      `FATAL: ${REDACTED} is wrong for app@db`,
    );
    expect(redacts([{ A: 'mongodb://:p@ss:w@rd@a.example,b.example/x' }], [], 'p@ss:w@rd')).toBe(REDACTED);
    expect(redacts([{ A: 'see http://a:first-one@x and http://b:second-one@y' }], [], 'first-one second-one')).toBe(
      `${REDACTED} ${REDACTED}`,
    );
    // The database that every example uses: the word would be everywhere.
    expect(redacts([{ SITE: 'postgres://postgres:postgres@localhost' }], [], 'postgres is up')).toBe('postgres is up');
    // Short ones are left alone, as everywhere; a value that is no address has no password.
    for (const value of ['http://a:short@x', 'http://example.com:80800@', 'mailto:somebody@example.com', 'a:hunter22@x'])
      expect(redacts([{ SITE: value }], [], 'short 80800 hunter22')).toBe('short 80800 hunter22');
  });

  it('a value of 128 KiB is looked through in time that is linear in it', () => {
    const begun = performance.now();
    for (const part of ['a', '://', '://a:', '://a:b@', '%25', 'a:'])
      readRedaction([{ SITE: part.repeat((128 * 1024) / part.length) }], []);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  it('takes SECRETS_BYTES_MAX of all forms together, and not one byte more; the same value twice counts once', () => {
    const bytesOf = (length: number): number =>
      [...new Set(formsOf('x'.repeat(length)))].reduce((sum, { length }) => sum + length, 0);
    // Three bytes at a time, the bytes of all forms grow alike.
    let length = 3 * Math.floor(SECRETS_BYTES_MAX / 3 / 17);
    for (; bytesOf(length) < SECRETS_BYTES_MAX; length += 3 * Math.ceil((SECRETS_BYTES_MAX - bytesOf(length)) / 100));
    while (bytesOf(length) > SECRETS_BYTES_MAX) length -= 1;
    const value = 'x'.repeat(length);
    expect(readRedaction([{ A_KEY: value, B_KEY: value }], []).kind).toBe('read');
    expect(readRedaction([{ A_KEY: `${value}x` }], [])).toEqual({ kind: 'too_much', bytes: bytesOf(length + 1) });
  });
});

describe('[SPL25] [RD3] the forms of a secret', () => {
  const SECRET = 'p&ss/wörd+~?*="1';
  const bytes = Buffer.from(SECRET);

  it.each([
    ['base64', bytes.toString('base64')],
    ['base64url', bytes.toString('base64url')],
    ['an encoded URL of JavaScript', encodeURIComponent(SECRET)],
    ['lower-case escapes', encodeURIComponent(SECRET).replace(/%../g, (each) => each.toLowerCase())],
    ['a form', new URLSearchParams({ a: SECRET }).toString().slice(2)],
    ['quote() of Python', 'p%26ss/w%C3%B6rd%2B~%3F%2A%3D%221'],
    ['QueryEscape of Go', 'p%26ss%2Fw%C3%B6rd%2B~%3F%2A%3D%221'],
  ])('%s', (_, text) => {
    expect(redactionOf(SECRET).text(`<${text}>`)).toBe(`<${REDACTED}>`);
  });

  it('a basic-auth header, with every length of the user’s name, shows no more than the user', () => {
    for (let length = 0; length < 12; length += 1) {
      const header = Buffer.from(`${'u'.repeat(length)}:${SECRET}`).toString('base64');
      const said = redactionOf(SECRET).text(`Authorization: Basic ${header}`);
      const [shown = ''] = said.slice('Authorization: Basic '.length).split('[');
      expect(said).toBe(`Authorization: Basic ${shown}${REDACTED}`);
      // At most the first four bits of the secret stand in the last character that is left.
      expect(shown.length).toBeLessThanOrEqual(Math.ceil(((length + 1) * 8) / 6));
    }
  });

  it('anywhere within something longer that was made base64', () => {
    for (let before = 0; before < 3; before += 1) {
      const config = `${'{'.repeat(before)}{"password":"hunter-22-hunter"}`;
      const said = redactionOf('hunter-22-hunter').text(Buffer.from(config).toString('base64'));
      expect(said).toContain(REDACTED);
      const rest = said.split(REDACTED).map((part) => Buffer.from(part, 'base64').toString());
      expect(rest.join('')).not.toMatch(/unter|22|hunte/);
    }
  });

  it('the least secret has forms long enough to be no accident', () => {
    for (const form of formsOf('x7!q/z')) expect(Buffer.byteLength(form)).toBeGreaterThanOrEqual(SECRET_BYTES_MIN);
  });
});

describe('[SPL25] [RD3] agent events', () => {
  it('no string of one contains a secret, however the JSON was written and split; without a secret it is unchanged', () => {
    const escaped = (text: string) =>
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: text.length, maxLength: text.length }).map((how) => {
        const unicode = (at: number) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`;
        const units = how.map((each, at) => (each === 0 ? unicode(at) : JSON.stringify(text[at]).slice(1, -1)));
        return `"${units.join('')}"`;
      });
    const lines = secrets.chain((values) => {
      const content = fc
        .array(fc.oneof(fc.constantFrom(...values), fc.string({ unit, maxLength: 5 })), { maxLength: 3 })
        .map((all) => all.join(''));
      const entry = content.chain((text) => escaped(text).map((token) => ({ text, token })));
      return fc.record({
        values: fc.constant(values),
        entries: fc.array(entry, { minLength: 1, maxLength: 4 }),
        reads: fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 9 }), flush: fc.boolean() }), { maxLength: 30 }),
      });
    });
    fc.assert(
      fc.property(lines, ({ values, entries, reads }) => {
        const line = `{"n" : [12345678901234567890, 1e3],"all":[${entries.map(({ token }) => token).join(' ,')}]}`;
        const pieces = feed(splitterFor(values, 'jsonl'), Buffer.from(`${line}\n`), reads);
        // A secret such as `" ,"` goes over several strings: then the line is text, and redacted as
        // that.
        if (pieces[0]?.kind !== 'json') {
          expect(joined(pieces)).toBe(`${reference(line, values)}\n`);
          return;
        }
        const expected = entries.map(({ text }) => reference(text, values));
        expect((JSON.parse(pieces[0].text) as { all: string[] }).all).toEqual(expected);
        expect(joined(pieces).startsWith('{"n" : [12345678901234567890, 1e3],"all":[')).toBe(true);
        if (entries.every(({ text }, index) => text === expected[index])) expect(joined(pieces)).toBe(line);
      }),
      { numRuns: propertyRuns(1000) },
    );
  });

  it('a number that is a secret becomes a string, names of fields count, and the rest stays', () => {
    const redaction = redactionOf('123456', 'hunter22');
    expect(redaction.json('{"pin":123456,"hunter22":{"a":[-91234567.5e1, 123456]},"b":1.0, "c":12345}')).toBe(
      `{"pin":"${REDACTED}","${REDACTED}":{"a":["-9${REDACTED}7.5e1", "${REDACTED}"]},"b":1.0, "c":12345}`,
    );
  });

  it('a secret that is JSON itself makes the line text', () => {
    const key = '{"type":"service_account","private_key":"abc"}';
    const splitter = new JsonLineSplitter(redactionOf(key));
    expect(splitter.push(Buffer.from(`{"a":1}\n${key}\n{"config":${key}}\n${JSON.stringify({ key })}\n`))).toEqual([
      { kind: 'json', text: '{"a":1}' },
      { kind: 'text', text: `${REDACTED}\n{"config":${REDACTED}}\n`, partial: false },
      { kind: 'json', text: `{"key":"${REDACTED}"}` },
    ]);
  });

  it('[AGT6] a line that the markers make too long for an event comes in parts', () => {
    const line = (padding: number) => JSON.stringify({ p: 'x'.repeat(padding), s: 'hunter' });
    const fits = line(JSON_LINE_BYTES_MAX - Buffer.byteLength(line(0)) - (REDACTED.length - 'hunter'.length));
    const push = (text: string) => new JsonLineSplitter(redactionOf('hunter')).push(Buffer.from(`${text}\n`));
    expect(push(fits)).toEqual([{ kind: 'json', text: fits.replace('hunter', REDACTED) }]);
    const longer = push(fits.replace('"s"', '"st"'));
    expect(longer.every(({ kind }) => kind === 'part')).toBe(true);
    expect(joined(longer)).toBe(fits.replace('"s"', '"st"').replace('hunter', REDACTED));
  });

  it('messages of an event stream: data, name and id; one that is more of a secret than a string of it becomes text', () => {
    const key = '{"type":"service_account"}';
    const redaction = redactionOf('hunter22', key);
    const data = (message: { data: string; event?: string; id?: string }) =>
      JSON.parse(redactedData({ event: undefined, id: undefined, ...message }, redaction)) as JsonObject;
    expect(data({ data: '{"a":"\\u0068unter22"}', event: 'is hunter22', id: 'hunter22' })).toEqual({
      a: REDACTED,
      event: `is ${REDACTED}`,
      id: REDACTED,
    });
    expect(data({ data: 'plain hunter22' })).toEqual({ text: `plain ${REDACTED}` });
    expect(data({ data: `{"config":${key}}` })).toEqual({ text: `{"config":${REDACTED}}` });
    const clean = { event: 'step', id: '7', data: '{"n":12345678901234567890, "a" : [1]}' };
    expect(redactedData(clean, redaction)).toBe(agentData(clean));
    expect(redactedData(clean, null)).toBe(agentData(clean));
    expect(JSON_LINE_BYTES_MAX).toBeLessThan(EVENT_BYTES_MAX);
  });
});
