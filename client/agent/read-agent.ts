import { type AgentFormat, ConversationReader, type Item, type Summary } from '../../agent/index.ts';
import type { OutputFormat } from '../../protocol/index.ts';
import type { EventsOptions } from '../http/types.ts';
import type { SessionStream } from '../stream/session-stream.ts';

/** The handle of an execution (`client.execution(…)`), or an object that opens its stream. */
export interface AgentRun {
  id: string;
  events(options?: Omit<EventsOptions, 'execution'>): SessionStream;
}

export type ReadAgentOptions = Omit<EventsOptions, 'execution' | 'types' | 'tail' | 'from'> & {
  /** Default: that of the start. */
  format?: AgentFormat;
};

export interface ConversationUpdate {
  /** The items that are new or changed. An item is found again by its `key`. */
  changed: readonly Item[];
  /** All items so far: the same array in each update. */
  items: readonly Item[];
  summary: Readonly<Summary>;
}

/**
 * The conversation of a run, from its beginning to the end of the run. Each update has what one
 * batch of events changed. Throws what the stream throws.
 */
export async function* readAgent(run: AgentRun, { format, ...options }: ReadAgentOptions = {}): AsyncGenerator<ConversationUpdate> {
  const stream = run.events(options);
  let reader: ConversationReader | null = null;
  try {
    for await (const events of stream.batches()) {
      reader ??= new ConversationReader(format ?? formatOf(stream, run.id));
      const changed = reader.add(events.filter(({ execution }) => execution === run.id));
      yield { changed, items: reader.items, summary: reader.summary };
    }
  } finally {
    stream.close();
  }
}

/** An earlier coordinator does not say it. */
export function formatOf(stream: Pick<SessionStream, 'hello'>, execution: string): AgentFormat {
  const format: OutputFormat | undefined = stream.hello?.executions.find(({ id }) => id === execution)?.format;
  return format === undefined || format === 'text' ? 'auto' : format;
}
