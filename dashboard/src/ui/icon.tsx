/** Line icons on a 16 × 16 grid, drawn with the colour of the text around them. */

const PATHS = {
  'arrow-down': 'M8 2.5v11M3.5 9 8 13.5 12.5 9',
  'arrow-up': 'M8 13.5v-11M3.5 7 8 2.5 12.5 7',
  back: 'M10 3 5 8l5 5',
  check: 'm3 8.5 3.5 3.5L13 4.5',
  'chevron-down': 'm4 6 4 4 4-4',
  'chevron-right': 'm6 4 4 4-4 4',
  'chevron-up': 'm4 10 4-4 4 4',
  clock: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.5V8l2.3 1.7',
  close: 'm4 4 8 8M12 4l-8 8',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  download: 'M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11',
  expand: 'M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5 9.5 6.5M2.5 13.5l4-4',
  external: 'M9.5 2.5h4v4M13.5 2.5 7.5 8.5M6.5 3.5h-4v10h10v-4',
  filter: 'M2 3.5h12M4.5 8h7M6.5 12.5h3',
  info: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 7.2v4M8 4.6v.6',
  keyboard: 'M1.5 3.5h13v9h-13zM4 6.2h.8M7.6 6.2h.8M11.2 6.2h.8M4.5 9.8h7',
  link: 'M6.6 9.4a2.8 2.8 0 0 0 4 0l2.2-2.2a2.8 2.8 0 0 0-4-4l-.9.9M9.4 6.6a2.8 2.8 0 0 0-4 0L3.2 8.8a2.8 2.8 0 0 0 4 4l.9-.9',
  lock: 'M3.5 7h9v6.5h-9zM5.2 7V4.8a2.8 2.8 0 0 1 5.6 0V7',
  monitor: 'M1.8 2.5h12.4v8.5H1.8zM5.5 13.8h5M8 11v2.8',
  moon: 'M13.3 9.7A5.8 5.8 0 0 1 6.3 2.7a5.8 5.8 0 1 0 7 7',
  more: 'M3 8h.01M8 8h.01M13 8h.01',
  pause: 'M5.2 3v10M10.8 3v10',
  play: 'M4.5 2.8v10.4L13 8z',
  refresh: 'M13.2 6.5A5.5 5.5 0 0 0 3.4 4.9L2.2 6.2M2.2 2.8v3.4h3.4M2.8 9.5a5.5 5.5 0 0 0 9.8 1.6l1.2-1.3M13.8 13.2V9.8h-3.4',
  search: 'M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6M10.5 10.5l3.7 3.7',
  send: 'M2 8 14 2.5 10.5 13.5 7.5 9.5zM7.5 9.5 14 2.5',
  share: 'M8 10V2M5 4.5 8 1.8l3 2.7M4.5 7h-2v7h11V7h-2',
  'sign-out': 'M6.5 2.5h-4v11h4M10 4.8 13.2 8 10 11.2M6 8h7.2',
  stop: 'M3.5 3.5h9v9h-9z',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  terminal: 'M1.8 2.8h12.4v10.4H1.8zM4.5 6l2 2-2 2M8.5 10h3',
  trash: 'M2.5 4h11M6 4V2.2h4V4M4 4l.7 9.8h6.6L12 4M6.6 6.8l.2 4.4M9.4 6.8l-.2 4.4',
  warning: 'M8 2 14.6 13.5H1.4zM8 6.5v3.2M8 11.6v.1',
  wrap: 'M2 3.5h12M2 8h9.7a2.3 2.3 0 0 1 0 4.6H8M9.8 10.6 7.8 12.6l2 2M2 12.6h3',
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration: the text next to it, or the button's label, states the meaning. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width={name === 'more' ? 2.4 : 1.5}
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
