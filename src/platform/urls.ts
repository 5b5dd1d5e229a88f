/** URLs that the Worker gives out. */

export const ingestUrl = (origin: string, session: string, execution: string): string =>
  `${origin}/v1/sessions/${session}/executions/${execution}/ingest`;

/** The run's page in the dashboard. */
export const executionPageUrl = (origin: string, session: string, execution: string): string =>
  `${origin}/sessions/${encodeURIComponent(session)}/executions/${encodeURIComponent(execution)}`;
