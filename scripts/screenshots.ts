/**
 * `npm run screenshots [-- NAME …]`: the pictures of docs/dashboard.md, or those of these names. Boots the stack, makes a run of each
 * main state, and photographs the dashboard as a user sees it.
 *
 * Ids, times and ports differ from run to run, so pictures are taken again on request, not compared
 * by a test.
 */

import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StartRequest } from '../protocol/index.ts';
import { taxAgent } from '../test/browser/support/agents.ts';
import { Dashboard } from '../test/browser/support/dashboard.ts';
import { manyLines } from '../test/browser/support/jobs.ts';
import { NETWORK_NOISE } from '../test/browser/support/page-watch.ts';
import { playPools } from '../test/browser/support/pools.ts';
import * as scenes from '../test/browser/support/scenes.ts';
import { DESKTOP, type Job, type PageOptions, PHONE, Stage } from '../test/browser/support/stage.ts';
import { TerminalPeer } from '../test/support/terminal-peer.ts';
import { ROOT } from './stack.ts';

const FOLDER = join(ROOT, 'docs', 'screenshots');

const only = process.argv.slice(2);

const stage = await Stage.start();

const scene = (session: string, program: string, command: string[], request: Partial<StartRequest> = {}): Promise<Job> =>
  stage.start(session, program, { ...request, command });

interface Shot {
  name: string;
  path: string;
  phone?: boolean;
  dark?: boolean;
  /** Also what is below the window. */
  whole?: boolean;
  ready?: (dashboard: Dashboard) => Promise<void>;
}

async function shoot({ name, path, phone = false, dark = false, whole = false, ready }: Shot): Promise<void> {
  if (only.length > 0 && !only.includes(name)) return;
  const options: PageOptions = {
    colorScheme: dark ? 'dark' : 'light',
    viewport: phone ? PHONE : DESKTOP,
    ...(phone ? { isMobile: true, hasTouch: true } : {}),
  };
  const dashboard =
    name === 'sign-in' || path.includes('#ticket=')
      ? await Dashboard.at(stage, path, options)
      : await Dashboard.signedIn(stage, path, options);
  dashboard.watch.allow(NETWORK_NOISE);
  await ready?.(dashboard);
  // Without a hover state, and after all transitions.
  await dashboard.page.mouse.move(0, 0);
  await sleep(400);
  const file = join(FOLDER, `${name}.png`);
  await dashboard.page.screenshot({ path: file, fullPage: whole, animations: 'disabled', caret: 'hide' });
  await dashboard.page.context().close();
}

