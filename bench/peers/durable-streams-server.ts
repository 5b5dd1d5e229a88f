/**
 * `@durable-streams/server` in a process of its own, with its files on disk. Prints its URL, and
 * ends with its stdin.
 */

import { DurableStreamTestServer } from '@durable-streams/server';

const [dataDir = ''] = process.argv.slice(2);
const server = new DurableStreamTestServer({ port: 0, host: '127.0.0.1', dataDir, compression: false });
process.stdout.write(`${await server.start()}\n`);
process.stdin.resume();
process.stdin.on('end', () => {
  void server.stop().finally(() => process.exit(0));
});
