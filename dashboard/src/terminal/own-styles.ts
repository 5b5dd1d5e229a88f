/**
 * Styles of xterm.js on a page whose Content-Security-Policy allows none inline.
 *
 * xterm.js writes rules into `<style>` elements, and the colours of characters into `style`
 * attributes; the policy blocks both. The same text is allowed through the object model: rules in a
 * constructed style sheet, declarations in `element.style`. xterm.js makes its elements with the
 * document of the page and not only with its option `documentOverride`, so the method of the
 * document is replaced while a terminal is shown. For every other element it does what it did.
 */

/** Returns a function that undoes it. */
export function allowOwnStyles(page: Document): () => void {
  const sheets = new Set<CSSStyleSheet>();
  const createElement = Document.prototype.createElement;
  page.createElement = ((name: string, options?: ElementCreationOptions): HTMLElement => {
    if (name === 'style') return styleElement(page, sheets);
    const element = createElement.call(page, name, options);
    if (name === 'span') element.setAttribute = setByObjectModel;
    return element;
  }) as Document['createElement'];
  return () => {
    page.createElement = createElement;
    page.adoptedStyleSheets = page.adoptedStyleSheets.filter((sheet) => !sheets.has(sheet));
  };
}

/** Has its place in the tree, and its rules in a sheet of the page. */
function styleElement(page: Document, sheets: Set<CSSStyleSheet>): HTMLElement {
  const sheet = new CSSStyleSheet();
  sheets.add(sheet);
  page.adoptedStyleSheets = [...page.adoptedStyleSheets, sheet];
  const element = Document.prototype.createElement.call(page, 'template');
  let rules = '';
  Object.defineProperty(element, 'textContent', {
    get: () => rules,
    set(text: string) {
      rules = text;
      sheet.replaceSync(text);
    },
  });
  return element;
}

function setByObjectModel(this: HTMLElement, name: string, value: string): void {
  if (name === 'style') this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}
