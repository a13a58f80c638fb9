#!/bin/sh
set -eu
postconf -e "relayhost = [${SMART_HOST:?the address of the smart host}]:${SMART_PORT:?the port of the smart host}"
# Postfix looks through its queue as the user postfix when it starts, and logs what it finds; it must be able to open its log.
chmod 0666 /proc/self/fd/1
exec /usr/sbin/postfix start-fg
