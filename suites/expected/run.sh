#!/bin/sh
# Puts `gauntlet probe` to one of the servers whose known failures stand beside this file.
#
#   suites/expected/run.sh aiosmtpd|postfix|opensmtpd|postfix-client [option of gauntlet probe]...
#   GAUNTLET=target/release/gauntlet suites/expected/run.sh postfix --json postfix.json
#
# Exit code: that of the probe; 70 when the server could not be started. mailin-embedded is run by the test
# compatibility/tests/probe_mailin.rs. `postfix-client` is Postfix's sending side: gauntlet probe --client.
#
# Nothing of the machine is changed. aiosmtpd goes into a virtual environment of its own. Postfix and OpenSMTPD (as root, on
# Debian 12) are installed from Debian's packages into an overlay of the root directory that is thrown away, in namespaces of
# their own for mounts, processes and the network: they can talk to nobody but the probe, and nothing stays when it ends.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
fail() { echo "run.sh: $*" >&2; exit 70; }

subject=${1:-}
case $subject in
aiosmtpd | postfix | opensmtpd | postfix-client) shift ;;
*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
gauntlet=$(command -v "${GAUNTLET:-gauntlet}") || fail "no \`${GAUNTLET:-gauntlet}\`: set GAUNTLET to the binary"
gauntlet=$(readlink -f "$gauntlet")
addresses='--from ann@probe.example --to bob@probe.example --to cat@probe.example'

# 127.0.0.1:PORT greets, within 30 s.
greets() {
    python3 - "$1" <<'PYTHON' || fail "$subject does not greet on port $1"
import socket, sys, time
until = time.monotonic() + 30
while time.monotonic() < until:
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as s:
            sys.exit(not s.recv(4).startswith(b"220"))
    except OSError:
        time.sleep(0.2)
sys.exit(1)
PYTHON
}

run_aiosmtpd() {
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check aiosmtpd==1.4.3
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # The handler that comes with it: a maildir. -n: do not become nobody.
    "$work/venv/bin/python" -m aiosmtpd -n -u -c aiosmtpd.handlers.Mailbox "$work/maildir" -l "127.0.0.1:$port" &
    server=$!
    greets "$port"
    # shellcheck disable=SC2086
    # It takes the recipient that is to be refused there, and adds no field whose form could be looked at.
    "$gauntlet" probe "127.0.0.1:$port" $addresses --maildir "$work/maildir" --expected "$here/aiosmtpd.toml" \
        --skip rfc5321/4.1.4/bad-rcpt-keeps-the-transaction \
        --skip rfc5321/4.4/received-form --skip rfc5321/4.4/received-names-the-client \
        --skip rfc5321/4.4/received-has-the-address --skip rfc5321/4.4/received-date-has-an-offset "$@"
}

# In the namespaces: $root is the overlay.
inside() {
    ip link set lo up
    mount -t tmpfs tmpfs "$work/layers"
    mkdir "$work/layers/upper" "$work/layers/work" "$work/layers/root"
    root=$work/layers/root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/layers/upper,workdir=$work/layers/work" "$root"
    mount --bind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mkdir -p "$root/packages"
    cp "$work"/packages/*.deb "$root/packages/"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # Names are looked up in files only; OpenSMTPD's own resolver reads `lookup`.
    rm -f "$root/etc/resolv.conf"
    echo 'lookup file' >"$root/etc/resolv.conf"
    sed -i 's/^hosts:.*/hosts: files/' "$root/etc/nsswitch.conf"
    printf '127.0.0.1 localhost mta.example.test\n' >"$root/etc/hosts"
    echo "postfix postfix/main_mailer_type select No configuration
opensmtpd opensmtpd/mailname string mta.example.test" | chroot "$root" debconf-set-selections
    DEBIAN_FRONTEND=noninteractive chroot "$root" sh -c 'dpkg -i /packages/*.deb' >"$work/install.log" 2>&1 ||
        { cat "$work/install.log" >&2; fail "the packages cannot be installed"; }
    case $subject in
    postfix | postfix-client)
        cp "$here/$subject.cf" "$root/etc/postfix/main.cf"
        chroot "$root" postconf -F '*/*/chroot = n'
        chroot "$root" postconf -M postlog/unix-dgram >/dev/null
        chroot "$root" postfix start >"$work/server.log" 2>&1 || { cat "$work/server.log" >&2; fail "Postfix does not start"; }
        ;;
    opensmtpd)
        cp "$here/opensmtpd.conf" "$root/etc/smtpd.conf"
        # It refuses to start when its spool is not exactly that.
        install -d -o root -g root -m 711 "$root/var/spool/smtpd"
        chroot "$root" /usr/sbin/smtpd -d >"$work/server.log" 2>&1 &
        ;;
    esac
    greets 25
    if [ "$subject" = postfix-client ]; then
        "$gauntlet" probe --client --listen 127.0.0.1:2600 --submit 127.0.0.1:25 --from ann@probe.example --to bob@probe.example \
            --retry-within 90s --expected "$here/$subject.toml" "$@"
        return
    fi
    skip=
    # It refuses a second EHLO or HELO (rfc5321/4.1.4/second-ehlo), so that these cannot begin.
    [ "$subject" != opensmtpd ] ||
        skip='--skip rfc5321/4.1.1.1/helo-resets --skip rfc5321/4.1.4/ehlo-resets --skip rfc2034/4/none-with-ehlo'
    # shellcheck disable=SC2086
    "$gauntlet" probe 127.0.0.1:25 $addresses --sink 127.0.0.1:2600 --expected "$here/$subject.toml" $skip "$@"
}

if [ "${RUN_INSIDE:-}" ]; then
    work=$RUN_INSIDE
    inside "$@"
    exit
fi

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
if [ "$subject" = aiosmtpd ]; then
    run_aiosmtpd "$@"
    exit
fi
[ "$(id -u)" = 0 ] || fail "$subject is installed and started as root, in namespaces of its own"
[ "$(. /etc/os-release && echo "$ID$VERSION_ID")" = debian12 ] || fail "the expected results are those of Debian 12's $subject"
mkdir "$work/packages" "$work/layers"
packages=$subject
case $subject in postfix | postfix-client) packages="postfix cpio ssl-cert" ;; esac
(cd "$work/packages" && apt-get download $packages >/dev/null 2>&1) || fail "the packages cannot be had: apt-get update"
RUN_INSIDE=$work unshare --mount --net --pid --fork --kill-child "$0" "$subject" "$@"
