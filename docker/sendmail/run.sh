#!/bin/sh
set -eu
: "${SMART_HOST:?the address of the smart host}" "${SMART_PORT:?the port of the smart host}"
m4 -D "SMART_ADDRESS=$SMART_HOST" -D "SMART_PORT=$SMART_PORT" /etc/mail/sendmail.mc > /etc/mail/sendmail.cf
# Sendmail logs to syslog only; a small syslogd brings that to standard output.
busybox syslogd -n -O - &
mkdir -p /var/run/sendmail/mta /var/lib/sendmail
chown root:root /var/run/sendmail/mta
# It refuses to use a queue that does not belong to the user that it runs as.
chown root:root /var/spool/mqueue
chmod 700 /var/spool/mqueue
exec /usr/sbin/sendmail-mta -bD -q1s
