/** Structured log lines: what happened and to which execution, never what a job said and never a credential. */

export function logLine(level: 'info' | 'warn' | 'error', event: string, fields: Record<string, unknown> = {}): void {
  console[level](JSON.stringify({ level, event, ...fields }));
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
