/** Paths that leave the Worker. */

export const ingestUrl = (origin: string, session: string, execution: string): string =>
  `${origin}/v1/sessions/${session}/executions/${execution}/ingest`;
