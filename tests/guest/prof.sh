. /share/guest/lib.sh
cp /share/guest/matrix.sh /tmp/m.sh
PS4='+$EPOCHREALTIME ' ; export PS4
export BASH_XTRACEFD=9
bash -x /tmp/m.sh luks2-4096 9>/share/out/trace
