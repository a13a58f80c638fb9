#!/bin/sh
set -eu
: "${SMART_HOST:?the address of the smart host}" "${SMART_PORT:?the port of the smart host}"
sed -e "s/@SMART_HOST@/$SMART_HOST/" -e "s/@SMART_PORT@/$SMART_PORT/" /etc/exim4/exim4.conf > /etc/exim4/running.conf
chown root:Debian-exim /etc/exim4/running.conf
chmod 640 /etc/exim4/running.conf
mv /etc/exim4/running.conf /etc/exim4/exim4.conf
# Exim logs to syslog only here; a small syslogd brings that to standard output.
busybox syslogd -n -O - &
exec /usr/sbin/exim4 -bdf -q1s
