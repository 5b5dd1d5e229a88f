/**
 * Goal: the readers make of each recording what a person would.
 * Method: each recording of a real program is read as a log. `transcripts/NAME.items.txt` states
 * the items: offsets, type, content. `vitest -u` writes it again; read the difference.
 */

import { describe, expect, it } from 'vitest';
import { type AgentFormat, ConversationReader } from '../../agent/index.ts';
import { recorded, recordings, shownAll } from './recorded.ts';

describe.each<AgentFormat>(['claude', 'codex', 'opencode', 'acp'])('%s', (format) => {
  it.each(recordings(format))('[AGT4] %s has these items', async (name) => {
    const reader = new ConversationReader(format);
    reader.add(recorded(name));
    await expect(shownAll(reader.items, reader.summary)).toMatchFileSnapshot(`transcripts/${name}.items.txt`);
  });

  it.each(recordings(format))('%s is recognised from its lines', (name) => {
    const told = new ConversationReader(format);
    const auto = new ConversationReader('auto');
    told.add(recorded(name));
    auto.add(recorded(name));
    expect(auto.summary.format).toBe(format);
    expect(auto.items).toEqual(told.items);
  });
});
