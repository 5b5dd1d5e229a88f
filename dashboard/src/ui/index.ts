/**
 * The components of pages. They do not know the API.
 *
 *   button, copy-button, icon, menu, dialog, toast   controls
 *   status-badge                                     an execution's status in one word
 *   duration, ticker, time                           times and amounts as people read them
 */

export { Button, type ButtonProps } from './button.tsx';
export { CopyButton } from './copy-button.tsx';
export { Dialog, type DialogProps } from './dialog.tsx';
export { Ago, Duration } from './duration.tsx';
export { Icon, type IconName } from './icon.tsx';
export { Menu, type MenuItem, type MenuProps } from './menu.tsx';
export { StatusBadge, type StatusBadgeProps, type StatusKind, statusKind, statusLabel } from './status-badge.tsx';
export { useNow } from './ticker.ts';
export { formatAge, formatBytes, formatClock, formatCount, formatDateTime, formatDuration, formatWholeSeconds } from './time.ts';
export type { ToastKind } from './toast.tsx';