try {
  mkdirSync(FOLDER, { recursive: true });
  const deploy = await scene('web-shop', scenes.shortDeploy, ['npm', 'run', 'deploy'], { labels: { branch: 'main' } });
  await deploy.ended();
  const failing = await scene('web-shop', scenes.failingTests, ['npm', 'test'], { labels: { branch: 'fix/tax' } });
  await failing.ended();
  const agent = await scene('tax-off-by-one', scenes.agent, ['coder', '--task', 'tax is off by one cent'], { format: 'jsonl' });
  await agent.ended();
  const claude = ['claude', '-p', '--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose'];
  const conversation = await scene('tax-off-by-one', taxAgent, claude, { format: 'claude', openStdin: true });
  const long = await scene('compile-all', manyLines(200_000), ['make', 'all'], { format: 'jsonl' });
  await long.ended();
  const nightly = await scene('nightly-import', scenes.nightlyImport, ['import', '--date', '2026-11-20'], {
    labels: { schedule: '02:00' },
  });
  const build = await scene('web-shop', scenes.build, ['npm', 'run', 'ci'], { labels: { branch: 'main', commit: '4f1c2e9' } });
  const waiting = await scene('web-shop', scenes.shortDeploy, ['npm', 'run', 'deploy'], { onBusy: 'queue' });
  const editor = await TerminalPeer.start(stage.real.client, 'tax-in-vim', scenes.EDITOR_SIZE, ['vim', 'src/checkout/tax.ts']);
  editor.output(scenes.editor);
  await Promise.all([nightly.running(), build.running()]);
  await sleep(4000);

  const live = async (dashboard: Dashboard): Promise<void> => {
    await dashboard.connection('Live');
    await dashboard.shows('order-');
  };
  const find = async (dashboard: Dashboard): Promise<void> => {
    await dashboard.shows('step 200000 of');
    await dashboard.search.fill('needle');
    await dashboard.finds(/\d of \d+ in the/);
    await dashboard.button('load all').click();
    await dashboard.finds(/^10 of 10$/);
    for (const place of ['step 20000 of', 'step 40000 of']) {
      await dashboard.search.press('Enter');
      await dashboard.shows(place);
    }
  };
  const typing = async (dashboard: Dashboard): Promise<void> => {
    await dashboard.page.getByText('tax.ts - web-shop').waitFor();
    await dashboard.page.getByLabel(/^Terminal: keys go/).focus();
  };
  const asked = (dashboard: Dashboard): Promise<void> =>
    dashboard.page.getByRole('group', { name: 'The agent asks for permission' }).waitFor();
  const fromTheTop = async (dashboard: Dashboard): Promise<void> => {
    await asked(dashboard);
    await dashboard.page.getByRole('log', { name: 'Messages' }).focus();
    await dashboard.page.keyboard.press('Home');
    await dashboard.page.getByText('I will look at how').waitFor();
  };
  const { ticket } = await stage.real.client.createTicket(editor.session, { execution: editor.id });
  const shots: Shot[] = [
    { name: 'terminal', path: editor.path, ready: typing },
    { name: 'terminal-dark', path: editor.path, dark: true, ready: typing },
    { name: 'terminal-phone-dark', path: editor.path, phone: true, dark: true, ready: typing },
    {
      name: 'terminal-read-only',
      path: `${editor.path}#ticket=${ticket}`,
      ready: (dashboard) => dashboard.page.getByText('tax.ts - web-shop').waitFor(),
    },
    { name: 'sign-in', path: '/', ready: (dashboard) => dashboard.button('Sign in').waitFor() },
    {
      name: 'sessions',
      path: '/',
      ready: (dashboard) => dashboard.page.getByRole('link', { name: 'compile-all', exact: true }).waitFor(),
    },
    {
      name: 'session-dark',
      path: '/sessions/web-shop',
      dark: true,
      ready: (dashboard) => dashboard.page.getByRole('list', { name: 'executions' }).getByRole('link').first().waitFor(),
    },
    { name: 'running', path: build.path, ready: live },
    { name: 'running-dark', path: build.path, dark: true, ready: live },
    { name: 'running-phone', path: build.path, phone: true, ready: live },
    {
      name: 'sessions-phone-dark',
      path: '/',
      phone: true,
      dark: true,
      ready: (dashboard) => dashboard.page.getByRole('link', { name: 'compile-all', exact: true }).waitFor(),
    },
    { name: 'failed', path: failing.path, ready: (dashboard) => dashboard.shows('AssertionError') },
    {
      name: 'failed-phone-dark',
      path: failing.path,
      phone: true,
      dark: true,
      ready: (dashboard) => dashboard.shows('AssertionError'),
    },
    {
      name: 'agent-dark',
      path: `${agent.path}?ts=since&wrap=1`,
      dark: true,
      ready: (dashboard) => dashboard.shows('All 17 tests'),
    },
    { name: 'question', path: conversation.path, ready: asked },
    { name: 'question-phone', path: conversation.path, phone: true, ready: asked },
    { name: 'conversation-dark', path: conversation.path, dark: true, ready: fromTheTop },
    { name: 'conversation-phone-dark', path: conversation.path, phone: true, dark: true, ready: fromTheTop },
    { name: 'search', path: long.path, ready: find },
    { name: 'queued', path: waiting.path, ready: (dashboard) => dashboard.page.getByText('Waiting for its turn').waitFor() },
    {
      name: 'interrupt',
      path: nightly.path,
      ready: async (dashboard) => {
        await dashboard.connection('Live');
        await dashboard.button('Interrupt').click();
        const reason = dashboard.page.getByLabel(/^Reason/);
        await reason.fill('wrong date, starting again with the 21st');
      },
    },
  ];
  for (const shot of shots) await shoot(shot);

  await stage.real.client.answer(conversation.session, conversation.id, { id: 'ask-1', option: 'allow' });
  await conversation.ended();
  await shoot({
    name: 'conversation-search',
    path: `${conversation.path}?q=test/checkout`,
    ready: (dashboard) => dashboard.finds(/^\d+ of \d+$/),
  });

  // The wrapper loses its connection to the coordinator; the job continues.
  stage.real.proxy.refuse();
  stage.real.proxy.cut();
  await shoot({
    name: 'disconnected-dark',
    path: nightly.path,
    dark: true,
    ready: (dashboard) => dashboard.page.getByText('The wrapper is disconnected').first().waitFor(),
  });
  stage.real.proxy.accept();
  await nightly.running();
  await stage.real.client.interrupt(nightly.session, nightly.id, { reason: 'wrong date' });
  await nightly.ended();
  await shoot({ name: 'interrupted', path: nightly.path, ready: (dashboard) => dashboard.status('Interrupted') });

  const pools = await playPools(stage);
  const runners = (dashboard: Dashboard): Promise<void> => dashboard.page.getByText('gpu-3', { exact: true }).waitFor();
  await shoot({ name: 'runners', path: '/runners', whole: true, ready: runners });
  await shoot({ name: 'runners-dark', path: '/runners', dark: true, ready: runners });
  await shoot({ name: 'runners-phone', path: '/runners', phone: true, ready: runners });
  await shoot({
    name: 'waiting',
    path: pools.waiting,
    ready: (dashboard) => dashboard.page.getByText('Waiting for a runner').first().waitFor(),
  });
  pools.close();

  let total = 0;
  for (const file of readdirSync(FOLDER)) {
    const { size } = statSync(join(FOLDER, file));
    total += size;
    process.stdout.write(`  ${file.padEnd(28)} ${String(Math.round(size / 1024)).padStart(5)} KiB\n`);
  }
  process.stdout.write(`  ${Math.round(total / 1024)} KiB in all\n`);
} finally {
  await stage.close();
}
