#!/bin/busybox sh
# Process 1 of a guest. It loads drivers, mounts the disks by their serial numbers, brings up the network, starts the
# program, and then does what the host says on the control port, one line at a time: `NUMBER COMMAND [ARGUMENT]`, answered
# with `NUMBER ok [TEXT]` or `NUMBER failed TEXT`.
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /root /config /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
hostname guest
# Only whether the kernel runs is to be known.
grep -q gauntlet.probe /proc/cmdline && poweroff -f

# The order of this list matters: a wrong one loads nothing, and says little.
while read -r module; do
    insmod "/modules/$module" || echo "guest: $module was not loaded"
done </modules/order

# The disk with that serial number.
disk() {
    for block in /sys/block/vd*; do
        [ "$(cat "$block/serial")" = "$1" ] && echo "/dev/${block##*/}" && return
    done
    echo "guest: there is no disk $1" >&2
    return 1
}

tar -xf "$(disk config)" -C /config
. /config/settings
mount -o ro -t ext4 "$(disk root)" /root || echo "guest: the root disk cannot be mounted"
mount -t ext4 "$(disk data)" /root/data || echo "guest: the data disk cannot be mounted"
mount --bind /dev /root/dev
mount --bind /proc /root/proc
mount --bind /config /root/config

ip link set lo up
ip link set eth0 up || echo "guest: there is no network card"
ip addr add "$ADDRESS" dev eth0
if [ -n "$FORWARD" ]; then
    # FORWARD is `PORT:PORT`: what comes from outside on the first goes to the second on loopback.
    nc -ll -p "${FORWARD%:*}" -e nc 127.0.0.1 "${FORWARD#*:}" &
fi

# What the program appends to this file is not on the disk: it is seen outside at once.
if [ -n "$OUTPUT" ]; then
    ln -sf "$(echo /dev/vport*p2)" "/root/data/$OUTPUT"
fi

start_program() {
    # shellcheck disable=SC2086
    (exec 3<&-; exec chroot /root $COMMAND) &
    program=$!
}

kill_program() {
    [ -n "$program" ] || return 0
    kill "-$1" "$program" 2>/dev/null
    wait "$program" 2>/dev/null
    program=
}

power_off() {
    kill_program TERM
    umount /root/data && sync
    echo "guest: off"
    poweroff -f
}

# The power button, as a hypervisor presses it.
mkdir -p /etc/acpi/PWRF
printf '#!/bin/sh\necho "$$" >/run/button\nkill -USR1 1\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
trap power_off USR1
acpid -l /run/acpid.log 2>/dev/null

obey() {
    case $1 in
    start) kill_program KILL; start_program; said="$program" ;;
    kill) kill_program KILL; said= ;;
    alive) kill -0 "$program" 2>/dev/null && said=yes || said=no ;;
    boot-id) said=$(cat /proc/sys/kernel/random/boot_id) ;;
    uptime) read -r said _ </proc/uptime ;;
    clock) said=$(adjtimex | awk '/time.tv_sec/ { s = $2 } /time.tv_usec/ { printf "%d.%06d", s, $2 }') ;;
    set-clock) said=$(date -s "@$2" 2>&1) || return 1 ;;
    memory) said=$(awk '/MemTotal|MemAvailable/ { printf "%s ", $2 }' /proc/meminfo) ;;
    remember) echo "$2" >/run/remembered; said= ;;
    recall) said=$(cat /run/remembered 2>/dev/null) || said= ;;
    write) echo "$3" >"/root/data/$2"; said= ;;
    read) said=$(cat "/root/data/$2" 2>/dev/null) || said= ;;
    remove) rm -f "/root/data/$2" && sync; said= ;;
    sync) sync; said= ;;
    off) power_off ;;
    *) said="there is no command $1"; return 1 ;;
    esac
}

[ "$AUTOSTART" = no ] || start_program

control=$(echo /dev/vport*p1)
while :; do
    exec 3<>"$control"
    while read -r number command <&3; do
        # shellcheck disable=SC2086
        if obey $command; then echo "$number ok $said" >&3; else echo "$number failed $said" >&3; fi
    done
    # Nobody is there to listen, as while the host is being changed.
    exec 3<&-
    usleep 50000
done
