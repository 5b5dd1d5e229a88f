/**
 * A reporter of vitest that sends the progress of the tests to the process that started vitest,
 * next to the reporter for people. test-run.ts listens.
 *
 * vitest waits until each message is written, so none is lost when vitest ends.
 */

import { relative } from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';

export type Progress =
  | { kind: 'file_queued'; file: string }
  | { kind: 'test_begun' | 'test_passed' | 'test_skipped'; file: string; test: string }
  | { kind: 'test_failed'; file: string; test: string; message: string }
  | { kind: 'file_ended'; file: string; project: string; passed: boolean; tests: number; ms: number; error: string | null }
  | { kind: 'run_ended'; unhandled: string[] };

const tell = (progress: Progress): Promise<void> =>
  new Promise((done) => (process.send ? process.send(progress, () => done()) : done()));

const fileOf = ({ moduleId }: TestModule): string => relative(process.cwd(), moduleId);
const messageOf = (errors: readonly SerializedError[] | undefined): string => errors?.[0]?.message ?? '';

export default class ProgressReporter implements Reporter {
  onTestModuleQueued(module: TestModule): Promise<void> {
    return tell({ kind: 'file_queued', file: fileOf(module) });
  }

  onTestCaseReady(test: TestCase): Promise<void> {
    return tell({ kind: 'test_begun', file: fileOf(test.module), test: test.fullName });
  }

  onTestCaseResult(test: TestCase): Promise<void> {
    const { state, errors } = test.result();
    const about = { file: fileOf(test.module), test: test.fullName };
    return state === 'failed'
      ? tell({ kind: 'test_failed', ...about, message: messageOf(errors) })
      : tell({ kind: state === 'passed' ? 'test_passed' : 'test_skipped', ...about });
  }

  onTestModuleEnd(module: TestModule): Promise<void> {
    const errors = [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => suite.errors())];
    return tell({
      kind: 'file_ended',
      file: fileOf(module),
      project: module.project.name,
      passed: module.ok(),
      tests: [...module.children.allTests()].length,
      ms: Math.round(module.diagnostic().duration),
      error: errors.length > 0 ? messageOf(errors) : null,
    });
  }

  onTestRunEnd(_modules: readonly TestModule[], unhandled: readonly SerializedError[]): Promise<void> {
    return tell({ kind: 'run_ended', unhandled: unhandled.map(({ message }) => message) });
  }
}
