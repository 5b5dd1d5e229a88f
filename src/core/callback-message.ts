/** A queue message. The body is text, so every attempt sends the same bytes under the same id. */
export interface CallbackMessage {
  version: 1;
  /** One per verdict. Every attempt sends it as `webhook-id`; receivers dedupe by it. */
  id: string;
  tenant: string;
  session: string;
  execution: string;
  url: string;
  body: string;
}
