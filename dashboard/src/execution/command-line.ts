/**
 * A command as one editable text, and back: words as a POSIX shell would split them, without
 * expansions. The coordinator takes a list of arguments and runs it without a shell, so only
 * quoting has a meaning here.
 */

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

export function formatCommand(args: readonly string[]): string {
  return args.map((arg) => (PLAIN.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`)).join(' ');
}

export type ParseResult<T> = { ok: true; value: T } | { ok: false; error: string };

/** Inverse of `formatCommand`; takes double quotes and backslashes as well. */
export function parseCommand(text: string): ParseResult<string[]> {
  const args: string[] = [];
  let word: string | null = null;
  let quote: '"' | "'" | null = null;
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i] ?? '';
    const next = text[i + 1] ?? '';
    if (quote === "'") {
      if (character === "'") quote = null;
      else word = (word ?? '') + character;
    } else if (quote === '"') {
      if (character === '"') quote = null;
      else if (character === '\\' && next !== '' && '"\\$`\n'.includes(next)) {
        i += 1;
        if (next !== '\n') word = (word ?? '') + next;
      } else word = (word ?? '') + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= '';
    } else if (character === '\\') {
      if (next === '') return { ok: false, error: 'The command ends with a backslash.' };
      i += 1;
      if (next !== '\n') word = (word ?? '') + next;
    } else if (/\s/.test(character)) {
      if (word !== null) args.push(word);
      word = null;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote) return { ok: false, error: `A ${quote === "'" ? 'single' : 'double'} quote is not closed.` };
  if (word !== null) args.push(word);
  if (!args[0]) return { ok: false, error: 'A command needs a program.' };
  return { ok: true, value: args };
}

export const formatPairs = (pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n');

/**
 * One `name=value` per line; empty lines are skipped. A repeated name is an error, because the last
 * value would silently win.
 */
export function parsePairs(text: string): ParseResult<Record<string, string>> {
  const pairs: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const at = line.indexOf('=');
    const name = line.slice(0, at).trim();
    if (at < 0 || name === '') return { ok: false, error: `Line ${index + 1} is not name=value.` };
    if (Object.hasOwn(pairs, name)) return { ok: false, error: `${name} is given twice.` };
    if (name === '__proto__') return { ok: false, error: `${name} cannot be a name.` };
    pairs[name] = line.slice(at + 1);
  }
  return { ok: true, value: pairs };
}
