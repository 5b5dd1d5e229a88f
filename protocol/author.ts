/** Who made a change. `id`: of the key or the ticket, never the credential itself. */
export interface Author {
  kind: 'key' | 'ticket' | 'access' | 'rpc' | 'system';
  id: string;
  name?: string;
}
