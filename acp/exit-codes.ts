/** How the program ends. */

export const EXIT = {
  /** The last turn ended as the agent wanted: `end_turn`. */
  ok: 0,
  /** The last turn ended in another way, or with an error of the agent. */
  turnFailed: 1,
  /** Wrong arguments, or no message came. */
  usage: 2,
  /** The agent cannot be started, does not speak this protocol, or opens no session. */
  noAgent: 3,
  /** The agent wants a login. */
  noLogin: 4,
  /** The agent ended by itself. */
  agentEnded: 5,
  /** The last turn was cancelled. */
  cancelled: 130,
  terminated: 143,
} as const;

/** Why the program ends, in words for stderr. `why` null: nothing to say. */
export interface Ending {
  exitCode: number;
  why: string | null;
}
