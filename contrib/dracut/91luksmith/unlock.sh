#!/bin/sh
# Unlocks the volumes once, while dracut waits for the root. No shell where that fails: the machine starts again.
[ -e /run/luksmith.done ] && return 0
: >/run/luksmith.done
modprobe -aq dm_crypt loop
if ! luksmith unlock </dev/console >/dev/console 2>&1; then
  echo "luksmith: the volumes are not unlocked; starting again in 30 seconds" >/dev/console
  sleep 30
  echo b >/proc/sysrq-trigger
  # A kernel without SysRq goes on from here, and may not come to the generator's own shell.
  reboot -f
  while :; do sleep 60; done
fi
