#!/bin/sh
set -eu
: "${SMART_HOST:?the address of the smart host}" "${SMART_PORT:?the port of the smart host}"
sed -i -e "s/@SMART_HOST@/$SMART_HOST/" -e "s/@SMART_PORT@/$SMART_PORT/" /etc/smtpd.conf
# smtpd starts only with a spool of root's that nobody else can list.
chown root:root /var/spool/smtpd
chmod 711 /var/spool/smtpd
# Its resolver does not read nsswitch.conf; without this every connection waits for a look-up before the banner.
echo 'lookup file' > /etc/resolv.conf
exec /usr/sbin/smtpd -d
