# What `open` asks of the kernel, seen by strace: one read of the header for each copy, no key in any write but the ioctl that
# loads the table and the call that puts it into the keyring, and no wait without an end. For LUKS1 and LUKS2, the key in the
# keyring and in the table.
. /share/guest/lib.sh
modprobe loop
printf 'passphrase with a canary' >k
truncate -s 24M img
loop=$(losetup --show -f img)
hexes() { xxd -p -c 1000 "$1" | sed 's/../\\x&/g'; }

trace() { # NAME FORMAT-OPTIONS -- OPEN-OPTIONS
  local name=$1 format=() open=() log=trace.log
  shift
  while [ "$1" != -- ]; do format+=("$1"); shift; done
  shift
  open=("$@")
  peer cryptsetup luksFormat -q --pbkdf-force-iterations 1000 "${format[@]}" $loop k
  peer cryptsetup luksDump -q --dump-volume-key --volume-key-file vk -d k $loop >/dev/null
  # Everything, each string in hexadecimal and in full.
  timeout $hang strace -f -xx -s 1000000 -o $log /luksmith/cryptsetup open -d k "${open[@]}" $loop vol
  same "$name: it opens" 0 $?
  peer dmsetup info vol >/dev/null || fail "$name: no mapping"
  reads=$(grep -cE 'p?read(v|64|v2)?\([0-9]+, .*x4c\\x55\\x4b\\x53\\xba\\xbe\\x00' $log)
  same "$name: reads of the first copy" 1 "$reads"
  second=$(grep -cE 'p?read(v|64|v2)?\([0-9]+, .*x53\\x4b\\x55\\x4c\\xba\\xbe\\x00' $log)
  case $name in luks1*) same "$name: there is no second copy" 0 "$second" ;; *) same "$name: reads of the second copy" 1 "$second" ;; esac
  # A write is any call that hands bytes out; the start of the key is as good as all of it, raw or in digits of either case.
  head -c 16 vk >start
  xxd -p -c 1000 start | tr -d '\n' >digits
  tr a-f A-F <digits >capitals
  for secret in start digits capitals k; do
    found=$(grep -F "$(hexes $secret)" $log | grep -vE '^[0-9]+ +(ioctl|add_key|keyctl|read|pread64)\(' | head -c 300)
    same "$name: no call hands out the $secret" "" "$found"
  done
  endless=$(grep -E 'flock\([0-9]+, LOCK_(SH|EX)\)|semop\(|poll\(.*, -1\)|epoll_wait\(.*, -1\)|ppoll\(.*NULL, NULL|select\(.*NULL\)|pause\(|sigsuspend\(|wait4\(|waitid\(|msgrcv\(|F_SETLKW' $log | head -3)
  same "$name: no wait without an end" "" "$endless"
  peer cryptsetup close vol || fail "$name: close"
  rm -f vk start digits capitals
}
trace "luks2, keyring" --type luks2 --pbkdf pbkdf2 --
trace "luks2, table" --type luks2 --pbkdf pbkdf2 -- --disable-keyring
trace "luks1" --type luks1 --
# The test sees a key where there is one: a program that writes it.
peer cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 $loop k
peer cryptsetup luksDump -q --dump-volume-key --volume-key-file vk -d k $loop >/dev/null
head -c 16 vk >start
strace -f -xx -s 1000000 -o trace.log dd if=vk of=copy bs=64 2>/dev/null
found=$(grep -F "$(hexes start)" trace.log | grep -cE '^[0-9]+ +write\(')
same "the test finds a key that is written" 1 "$found"
losetup -d $loop
finish
