/**
 * What a runner answers on loopback (`--status-port`): `GET /health` and `GET /metrics`. No
 * credential is needed, because nothing can be changed, and nothing of a job is shown.
 */

import { createServer, type Server } from 'node:http';
import { VERSION } from '../../protocol/version.ts';
import type { PoolRunnerFacts } from './pool-runner.ts';

export interface StatusFacts extends PoolRunnerFacts {
  name: string;
  pool: string;
  runnerId: string;
}

/** Prometheus text format 0.0.4. Pure. */
export function metricsText({
  name,
  pool,
  connected,
  connects,
  running,
  slots,
  draining,
  outcomes,
  endedRuns,
}: StatusFacts): string {
  const common = `name="${escaped(name)}",pool="${escaped(pool)}"`;
  const metric = (metricName: string, type: 'gauge' | 'counter', help: string, value: number): string =>
    `# HELP ${metricName} ${help}\n# TYPE ${metricName} ${type}\n${metricName}{${common}} ${value}\n`;
  const launches = [...outcomes].map(
    ([outcome, count]) => `holdfast_runner_launches_total{${common},outcome="${outcome}"} ${count}\n`,
  );
  return [
    metric('holdfast_runner_connected', 'gauge', 'Whether the runner is connected to its pool.', Number(connected)),
    metric('holdfast_runner_connects_total', 'counter', 'Connections that the pool has welcomed.', connects),
    metric('holdfast_runner_slots', 'gauge', 'Executions that may run at the same time.', slots),
    metric('holdfast_runner_running', 'gauge', 'Executions that have a slot.', running),
    metric('holdfast_runner_draining', 'gauge', 'Whether the runner takes nothing new.', Number(draining)),
    metric('holdfast_runner_ended_total', 'counter', 'Executions whose wrapper has ended.', endedRuns),
    '# HELP holdfast_runner_launches_total Launches by what was answered.\n# TYPE holdfast_runner_launches_total counter\n',
    ...launches,
  ].join('');
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

/** Resolves when it listens; rejects when it cannot. */
export async function serveStatus(port: number, facts: () => StatusFacts): Promise<Server> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0];
    const send = (status: number, type: string, text: string) => {
      response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return send(405, 'text/plain', 'Allowed: GET, HEAD.\n');
    }
    const now = facts();
    if (path === '/metrics') return send(200, 'text/plain; version=0.0.4; charset=utf-8', metricsText(now));
    if (path !== '/health') return send(404, 'text/plain', 'There is /health and /metrics.\n');
    const { connected, running, slots, draining, name, pool, runnerId } = now;
    const health = { ok: connected, connected, draining, running, slots, name, pool, runnerId, version: VERSION };
    send(connected ? 200 : 503, 'application/json', `${JSON.stringify(health)}\n`);
  });
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}
