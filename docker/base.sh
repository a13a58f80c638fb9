#!/bin/sh
# Makes a base image for the Dockerfiles of the targets where no registry is to be had:
#
#     docker/base.sh [NAME]          # default: gauntlet-base:bookworm
#
# then `gauntlet run … --image-base gauntlet-base:bookworm`, or by hand
# `docker build --build-arg BASE=gauntlet-base:bookworm docker/postfix`.
#
# It needs root (debootstrap makes device nodes), the Debian package `debootstrap`, `docker`, and a
# Debian mirror; it takes about a minute. GAUNTLET_SUITE (default: bookworm) and GAUNTLET_MIRROR
# choose another release or mirror. The image gets this machine's apt sources when it runs the same
# release of Debian, so that a mirror or proxy set here also serves `apt-get` inside `docker build`.
set -eu

name=${1:-gauntlet-base:bookworm}
suite=${GAUNTLET_SUITE:-bookworm}
mirror=${GAUNTLET_MIRROR:-}

fail() {
    echo "base.sh: $*" >&2
    exit 69
}

[ "$(id -u)" = 0 ] || fail "debootstrap makes device nodes: run this as root"
command -v debootstrap >/dev/null || fail "no debootstrap here: apt-get install debootstrap"
docker version >/dev/null 2>&1 || fail "no answer from the container engine: is Docker running?"

same_release=
if [ -r /etc/os-release ] && [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ]; then
    same_release=yes
fi

# The mirror that this machine itself uses, if it is of the same release.
if [ -z "$mirror" ] && [ -n "$same_release" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 2>/dev/null | head -n 1)
fi
mirror=${mirror:-http://deb.debian.org/debian}

root=$(mktemp -d "${TMPDIR:-/tmp}/gauntlet-base.XXXXXX")
trap 'rm -rf "$root"' EXIT INT TERM

debootstrap --variant=minbase --include=ca-certificates,procps,iproute2,netbase "$suite" "$root" "$mirror" >&2

if [ -n "$same_release" ]; then
    # Debian's own sources, and how this machine reaches them. Sources of other publishers stay out: an image is to have
    # what Debian has.
    for file in sources.list sources.list.d/debian.sources; do
        [ -e "/etc/apt/$file" ] || continue
        rm -f "$root/etc/apt/sources.list"
        cp -L "/etc/apt/$file" "$root/etc/apt/$file"
    done
    apt-config dump | grep -E '^Acquire::(https?|ftp)?(::)?.*(Proxy|Verify|Ca[Ii]nfo)' \
        > "$root/etc/apt/apt.conf.d/90gauntlet-mirror" || true
    # Certificate authorities that this machine trusts beyond the usual ones.
    if [ -d /usr/local/share/ca-certificates ]; then
        cp -aL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
        chroot "$root" update-ca-certificates >/dev/null 2>&1
    fi
fi

# No package may start its service while an image is being built.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/debootstrap

tar -C "$root" --numeric-owner --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -c . \
    | docker import --change 'CMD ["/bin/sh"]' - "$name" >/dev/null
echo "$name"
