/** How a machine joins a pool: docs/runners.md in two commands. */

import { DEFAULT_POOL } from '../../../protocol/index.ts';
import { CopyButton } from '../ui/index.ts';
import { isLoopback, joinCommand, keyCommand } from './describe.ts';

/** The tenant has no pool yet. */
export function FirstMachine() {
  return (
    <>
      <h2>No runners yet</h2>
      <p>A pool begins with its first key, and a machine joins it with one command. Nothing has to reach the machine.</p>
      <Steps />
      <p class="muted">The runner appears here by itself.</p>
    </>
  );
}

/** The same below the pools, closed. */
export function JoinMachine() {
  return (
    <details class="join">
      <summary>Join another machine</summary>
      <div class="join-steps">
        <Steps />
      </div>
    </details>
  );
}

function Steps() {
  const { origin } = window.location;
  return (
    <>
      <ol class="steps">
        <li>
          <p>Where you have an API key, make a runner key. It is shown only then.</p>
          <Command
            text={`export HOLDFAST_URL=${origin} HOLDFAST_API_KEY=hf_…\n${keyCommand(DEFAULT_POOL)}`}
            label="Copy the commands that make a key"
          />
        </li>
        <li>
          <p>Copy the file to the machine, and start the runner there.</p>
          <Command text={joinCommand(origin, DEFAULT_POOL)} label="Copy the command that joins a machine" />
        </li>
      </ol>
      <p class="muted">
        <code>--pool NAME</code> in both commands is for another pool, and <code>--label gpu=a100</code> in the second for what a
        start may require.
      </p>
      <LoopbackNote />
    </>
  );
}

function LoopbackNote() {
  if (!isLoopback(window.location.hostname)) return null;
  return (
    <p class="muted">
      Only this machine can reach this address. <code>holdfast dev</code> and <code>npm start</code> print the commands that start a
      runner on another machine through ssh.
    </p>
  );
}

/** For a pool without a connected runner. */
export function PoolJoin({ pool }: { pool: string }) {
  return (
    <>
      <p>No runner is connected. Start one on a machine that has a key of this pool:</p>
      <Command text={joinCommand(window.location.origin, pool)} label={`Copy the command that joins the pool ${pool}`} />
      <p class="muted">
        A new key: <code>{keyCommand(pool)}</code>
      </p>
    </>
  );
}

function Command({ text, label }: { text: string; label: string }) {
  return (
    <div class="command">
      <pre class="sample">
        <code>{text}</code>
      </pre>
      <CopyButton text={text} label={label} />
    </div>
  );
}
