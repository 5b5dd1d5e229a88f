/** A message of the queue. It holds the body as text, so that every attempt sends the same bytes under the same id. */
export interface CallbackMessage {
  version: 1;
  /** One for each verdict; `webhook-id` of every attempt, by which a receiver knows a repeat. */
  id: string;
  tenant: string;
  session: string;
  execution: string;
  url: string;
  body: string;
}
