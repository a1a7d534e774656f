# What guest scripts share: a line for each check, a total, and an exit code that says whether all passed.
# $UDEV (0 or 1) says whether udevd runs. The two tools: `peer` runs Debian's, `ours` Luksmith's, both by the name they serve.
set -u
. /share/job
passed=0 failed=0
pass() { passed=$((passed + 1)); echo "PASS $*"; }
fail() { failed=$((failed + 1)); echo "FAIL $*"; }

# No command may hang: a limit that is far beyond what a slow machine needs, and no part of any check.
hang=300
# check NAME COMMAND...: the command must succeed; what it printed is shown when it does not.
check() {
  local name=$1 out rc
  shift
  out=$(timeout $hang "$@" 2>&1) && { pass "$name"; return 0; }
  rc=$?
  fail "$name: exit $rc: $* -> $out"
  return 1
}
# same NAME A B: two texts must be equal; both are shown when they are not.
same() {
  if [ "$2" = "$3" ]; then pass "$1"; else
    fail "$1:"
    # /dev/fd is udev's work.
    echo "$2" >/tmp/same.1 && echo "$3" >/tmp/same.2
    diff /tmp/same.1 /tmp/same.2 | sed 's/^/    /'
  fi
}
peer() { local t=$1; shift; timeout $hang "/usr/sbin/$t" "$@"; }
ours() { local t=$1; shift; timeout $hang "/luksmith/$t" "$@"; }
# within SECONDS COMMAND...: the command succeeds before that, asked again and again.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}
# loops_are LIST: the loop devices that are there. One that goes by itself goes a moment after its last user.
loops_are() {
  local loop found=
  for loop in /sys/block/*/loop; do
    [ ! -d "$loop" ] || { loop=${loop%/loop} && found+=" /dev/${loop##*/}"; }
  done
  [ "$found" = "${1:+ $1}" ]
}
# hold FILE: a process named sleep has it open, $holder, until `release`.
hold() {
  sleep 3600 <"$1" &
  holder=$!
  within $hang is_named_or_gone $holder sleep
  kill -0 $holder || fail "nobody holds $1"
}
is_named_or_gone() { [ "$(cat "/proc/$1/comm" 2>/dev/null || echo "$2")" = "$2" ]; }
release() { kill $holder; wait $holder 2>/dev/null; }
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit
}
