# Replays the transcript of the newest cryptsetup (transcript.txt beside this) with Luksmith under its name, and compares each
# text and exit code. What is random or counts changes (salts, digests, keys, the epoch, the version) is left out of the comparison.
# Arguments: none. Lines of the transcript: `$ command`, what it printed on either stream, `[exit N]`, an empty line.
. /share/guest/lib.sh
cd /root
export PATH=/luksmith:$PATH
printf 'key' >k; printf 'second' >w; printf 'nope' >bad; : >none
truncate -s 24M v2 v1 p
modprobe loop

# What the transcript's volumes went through before the dumps.
prepare() {
  cryptsetup luksAddKey -q --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1 -d k v2 w &&
    cryptsetup config --priority prefer --key-slot 1 v2 &&
    cryptsetup token add --key-description desc v2
}
# Text that tells one volume from another, and lines of nothing but bytes, go; so does the usage text, which has its own test.
plain() {
  sed -E '/^Usage: /,/<action-specific>$/c (usage)
    s/^cryptsetup [0-9][^ ]* /cryptsetup VERSION /; s/temporary-cryptsetup-[0-9]+-[0-9]+ \([0-9:]+\)/temporary-cryptsetup/
    s/((Salt|Digest|MK digest|MK salt|MK dump): *\t?).*/\1/; s/^(Epoch: *\t).*/\1/; s/^[ \t]+([0-9a-f]{2} )+$//' | sed -e '/^$/d' -e '/^It is held by: /d'
}
replay() { # COMMAND EXPECTED-TEXT EXPECTED-CODE
  local got rc
  got=$(timeout $hang bash -c "$1" </dev/null 2>&1) && rc=0 || rc=$?
  same "$1" "$(plain <<<"$2"; echo "[exit $3]")" "$(plain <<<"$got"; echo "[exit $rc]")"
}
command='' text='' prepared=''
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
  '$ '*) command=${line#'$ '} text='' ;;
  '[exit '*)
    # The first dump is of volumes that had been worked on.
    if [ -z "$prepared" ] && [[ $command = *'luksDump v2' ]]; then
      prepared=1
      prepare || fail "prepare v2"
    fi
    # A holder, for the mappings that the transcript found busy.
    case $command in
    *'close x1') exec 9</dev/mapper/x1 ;;
    *'close x') exec 9<&- ;;
    esac
    code=${line#'[exit '}
    # The transcript was taken on a terminal, where alone a token ends with a new line.
    [[ $command != *'token export'* ]] || text=${text/$'}\n'/\}}
    replay "$command" "$text" "${code%]}"
    ;;
  '#'*) ;;
  *) [ -z "$command" ] || text+=$line$'\n' ;;
  esac
done </share/guest/transcript.txt
exec 9<&-
finish
