/** Merges the numbers of several rounds into one figure, and figures into a table. Pure. */

/** The systems measured next to Holdfast, with the same generator, in the same round. */
export interface Figure {
  /** `bench/case/what`; stable, so that two runs can be compared. */
  name: string;
  value: number;
  unit: string;
  /** The same of the bare object, or null without a counterpart. */
  floor: number | null;
  /** value ÷ floor. */
  ratio: number | null;
  /** The project's target. */
  target: Target | null;
  /** Each round's value, oldest first. */
  rounds: number[];
}

export interface Target {
  /** Which of the two numbers it is about. */
  of: 'value' | 'ratio';
  atLeast?: number;
  atMost?: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** The smallest value that at least `share` of them do not exceed (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error('no values');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
}

export function figureOf(
  name: string,
  unit: string,
  rounds: readonly number[],
  floor: readonly number[] | null = null,
  target: Target | null = null,
): Figure {
  const value = median(rounds);
  // The median of the rounds' own ratios: in one round both had the same machine.
  const ratios = floor?.length === rounds.length ? rounds.map((one, index) => one / (floor[index] as number)) : null;
  return {
    name,
    value,
    unit,
    floor: floor ? median(floor) : null,
    ratio: ratios ? median(ratios) : null,
    target,
    rounds: [...rounds],
  };
}

/** True when the figure is where it should be, null when nothing is wanted of it. */
export function isMet({ value, ratio, target }: Pick<Figure, 'value' | 'ratio' | 'target'>): boolean | null {
  if (!target) return null;
  const number = target.of === 'value' ? value : ratio;
  if (number === null) return false;
  return number >= (target.atLeast ?? Number.NEGATIVE_INFINITY) && number <= (target.atMost ?? Number.POSITIVE_INFINITY);
}

const digits = (value: number): string => {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
};

const wanted = ({ of, atLeast, atMost }: Target): string =>
  `${of === 'ratio' ? 'ratio ' : ''}${atLeast === undefined ? '' : `≥ ${digits(atLeast)}`}${atMost === undefined ? '' : `≤ ${digits(atMost)}`}`;

const HEADINGS = ['figure', 'value', 'unit', 'floor', 'ratio', 'target', ''];

const cellsOf = (figure: Figure): string[] => {
  const met = isMet(figure);
  return [
    figure.name,
    digits(figure.value),
    figure.unit,
    figure.floor === null ? '' : digits(figure.floor),
    figure.ratio === null ? '' : figure.ratio.toFixed(2),
    figure.target ? wanted(figure.target) : '',
    met === null ? '' : met ? 'met' : 'MISSED',
  ];
};

/** For a terminal. */
export function table(figures: readonly Figure[]): string {
  const rows = [HEADINGS, ...figures.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  const right = new Set([1, 3, 4]);
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          right.has(column) ? cell.padStart(widths[column] as number) : cell.padEnd(widths[column] as number),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** For docs/performance.md. */
export function markdown(figures: readonly Figure[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(HEADINGS),
    line(HEADINGS.map((_, column) => (column === 1 || column === 3 || column === 4 ? '--:' : '---'))),
    ...figures.map((figure) => line(cellsOf(figure))),
  ].join('\n');
}
