/**
 * The live log of one execution.
 *
 *   model          the lines: text, kinds, numbers; fed by append and prepend
 *   block, chunk   how they are kept: a few hundred strings and typed arrays, no object per line
 *   describe       the line of an event that is not output
 *   scan           one pass over a line's control characters; style, line, carried-style: its
 *                  appearance; style-classes, row-pieces: as classes and spans
 *   rows           which lines are shown in which row
 *   search, match  finds text in the loaded lines; regex-port, regex-worker: expressions, with a
 *                  time limit
 *   scroll-space   scroll offsets of a log higher than an element can be; scroller: keeps the view
 *                  in place
 *   view           the panel; toolbar, row, scroll-view: its parts; panel: the same inside the shell
 */

export { LogModel } from './model.ts';
export { LogPanel } from './panel.tsx';
export type { LogPanelProps } from './view.tsx';
