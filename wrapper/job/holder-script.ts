/**
 * The holder's program: a POSIX shell script between the wrapper and the job. holder.ts writes it
 * into the holder's folder, starts it, and describes its files.
 *
 *   HS1  Only names that begin with `_hf_` are assigned: an assignment to a variable of the job's
 *        environment would change it.
 *   HS2  The job runs in the foreground. An asynchronous command would ignore SIGINT.
 *   HS3  Signals are caught, not ignored: an ignored signal is inherited by the job, a caught one
 *        is reset by `exec`.
 *   HS4  The holder keeps a reading and a writing end of each output pipe. So the job gets neither
 *        SIGPIPE nor, when the wrapper is gone, a pipe that was emptied. When the job has ended it
 *        closes its writing ends, so that a reader sees the end of the output.
 *   HS5  What it writes overwrites files of a fixed length: that needs no space on the disk.
 *   HS6  All files are opened at the start. If the folder is removed, they are reached by
 *        /proc/<holder>/fd.
 *   HS7  A shell reports the death of a foreground command on its stderr, which here is the file
 *        `notice`. That distinguishes a death by signal 9 from `exit 137`. What the shells and perl
 *        warn of when they start, such as an unknown locale, stands before the line `started` and
 *        does not count. That command must not be redirected: dash reports a death to where the
 *        stderr of its command goes.
 *   HS8  Its own programs have absolute paths: PATH is the job's, and may be empty.
 *   HS9  dash drops variables whose names it could not assign (`a.b`, `BASH_FUNC_f%%`). When there
 *        are such names, perl executes the job with the environment that the holder was given.
 *   HS10 In a terminal the job has one process more above it: `script` makes the terminal and copies
 *        between it and the pipes, and a shell in the terminal waits for the job. So a death by
 *        signal 9 and `exit 137` are told apart here too. That shell is the leader of the
 *        terminal's session and counts as the job's process; it notes the end in `code`, and
 *        writes what it reports to `notice`, which it has as descriptor 7.
 *
 * File descriptors have one digit, because dash knows no others:
 *
 *     1  eof (stdin `open` only)     4  err, reading      7  end
 *     2  notice                      5  events            8  out, writing
 *     3  out, reading                6  release           9  err, writing
 */

import { constants } from 'node:os';
import { join } from 'node:path';
import type { TerminalSize } from '../../protocol/index.ts';
import { programPath } from './programs.ts';

/** The kernel's killer of processes prefers the job to the wrapper, by half of the memory. */
const OOM_SCORE_ADJ = 500;

/** `trap` fails for a number that the system does not have, so the list is that of this system. */
function caughtSignals(): string {
  const uncatchable = new Set([constants.signals.SIGKILL, constants.signals.SIGSTOP, constants.signals.SIGCHLD]);
  const named = Array.from({ length: 31 }, (_, index) => index + 1).filter((number) => !uncatchable.has(number));
  const realTime = process.platform === 'linux' ? Array.from({ length: 31 }, (_, index) => index + 34) : [];
  return [...named, ...realTime].join(' ');
}

/** As one word of the shell. */
const word = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const program = (name: string): string => word(programPath(name) ?? name);

const RAISE_OOM_SCORE = `\
{ read -r _hf_adj </proc/self/oom_score_adj && [ "$_hf_adj" -lt ${OOM_SCORE_ADJ} ] &&
    echo ${OOM_SCORE_ADJ} >/proc/self/oom_score_adj; } 2>/dev/null`;

const NOTE_JOB = `\
_hf_stat=
  { read -r _hf_stat </proc/$$/stat; } 2>/dev/null
  printf '%s %s\\n' "$$" "$_hf_stat" 1<>"$_hf_dir/job"
  printf 'job %s\\n' "$$" >&5`;

/** HS9. */
const EXECUTE_IN_PERL = `\
($dir, $parent) = splice(@ARGV, 0, 2);
open($file, "<", "/proc/$parent/environ") && do { local $/; %ENV = map { split(/=/, $_, 2) } split(/\\0/, <$file>) };
close($file);
exec({ $ARGV[0] } @ARGV);
print STDERR "$ARGV[0]: $!\\n";
open($file, "+<", "$dir/failed") && print $file "x";
exit(126);`;

const restored = (name: string, { [name]: value }: NodeJS.ProcessEnv): string =>
  value === undefined ? `unset ${name}` : `${name}=${word(value)}`;

/**
 * What the shell in the terminal executes, with /bin/sh as `$SHELL`: `job.sh` in the holder's
 * folder. It gives the job its own `SHELL` and `LC_ALL` back.
 */
export function terminalScript(
  folder: string,
  { cols, rows }: TerminalSize,
  executor: 'sh' | 'perl',
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): string {
  const args = [holderProgram(folder), 'terminal', folder, String(rows), String(cols), executor, ...command];
  return `\
unset _HF_JOB
${restored('SHELL', env)}
${restored('LC_ALL', env)}
exec /bin/sh ${args.map(word).join(' ')}
`;
}

