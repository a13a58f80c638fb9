#!/bin/sh
# Runs an unpacked Postfix in the foreground, in a mount namespace of its own: nothing is installed, and nothing is left.
#
#   postfix.sh ROOT WORK LISTEN NEXT-HOP [parameter=value]…
#
# ROOT: where `dpkg -x postfix_*.deb ROOT` unpacked it. WORK: an empty directory on the disk that is measured; queue, data and
# log are there. LISTEN: address:port of smtpd. NEXT-HOP: address:port to which everything is relayed. Needs root.
set -eu
if [ "${INSIDE:-}" != yes ]; then
    exec env INSIDE=yes unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi
root=$1 work=$2 listen=$3 next=$4
shift 4
mkdir -p "$work/etc" "$work/etc-work" "$work/spool" "$work/lib"
mount -t overlay overlay -o "lowerdir=$root/etc:/etc,upperdir=$work/etc,workdir=$work/etc-work" /etc
mount -t overlay overlay -o "lowerdir=$root/usr:/usr" /usr
grep -q ^postfix: /etc/passwd || echo "postfix:x:2525:2525::$work:/usr/sbin/nologin" >>/etc/passwd
grep -q ^postfix: /etc/group || echo "postfix:x:2525:" >>/etc/group
grep -q ^postdrop: /etc/group || echo "postdrop:x:2526:" >>/etc/group
chown 2525:2525 "$work/lib"
chmod 755 "$work" "$work/spool"
sed -e "s/^smtp  *inet.*/$listen inet n - n - - smtpd/" /usr/share/postfix/master.cf.dist >/etc/postfix/master.cf
cat >/etc/postfix/main.cf <<EOF
compatibility_level = 3.6
queue_directory = $work/spool
data_directory = $work/lib
maillog_file = $work/lib/log
maillog_file_prefixes = $work
myhostname = mta.example.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = all
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
relayhost = [${next%:*}]:${next##*:}
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_client_connection_count_limit = 0
EOF
postconf -F '*/*/chroot = n'
for setting in "$@"; do postconf -e "$setting"; done
# Not exec: this shell is the namespace's first process, and takes everything along when it is killed.
/usr/sbin/postfix start-fg &
wait
