import { output, type Run, WrapperPeer } from './peers.ts';

/** Fills a log with batches of uneven sizes, so that offsets fall inside of rows. */
export async function fill(run: Run, count: number, textOf = (n: number) => `line ${n}\n`): Promise<WrapperPeer> {
  const peer = await WrapperPeer.welcomed(run);
  for (let seq = 1, size = 1; seq <= count; size = (size % 7) + 1) {
    const batch = Array.from({ length: Math.min(size, count - seq + 1) }, (_, index) => output(textOf(seq + index)));
    await peer.deliver(seq, batch);
    seq += batch.length;
  }
  return peer;
}
