/**
 * The live log of one execution.
 *
 *   model          the lines: text, kinds, numbers; fed by append and prepend
 *   block, chunk   how they are kept: a few hundred strings and typed arrays, no object per line
 *   describe       what an event that is not output says
 *   scan           one pass over a line's control characters; style, line, carry: what it looks like; look, pieces: as classes and spans
 *   rows           which lines are shown in which row
 *   search, match  finding text in what is loaded; regex-port, regex-worker: expressions, with a guard
 *   scroll-space   scroll offsets of a log higher than an element can be; scroller: keeping the view where it was put
 *   view           the panel; toolbar, row: its parts; panel: the same inside the shell
 */

export { LogModel } from './model.ts';
export { LogPanel } from './panel.tsx';
export type { LogPanelProps } from './view.tsx';