export const holderProgram = (folder: string): string => join(folder, 'holder.sh');
/** With what the command line of a holder, and of its keeper, begins. */
export const holderCommand = (folder: string): string => `/bin/sh ${holderProgram(folder)} hold `;
export const terminalProgram = (folder: string): string => join(folder, 'job.sh');

/**
 * Arguments: `hold`, the folder, `open` or `given` (stdin), `8` or `9` (where stderr goes),
 * `setsid`, `perl` or `terminal` (how the job gets a session of its own), `sh` or `perl` (what
 * executes it, HS9), then the command.
 */
export const holderScript = (): string => `\
if [ "$1" = job ]; then
  echo started >&2
  shift
  _hf_dir=$1 _hf_stdin=$2 _hf_err=$3
  _hf_exec=$5
  shift 5
  if [ "$_hf_stdin" = open ]; then exec <"$_hf_dir/in"; fi
  # Runs only when exec fails.
  trap 'echo x 1<>"$_hf_dir/failed"' EXIT
  ${RAISE_OOM_SCORE}
  ${NOTE_JOB}
  exec 3<&- 4<&- 6<&- 7<&-
  if [ "$_hf_exec" = perl ]; then
    exec ${program('env')} -i ${program('perl')} -e ${word(EXECUTE_IN_PERL)} "$_hf_dir" "$PPID" "$@" \
      5>&- 1>&8 2>&"$_hf_err" 8>&- 9>&-
  fi
  exec "$@" 5>&- 1>&8 2>&"$_hf_err" 8>&- 9>&-
fi
if [ "$1" = script ]; then
  # HS10. Only the shell that script starts needs these. bash warns of an unknown locale.
  SHELL=/bin/sh LC_ALL=C _HF_JOB=$2/job.sh
  export SHELL LC_ALL _HF_JOB
  exec ${program('script')} -qefc 'exec /bin/sh "$_HF_JOB" 2>&7' -E always /dev/null \
    <"$2/in" 7>&2 >&8 2>&9 3<&- 4<&- 6<&- 8>&- 9>&-
fi
if [ "$1" = terminal ]; then
  trap : ${caughtSignals()}
  _hf_dir=$2
  ${program('stty')} rows "$3" cols "$4"
  ${RAISE_OOM_SCORE}
  ${NOTE_JOB}
  shift 4
  /bin/sh "$0" run "$_hf_dir" "$@"
  _hf_code=$?
  printf '%s.\\n' "$_hf_code" 1<>"$_hf_dir/code"
  exit "$_hf_code"
fi
if [ "$1" = run ]; then
  echo started >&2
  _hf_dir=$2 _hf_exec=$3
  shift 3
  # Runs only when exec fails.
  trap 'echo x 1<>"$_hf_dir/failed"' EXIT
  if [ "$_hf_exec" = perl ]; then
    read -r _hf_holder <"$_hf_dir/holder"
    exec ${program('env')} -i ${program('perl')} -e ${word(EXECUTE_IN_PERL)} "$_hf_dir" "$_hf_holder" "$@" 2>&1 5>&- 7>&-
  fi
  exec "$@" 2>&1 5>&- 7>&-
fi
trap : ${caughtSignals()}
shift
printf '%s\\n' "$$" 1<>"$1/holder"
if [ "$2" = open ]; then
  # The keeper: it keeps the writing end of the job's stdin until it reads a line, and first copies
  # the file that was given.
  exec 1<>"$1/eof" 3<&0
  (
    exec 4<&1 >"$1/in"
    ${program('cat')} <&3
    exec 3<&-
    echo x 1<>"$1/fed"
    read -r _hf_line <&4
  ) &
fi
# The first opening of each pipe is for both directions, because the others would block.
exec 8<>"$1/out" 3<"$1/out" 8>"$1/out" 9<>"$1/err" 4<"$1/err" 9>"$1/err" 5<>"$1/events" 6<>"$1/release" 7<>"$1/end"
case $4 in
terminal) /bin/sh "$0" script "$1" ;;
setsid) ${program('setsid')} /bin/sh "$0" job "$@" ;;
*) ${program('perl')} -e 'use POSIX; POSIX::setsid(); exec {$ARGV[0]} @ARGV' /bin/sh "$0" job "$@" ;;
esac
_hf_code=$?
if [ "$4" = terminal ]; then
  _hf_line=
  { read -r _hf_line <"$1/code"; } 2>/dev/null
  case $_hf_line in
  *.) _hf_code=\${_hf_line%.} ;;
  # The shell in the terminal was killed, as the job was.
  *) if [ "$_hf_code" -gt 128 ]; then printf 'started\\nkilled\\n' >&2; fi ;;
  esac
fi
printf '%s.\\n' "$_hf_code" >&7
printf 'end %s\\n' "$_hf_code" >&5
exec 8>&- 9>&-
if [ "$2" = open ]; then echo; fi
# A signal interrupts the read.
until read -r _hf_line <&6; do :; done
# What descendants of the job still print is read, so that it does not end them.
${program('cat')} <&3 >/dev/null &
exec ${program('cat')} <&4 >/dev/null
`;
