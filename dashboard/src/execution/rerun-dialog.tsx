/** Starts a run again: everything that is stored of a run can be changed before it is started. */

import { useEffect, useState } from 'preact/hooks';
import { startTermsOf } from '../../../protocol/index.ts';
import { useApp } from '../app/context.ts';
import { executionPath } from '../app/router.ts';
import { Button, Dialog } from '../ui/index.ts';
import { formatCommand, formatPairs, parseCommand, parsePairs } from './command-line.ts';
import { Field } from './components.tsx';
import { RERUN_LABEL } from './details.tsx';
import { useTask } from './hooks.ts';
import { errorText } from './messages.ts';
import type { Execution, OnBusy, StartRequest } from './model.ts';

interface Props {
  execution: Execution;
  open: boolean;
  onClose(): void;
}

interface Form {
  command: string;
  cwd: string;
  labels: string;
  env: string;
  stdin: string;
}

const createForm = ({ command, cwd, labels, id }: Execution): Form => ({
  command: formatCommand(command),
  cwd: cwd ?? '',
  labels: formatPairs({ ...labels, [RERUN_LABEL]: id }),
  env: '',
  stdin: '',
});

export type RerunErrors = Partial<Record<keyof Form, string>>;

/** The request that the form describes, or its error. Pure. */
export function rerunRequest(
  execution: Execution,
  form: Form,
  onBusy: OnBusy,
): { ok: true; request: StartRequest } | { ok: false; errors: RerunErrors } {
  const command = parseCommand(form.command);
  const labels = parsePairs(form.labels);
  const env = parsePairs(form.env);
  if (!command.ok || !labels.ok || !env.ok) {
    return {
      ok: false,
      errors: {
        ...(command.ok ? {} : { command: command.error }),
        ...(labels.ok ? {} : { labels: labels.error }),
        ...(env.ok ? {} : { env: env.error }),
      },
    };
  }
  const { cwd: _, ...terms } = startTermsOf(execution);
  return {
    ok: true,
    request: {
      ...terms,
      command: command.value,
      onBusy,
      labels: labels.value,
      ...(form.cwd.trim() === '' ? {} : { cwd: form.cwd.trim() }),
      ...(Object.keys(env.value).length === 0 ? {} : { env: env.value }),
      ...(form.stdin === '' ? {} : { stdin: form.stdin }),
    },
  };
}

export function RerunDialog({ execution, open, onClose }: Props) {
  const { client, navigate, toast } = useApp();
  const [form, setForm] = useState(() => createForm(execution));
  const [errors, setErrors] = useState<RerunErrors>({});
  const [active, setActive] = useState<string | null>(null);
  const [onBusy, setOnBusy] = useState<OnBusy>('queue');
  const work = useTask();
  const { session } = execution;

  // biome-ignore lint/correctness/useExhaustiveDependencies: opening the dialog resets it; a change of the run meanwhile must not undo typing.
  useEffect(() => {
    if (!open) return;
    setForm(createForm(execution));
    setErrors({});
    setOnBusy('queue');
    work.clear();
    const control = new AbortController();
    // Whether to offer the choice. If this is unknown, the answer to the start decides.
    client.session(session, { signal: control.signal }).then(
      (summary) => setActive(summary.active),
      () => setActive(null),
    );
    return () => control.abort();
  }, [open]);

  const start = () => {
    const made = rerunRequest(execution, form, active === null ? 'reject' : onBusy);
    setErrors(made.ok ? {} : made.errors);
    if (!made.ok) return;
    void work.run(async (signal) => {
      try {
        const { execution: started } = await client.start(session, made.request, { signal });
        onClose();
        toast(started.status === 'queued' ? 'Queued.' : 'Started.');
        navigate(executionPath(session, started.id));
      } catch (error) {
        const { code, facts } = (error ?? {}) as { code?: unknown; facts?: { activeExecutionId?: unknown } };
        if (code === 'execution_in_progress') setActive(String(facts?.activeExecutionId ?? 'another run'));
        throw error;
      }
    });
  };

  const field = (name: keyof Form) => ({
    id: `rerun-${name}`,
    value: form[name],
    spellcheck: false,
    autocomplete: 'off',
    'aria-describedby': `rerun-${name}-hint rerun-${name}-error`,
    'aria-invalid': errors[name] !== undefined,
    onInput: (input: { currentTarget: { value: string } }) => setForm({ ...form, [name]: input.currentTarget.value }),
  });

  return (
    <Dialog
      title="Run again"
      open={open}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" disabled={work.busy} onClick={start}>
            {work.busy ? 'Starting…' : active !== null && onBusy === 'queue' ? 'Queue it' : 'Start'}
          </Button>
        </>
      }
    >
      <form
        class="exec-form"
        onSubmit={(submit) => {
          submit.preventDefault();
          start();
        }}
      >
        <Field id="rerun-command" label="Command" hint="Quoted as in a shell, and run without one." error={errors.command ?? null}>
          <textarea autofocus rows={Math.min(8, Math.max(2, form.command.split('\n').length))} {...field('command')} />
        </Field>
        <Field id="rerun-cwd" label="Directory" hint="Empty: the folder in which the runner works.">
          <input type="text" {...field('cwd')} />
        </Field>
        <Field
          id="rerun-env"
          label="Environment"
          hint="NAME=value, one a line. The values of the first run were not kept: enter again what the command needs."
          error={errors.env ?? null}
        >
          <textarea rows={2} {...field('env')} />
        </Field>
        <Field id="rerun-labels" label="Labels" hint="name=value, one a line." error={errors.labels ?? null}>
          <textarea rows={Math.min(5, Math.max(2, form.labels.split('\n').length))} {...field('labels')} />
        </Field>
        {execution.openStdin ? null : (
          <Field
            id="rerun-stdin"
            label="Text for stdin"
            hint="The stdin of the first run was not kept, nor was the address of its callback."
          >
            <textarea rows={1} {...field('stdin')} />
          </Field>
        )}
        {active === null ? null : (
          <fieldset class="exec-field">
            <legend>Another run is active: {active}</legend>
            <label class="exec-choice">
              <input type="radio" name="rerun-busy" checked={onBusy === 'queue'} onChange={() => setOnBusy('queue')} />
              Wait in the queue
            </label>
            <label class="exec-choice">
              <input type="radio" name="rerun-busy" checked={onBusy === 'replace'} onChange={() => setOnBusy('replace')} />
              Interrupt it and go next
            </label>
          </fieldset>
        )}
        {work.error ? (
          <p class="exec-error" role="alert">
            {errorText(work.error)}
          </p>
        ) : null}
      </form>
    </Dialog>
  );
}
