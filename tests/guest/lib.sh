# What guest scripts share: a line for each check, a total, and an exit code that says whether all passed.
# $UDEV (0 or 1) says whether udevd runs. The two tools: `peer` runs Debian's, `ours` Luksmith's, both by the name they serve.
set -u
. /share/job
passed=0 failed=0
pass() { passed=$((passed + 1)); echo "PASS $*"; }
fail() { failed=$((failed + 1)); echo "FAIL $*"; }

# check NAME COMMAND...: the command must succeed within a minute; what it printed is shown when it does not.
check() {
  local name=$1 out rc
  shift
  out=$(timeout 60 "$@" 2>&1) && { pass "$name"; return 0; }
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
peer() { local t=$1; shift; timeout 60 "/usr/sbin/$t" "$@"; }
ours() { local t=$1; shift; timeout 60 "/luksmith/$t" "$@"; }
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit
}
