# Makes the headers of test-vectors/ with Debian's cryptsetup. A kernel is needed: keyslot ciphers such as serpent are the
# kernel's. Run by test-vectors/generate, which keeps what this leaves in /share/out/vectors. Arguments: the names of the
# vectors to make (all of them when there are none).
. /share/guest/lib.sh
out=/share/out/vectors
mkdir -p $out /tmp/v && cd /tmp/v || exit 1
: >$out/lines
only=" $* "
refused=()

# The cheapest costs that the peer accepts.
fast=(--pbkdf pbkdf2 --pbkdf-force-iterations 1000)
argon=(--pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1)
small=(--luks2-metadata-size 16k --luks2-keyslots-size 1m)

secret_file() { # SLOT: the file that holds what opens it
  echo "secret-$1"
}
run() { # a command of the vector: remembered, and run
  commands+=("$*")
  timeout 120 "$@" </dev/null >log 2>&1
}
set_secret() { # SLOT TEXT (printf escapes allowed)
  printf "$2" >"$(secret_file "$1")"
  secrets+=("$1")
}
# vector NAME TEXT OPTION...: format with TEXT in slot 0 (or the slot that --key-slot names).
vector() {
  name=$1 commands=() secrets=() unbound=() ignored=() detached= usable=1
  local text=$2 slot=0 previous= o
  case $only in "  " | *" $name "*) ;; *) usable= && return ;; esac
  shift 2
  for o in "$@"; do
    [ "$previous" != --key-slot ] || slot=$o
    [ "$o" != --header ] || detached=1
    previous=$o
  done
  rm -f secret-* ./*.img
  image=$name.img
  set_secret "$slot" "$text"
  if [ -n "$detached" ]; then
    truncate -s 1M data.img
    run cryptsetup luksFormat -q "$@" data.img "$(secret_file "$slot")"
  else
    truncate -s 20M "$image"
    run cryptsetup luksFormat -q "$@" "$image" "$(secret_file "$slot")"
  fi || { usable= && refused+=("$name: $(tail -n 1 log)"); }
}
step() { # a further command on the header, which stands where @ does
  [ -n "$usable" ] || return 0
  run "${@/#@/$image}" || { usable= && refused+=("$name: $*: $(tail -n 1 log)"); }
}
add() { # SLOT TEXT OPTION...: add a keyslot
  local slot=$1 first=${secrets[0]-}
  [ -n "$usable" ] || return 0
  set_secret "$slot" "$2"
  shift 2
  run cryptsetup luksAddKey -q --key-slot "$slot" --key-file "$(secret_file "$first")" "$@" "$image" "$(secret_file "$slot")" ||
    { usable= && refused+=("$name: add $slot: $(tail -n 1 log)"); }
}
add_unbound() { # SLOT TEXT OPTION...
  [ -n "$usable" ] || return 0
  add "$1" "$2" --unbound "${@:3}"
  unset 'secrets[-1]'
  unbound+=("$1")
}
token() { # ID JSON
  [ -n "$usable" ] || return 0
  printf '%s' "$2" >token.json
  run cryptsetup token import --token-id "$1" --json-file token.json "$image" || usable=
}

quote() { # a JSON string; what is quoted here holds neither control characters nor non-ASCII text
  local s=${1//\\/\\\\}
  printf '"%s"' "${s//\"/\\\"}"
}
secret_json() { # SLOT: how the test gives it
  local f
  f=$(secret_file "$1")
  printf '{"slot": %s, "secret_hex": "%s"' "$1" "$(xxd -p "$f" | tr -d '\n')"
}
key_digest() { # SLOT: of the volume key that this slot holds
  rm -f vk
  timeout 60 cryptsetup luksDump -q --dump-volume-key --volume-key-file vk --key-slot "$1" --key-file "$(secret_file "$1")" \
    "$image" </dev/null >log 2>&1 || return 1
  sha256sum <vk | cut -c1-64
}
unbound_digest() {
  rm -f vk
  timeout 60 cryptsetup luksDump -q --unbound --volume-key-file vk --key-slot "$1" --key-file "$(secret_file "$1")" "$image" \
    </dev/null >log 2>&1 || return 1
  sha256sum <vk | cut -c1-64
}
# The bytes up to the end of the last area in use; what follows is nothing.
used_bytes() {
  cryptsetup luksDump "$image" | gawk '
    function grow(end) { if (end > last) last = end }
    /^Version:/ { version = $2 }
    /^MK bits:/ { key = $3 / 8 }
    /^Payload offset:/ { grow(1) }
    /ENABLED/ { on = 1 } /DISABLED/ { on = 0 }
    /Key material offset:/ && on { split($0, p, ":"); grow(p[2] * 512 + key * 4000) }
    /^Metadata area:/ { grow(2 * $3) }
    /Area offset:/ { split($2, p, ":"); at = p[2] }
    /Area length:/ { split($2, p, ":"); grow(at + p[2]) }
    END { if (version == 1) grow(4096); printf "%d", last }'
}
# Checks what was made, and writes it down.
keep() {
  [ -n "$usable" ] || return 0
  local slot digest= d list= u= c
  for slot in "${secrets[@]}"; do
    case " ${ignored[*]-} " in
    *" $slot "*) # opens when it is named; the peer dumps no key from it
      timeout 60 cryptsetup open --test-passphrase --key-slot "$slot" --key-file "$(secret_file "$slot")" "$image" </dev/null \
        >log 2>&1 || { fail "$name: ignored slot $slot: $(cat log)"; return; }
      list+=", $(secret_json "$slot"), \"only_when_named\": true}"
      continue
      ;;
    esac
    if ! d=$(key_digest "$slot"); then fail "$name: slot $slot: $(cat log)"; return; fi
    [ -z "$digest" ] || [ "$digest" = "$d" ] || { fail "$name: slot $slot holds another key"; return; }
    digest=$d
    list+="${list:+, }$(secret_json "$slot")}"
  done
  for slot in ${unbound[@]+"${unbound[@]}"}; do
    if ! d=$(unbound_digest "$slot"); then fail "$name: unbound $slot: $(cat log)"; return; fi
    u+="${u:+, }$(secret_json "$slot"), \"key_sha256\": \"$d\"}"
  done
  c=$(printf '%s; ' "${commands[@]}")
  cryptsetup luksDump "$image" >"$out/$name.dump"
  head -c "$(used_bytes)" "$image" | gzip -9 -n >"$out/$name.gz" 2>/dev/null ||
    head -c "$(used_bytes)" "$image" | gzip -9 >"$out/$name.gz"
  printf '{"name": %s, "file": "%s.gz", "dump": "%s.dump", "size": %s, "detached": %s, "volume_key_sha256": "%s", "secrets": [%s], "unbound": [%s], "command": %s}\n' \
    "$(quote "$name")" "$name" "$name" "$(stat -c %s "$image")" "$([ -n "$detached" ] && echo true || echo false)" \
    "$digest" "$list" "$u" "$(quote "${c%; }")" >>$out/lines
  pass "$name ($(stat -c %s "$out/$name.gz") bytes)"
}
simple() { vector "$@"; keep; }

# The smallest volume key there is, where its cipher is not the point: an area of 4000 stripes does not compress.
cheap=(-c cast5-cbc-plain64 -s 40)

# --- LUKS1: ciphers and modes (the keyslot is encrypted like the data) -------------------------------------------------
l1=(--type luks1 --pbkdf-force-iterations 1000)
simple luks1-default 'correct horse battery staple' "${l1[@]}"
while read -r cipher bits; do
  simple "luks1-$(echo "$cipher-$bits" | tr ':,()' '----')" "pass $cipher" "${l1[@]}" -c "$cipher" -s "$bits"
done <<'LIST'
aes-xts-plain64 256
aes-cbc-essiv:sha256 128
aes-cbc-plain 128
aes-cbc-plain64be 128
aes-cbc-null 128
aes-cbc-benbi 128
aes-ecb 128
serpent-xts-plain64 256
serpent-cbc-essiv:sha256 128
serpent-ecb 128
twofish-cbc-essiv:sha256 128
twofish-ecb 128
camellia-cbc-plain 128
camellia-ecb 128
cast5-cbc-plain64 40
blowfish-cbc-plain64 64
aria-cbc-plain64 128
sm4-cbc-plain64 128
capi:cbc(aes)-plain64 128
xchacha12,aes-adiantum-plain64 256
LIST

# --- hashes, in both versions; small keys keep them small --------------------------------------------------------------
hashes='sha1 sha224 sha256 sha384 sha512 sha3-224 sha3-256 sha3-384 sha3-512 ripemd160 whirlpool blake2b-512 blake2s-256 sm3
  stribog256 stribog512'
for h in $hashes; do
  simple "luks1-hash-$h" "hashed with $h" "${l1[@]}" -h "$h" "${cheap[@]}"
  simple "luks2-hash-$h" "hashed with $h" --type luks2 "${fast[@]}" "${small[@]}" -h "$h" "${cheap[@]}"
done

# --- LUKS1: slots, offsets, key files ----------------------------------------------------------------------------------
vector luks1-eight-slots 'slot zero' "${l1[@]}" "${cheap[@]}"
for i in 1 2 3 4 5 6 7; do add $i "this is slot $i" --pbkdf-force-iterations $((1000 + i)); done
keep
vector luks1-slots-0-1-3 'first' "${l1[@]}" "${cheap[@]}"
add 1 'key\nfile\0with every\377kind of byte\n' --pbkdf-force-iterations 1500
add 3 'last' --pbkdf-force-iterations 2000
keep
vector luks1-slot-2-only 'not in slot zero' "${l1[@]}" "${cheap[@]}" --key-slot 2
keep
vector luks1-removed-slot 'stays' "${l1[@]}" "${cheap[@]}"
add 1 'goes'
step cryptsetup luksKillSlot -q --key-file secret-0 @ 1
secrets=(0)
keep
simple luks1-detached 'header apart' "${l1[@]}" "${cheap[@]}" --header luks1-detached.img
simple luks1-align-payload 'aligned' "${l1[@]}" "${cheap[@]}" --align-payload 8192
simple luks1-uuid 'a uuid' "${l1[@]}" "${cheap[@]}" --uuid 12345678-9abc-def0-1234-56789abcdef0
simple luks1-empty-passphrase '' "${l1[@]}" "${cheap[@]}"
simple luks1-long-passphrase "$(printf 'x%.0s' {1..512})" "${l1[@]}" "${cheap[@]}"

# --- LUKS2: key derivation ---------------------------------------------------------------------------------------------
simple luks2-default 'correct horse battery staple' --type luks2 "${argon[@]}"
simple luks2-argon2id-p1 'argon' --type luks2 --pbkdf argon2id "${argon[@]}" "${small[@]}" -c aes-cbc-plain64 -s 128
simple luks2-argon2i-p1 'argon' --type luks2 --pbkdf argon2i "${argon[@]}" "${small[@]}" "${cheap[@]}"
simple luks2-argon2id-p2 'argon' --type luks2 --pbkdf argon2id --pbkdf-force-iterations 5 --pbkdf-memory 1024 --pbkdf-parallel 2 \
  "${small[@]}" "${cheap[@]}"
simple luks2-argon2i-p4 'argon' --type luks2 --pbkdf argon2i --pbkdf-force-iterations 4 --pbkdf-memory 4099 --pbkdf-parallel 2 \
  "${small[@]}" "${cheap[@]}"
simple luks2-argon2id-odd-memory 'argon' --type luks2 --pbkdf argon2id --pbkdf-force-iterations 7 --pbkdf-memory 37 --pbkdf-parallel 1 \
  "${small[@]}" "${cheap[@]}"
simple luks2-pbkdf2-sha512 'pbkdf' --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 12345 -h sha512 "${small[@]}" "${cheap[@]}"

# --- LUKS2: ciphers, sector sizes, keyslot ciphers ---------------------------------------------------------------------
while read -r cipher bits sector; do
  simple "luks2-$(echo "$cipher-$bits-$sector" | tr ':,()' '----')" "pass $cipher" --type luks2 "${fast[@]}" "${small[@]}" \
    -c "$cipher" -s "$bits" --sector-size "$sector"
done <<'LIST'
aes-cbc-essiv:sha256 128 2048
aes-cbc-plain64 128 4096
serpent-cbc-plain64 128 1024
cast5-cbc-plain64 40 1024
xchacha12,aes-adiantum-plain64 256 4096
capi:cbc(aes)-plain64 128 4096
LIST
while read -r cipher bits; do
  simple "luks2-keyslot-$(echo "$cipher-$bits" | tr : -)" "area $cipher" --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}" \
    --keyslot-cipher "$cipher" --keyslot-key-size "$bits"
done <<'LIST'
aes-xts-plain64 512
aes-xts-plain64 256
aes-xts-plain 256
aes-xts-plain64be 256
aes-cbc-essiv:sha256 256
aes-cbc-plain64 192
aes-ecb 128
aes-lrw-benbi 256
aes-lrw-benbi 384
serpent-xts-plain64 512
serpent-xts-plain64 256
serpent-cbc-essiv:sha256 256
serpent-cbc-plain 192
serpent-lrw-benbi 256
twofish-xts-plain64 512
twofish-xts-plain64 256
twofish-cbc-plain64 192
twofish-lrw-benbi 256
camellia-xts-plain64 512
camellia-xts-plain64 256
camellia-cbc-essiv:sha256 128
camellia-lrw-benbi 384
cast6-xts-plain64 384
cast6-lrw-benbi 256
blowfish-cbc-plain64 128
cast5-ecb 128
des3_ede-cbc-plain64 192
LIST

# --- LUKS2: slots, priorities, unbound, tokens, labels, sizes ----------------------------------------------------------
vector luks2-many-slots 'slot zero' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
add 1 'slot one' --pbkdf argon2id "${argon[@]}"
add 2 'slot\ntwo\0' --pbkdf argon2i "${argon[@]}"
add 9 'slot nine' "${fast[@]}" -h sha512
add 31 'slot thirty-one' "${fast[@]}" --keyslot-cipher serpent-xts-plain64 --keyslot-key-size 256
keep
vector luks2-priorities 'preferred' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
add 1 'normal' "${fast[@]}"
add 2 'ignored' "${fast[@]}"
step cryptsetup config --key-slot 0 --priority prefer @
step cryptsetup config --key-slot 2 --priority ignore @
ignored=(2)
keep
vector luks2-unbound 'bound' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
add_unbound 1 'loose' --key-size 64 "${fast[@]}"
add_unbound 4 'loose too' --key-size 128 --pbkdf argon2id "${argon[@]}"
keep
simple luks2-slot-31-only 'the last slot' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}" --key-slot 31
vector luks2-tokens 'with tokens' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
add 1 'another' "${fast[@]}"
step cryptsetup token add --key-description desc:one --token-id 0 --key-slot 0 @
token 3 '{"type":"clevis","keyslots":["1"],"jwe":{"protected":"abc","ciphertext":"x y"}}'
token 5 '{"type":"nothing-assigned","keyslots":[]}'
keep
simple luks2-label-subsystem 'labelled' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}" --label 'My disk' --subsystem 'back up' \
  --uuid abcdefab-cdef-abcd-efab-cdefabcdefab
while read -r metadata keyslots; do
  simple "luks2-metadata-$metadata-keyslots-$keyslots" "sizes $metadata" --type luks2 "${fast[@]}" "${cheap[@]}" \
    --luks2-metadata-size "$metadata" --luks2-keyslots-size "$keyslots"
done <<'LIST'
16k 128k
32k 512k
64k 1m
128k 1m
256k 2m
512k 2m
1m 4m
2m 2m
4m 8m
LIST
simple luks2-detached 'header apart' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}" --header luks2-detached.img
simple luks2-detached-argon2id 'header apart' --type luks2 "${argon[@]}" "${small[@]}" "${cheap[@]}" --header luks2-detached-argon2id.img
simple luks2-offset 'at an offset' --type luks2 "${fast[@]}" "${cheap[@]}" --offset 16384
simple luks2-empty-passphrase '' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
simple luks2-binary-key-file '\0\n\377\0key\n\n' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
vector luks2-flags 'persistent flags' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
step cryptsetup open --allow-discards --perf-no_read_workqueue --persistent --key-file secret-0 @ flags
step cryptsetup close flags
keep
vector luks2-reencrypted 'after a reencryption' --type luks2 "${fast[@]}" "${small[@]}" "${cheap[@]}"
step cryptsetup reencrypt -q --force-offline-reencrypt "${fast[@]}" --key-file secret-0 --resilience none @
keep
vector luks2-converted 'was LUKS1' "${l1[@]}" "${cheap[@]}"
step cryptsetup convert -q --type luks2 @
keep

for r in "${refused[@]}"; do echo "REFUSED by the peer: $r"; done
finish
