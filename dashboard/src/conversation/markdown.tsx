/**
 * Markdown as elements. Only elements and attributes named here are created; HTML in the text is
 * shown as text, and an image as a link: the page loads nothing that a job names.
 */

import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { hostToShow } from '../log/link-host.ts';
import { CopyButton, formatCount } from '../ui/index.ts';
import { linkPieces, safeHref, withoutReferences } from './links.ts';
import { markdownOf, type Token, type Tokens } from './markdown-tokens.ts';
import { ScrollBox } from './scroll-box.tsx';
import { withMarks } from './text-blocks.tsx';

/** Of the part that is not parsed, until the reader asks for more. */
const REST_SHOWN_CHARS = 2_000;

export function Markdown({ text }: { text: string }) {
  const { tokens, rest } = useMemo(() => markdownOf(withMarks(text)), [text]);
  return (
    <div class="md">
      {blocks(tokens)}
      {rest === '' ? null : <Rest text={rest} />}
    </div>
  );
}

function Rest({ text }: { text: string }) {
  const [all, setAll] = useState(false);
  const isLong = text.length > REST_SHOWN_CHARS;
  return (
    <>
      <pre class="md-rest">{all || !isLong ? text : text.slice(0, REST_SHOWN_CHARS)}</pre>
      {isLong && !all ? (
        <button type="button" class="talk-inline" onClick={() => setAll(true)}>
          Show {formatCount(text.length - REST_SHOWN_CHARS)} more characters
        </button>
      ) : null}
    </>
  );
}

const blocks = (tokens: readonly Token[] | undefined): ComponentChildren => (tokens ?? []).map(block);

/** The tokens of one list of children never change their order, so their index is their key. */
function block(token: Token, i: number): ComponentChildren {
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'heading':
      return (
        <p key={i} class={`md-heading md-heading-${token.depth}`}>
          <strong>{inline(token.tokens)}</strong>
        </p>
      );
    case 'paragraph':
      return <p key={i}>{inline(token.tokens)}</p>;
    case 'text':
      return <span key={i}>{token.tokens ? inline(token.tokens) : <Text text={token.text} />}</span>;
    case 'checkbox':
      return <Checkbox key={i} checked={token.checked} />;
    case 'code':
      return <Code key={i} text={token.text} lang={token.lang} />;
    case 'blockquote':
      return <blockquote key={i}>{blocks(token.tokens)}</blockquote>;
    case 'list': {
      const items = (token.items as Tokens.ListItem[]).map((item, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: see above
        <li key={at} class={item.task ? 'md-task' : undefined}>
          {blocks(item.tokens)}
        </li>
      ));
      const start = typeof token.start === 'number' ? token.start : 1;
      return token.ordered ? (
        <ol key={i} start={start}>
          {items}
        </ol>
      ) : (
        <ul key={i}>{items}</ul>
      );
    }
    case 'table':
      return <Table key={i} token={token as Tokens.Table} />;
    case 'hr':
      return <hr key={i} />;
    case 'html':
      return (
        <p key={i} class="md-raw">
          {token.text.trimEnd()}
        </p>
      );
    default:
      return <p key={i}>{token.raw}</p>;
  }
}

const inline = (tokens: readonly Token[] | undefined): ComponentChildren => (tokens ?? []).map(piece);

function piece(token: Token, i: number): ComponentChildren {
  switch (token.type) {
    case 'text':
      return token.tokens ? inline(token.tokens) : <Text key={i} text={token.text} />;
    case 'escape':
      return token.text;
    case 'strong':
      return <strong key={i}>{inline(token.tokens)}</strong>;
    case 'em':
      return <em key={i}>{inline(token.tokens)}</em>;
    case 'del':
      return <del key={i}>{inline(token.tokens)}</del>;
    case 'codespan':
      return <code key={i}>{token.text}</code>;
    case 'br':
      return <br key={i} />;
    case 'checkbox':
      return <Checkbox key={i} checked={token.checked} />;
    case 'link':
      return (
        <Link key={i} href={token.href} text={token.text}>
          {inline(token.tokens)}
        </Link>
      );
    case 'image':
      return (
        <Link key={i} href={token.href} text={token.text}>
          image: {token.text || token.href}
        </Link>
      );
    default:
      return token.raw;
  }
}

/** A link names the host that it leads to, unless its text begins with it. */
function Link({ href, text, children }: { href: string; text: string; children: ComponentChildren }) {
  const safe = safeHref(href);
  if (safe === null) return <>{children}</>;
  const host = safe.startsWith('mailto:') ? null : hostToShow(safe, text);
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer" title={safe}>
      {children}
      {host === null ? null : <span class="md-host"> ({host})</span>}
    </a>
  );
}

function Text({ text }: { text: string }) {
  const pieces = linkPieces(withMarks(withoutReferences(text)));
  return (
    <>
      {pieces.map(({ text: part, href }, i) =>
        href === null ? (
          part
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: pieces do not move
          <a key={i} href={href} target="_blank" rel="noopener noreferrer">
            {part}
          </a>
        ),
      )}
    </>
  );
}

function Checkbox({ checked }: { checked: boolean }) {
  return (
    <span class="md-check" role="img" aria-label={checked ? 'Done:' : 'Open:'}>
      {checked ? '☑' : '☐'}{' '}
    </span>
  );
}

function Code({ text, lang }: { text: string; lang: string | undefined }) {
  return (
    <div class="md-code">
      <div class="md-code-head">
        <span class="md-lang">{(lang ?? '').split(/\s/)[0]}</span>
        <CopyButton text={text} label="Copy the code" />
      </div>
      <ScrollBox class="md-code-text" label="Code">
        <pre>
          <code>{text}</code>
        </pre>
      </ScrollBox>
    </div>
  );
}

function Table({ token }: { token: Tokens.Table }) {
  const { header, rows } = token;
  const cell = (Name: 'th' | 'td') => (content: Tokens.TableCell, i: number) => (
    <Name key={i} class={content.align ? `md-${content.align}` : undefined}>
      {inline(content.tokens)}
    </Name>
  );
  return (
    <ScrollBox class="md-table" label="Table">
      <table>
        <thead>
          <tr>{header.map(cell('th'))}</tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows do not move
            <tr key={i}>{row.map(cell('td'))}</tr>
          ))}
        </tbody>
      </table>
    </ScrollBox>
  );
}
