# One job of a crowd. It writes everything to its truth files before it prints it, so that the log can
# be compared with them byte for byte.
#
#   sh job.sh SHAPE TRUTH GATE N
#
# TRUTH.out and TRUTH.err get what it prints, TRUTH.end the exit code just before it exits. It starts
# its work when the file GATE exists. It uses `sh` instead of Node, so that two hundred jobs at once
# stay small. A job that is not ended exits after ten minutes, with an exit code that no plan has.
shape=$1 truth=$2 gate=$3 n=$4
stop=0
: >"$truth.out"
: >"$truth.err"

case $shape in
  stubborn) trap '' INT; trap 'stop=1' TERM ;;
  deaf) trap '' INT TERM ;;
  *) trap 'stop=1' INT TERM ;;
esac

say() {
  printf '%s\n' "$1" >>"$truth.out"
  printf '%s\n' "$1"
}
complain() {
  printf '%s\n' "$1" >>"$truth.err"
  printf '%s\n' "$1" >&2
}
leave() {
  echo "$1" >"$truth.end"
  exit "$1"
}
# A shell reports a child that a signal ended. That message is not output of the job.
nap() {
  { sleep "$1"; } 2>/dev/null
}
told() {
  [ $stop = 0 ] || leave 130
}

waited=0
while [ ! -e "$gate" ]; do
  case $shape in
    silent) ;;
    jsonl) say "{\"waited\":$waited}" ;;
    *) say "waited $waited s" ;;
  esac
  nap 1
  told
  waited=$((waited + 1))
  [ $waited -lt 600 ] || leave 99
done

i=0
case $shape in
  silent)
    nap "$n"
    ;;
  chatty)
    # Thirty lines at a time, on both streams.
    while [ $i -lt "$n" ]; do
      k=0
      while [ $k -lt 25 ]; do
        say "line $i.$k of $n: größe 時計 🦀 and some more, so that it has the length of a line"
        k=$((k + 1))
      done
      while [ $k -lt 30 ]; do
        complain "warning $i.$k"
        k=$((k + 1))
      done
      told
      nap 0.1
      told
      i=$((i + 1))
    done
    ;;
  big)
    filler=$(head -c 150000 /dev/zero | tr '\0' x)
    while [ $i -lt "$n" ]; do
      say "$i é$filler"
      i=$((i + 1))
    done
    ;;
  jsonl)
    while [ $i -lt "$n" ]; do
      k=0
      while [ $k -lt 10 ]; do
        say "{\"n\":$i,\"k\":$k,\"text\":\"größe \\\"quoted\\\" \\\\ 🦀\"}"
        k=$((k + 1))
      done
      told
      nap 0.1
      told
      i=$((i + 1))
    done
    ;;
  stdin)
    while IFS= read -r line; do say "read: $line"; done
    ;;
  input)
    say 'what is your name?'
    IFS= read -r line
    told
    say "hello, $line"
    ;;
  exit)
    say 'this will fail'
    complain "with $n"
    leave "$n"
    ;;
  signal)
    say 'this will be killed'
    kill -KILL $$
    ;;
  steady)
    # N lines in a second, in five pieces, until the file GATE.stop exists.
    while [ ! -e "$gate.stop" ]; do
      k=0
      while [ $k -lt $((n / 5)) ]; do
        say "line $i.$k: größe 時計 🦀 and some more, so that it has the length of a line"
        k=$((k + 1))
      done
      nap 0.19
      told
      i=$((i + 1))
    done
    ;;
  endless | overtime | stubborn | deaf)
    while [ $i -lt 600 ]; do
      say "still here, $i"
      nap 1
      told
      i=$((i + 1))
    done
    leave 99
    ;;
esac
told
leave 0
