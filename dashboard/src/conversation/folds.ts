/** What the reader opened and closed. It outlives the rows, which are made again while scrolling. */

export interface Folds {
  isOpen(name: string, byDefault: boolean): boolean;
  set(name: string, open: boolean): void;
}

export interface FoldState {
  /** By name of the part. */
  readonly chosen: ReadonlyMap<string, boolean>;
  /** "Expand all" and "Collapse all": for every part that was not chosen since. */
  readonly all: boolean | null;
}

export const NO_FOLDS: FoldState = { chosen: new Map(), all: null };

export const withFold = ({ chosen, all }: FoldState, name: string, open: boolean): FoldState => ({
  chosen: new Map(chosen).set(name, open),
  all,
});

export const foldsOf = ({ chosen, all }: FoldState, set: Folds['set']): Folds => ({
  isOpen: (name, byDefault) => chosen.get(name) ?? (name.includes('/') ? byDefault : (all ?? byDefault)),
  set,
});
