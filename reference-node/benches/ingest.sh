#!/bin/bash
# Sustained ingest beside Postfix, in one run on one machine (docs/speed.md).
#
#   reference-node/benches/ingest.sh [--messages N] [--sessions "10 50"] [--rounds N] [--size OCTETS] [--work DIR]
#                                    [--node "COMMAND"] [--postfix ROOT] [--only nodes|postfix]
#
# Load is Postfix's smtp-source, the next hop its smtp-sink; ROOT is where Debian's package was unpacked:
#   apt-get download postfix && dpkg -x postfix_*.deb ROOT
# Subjects: two reference nodes, each with its database on disk, message and copy durable before the ack; and Postfix, which
# makes one copy. Both relay everything to the sink while the load goes on. Postfix needs root (mount namespace). WORK must be
# on the disk that is to be measured. One line of figures a round:
#   subject, sessions, acked/s, seconds; when all had reached the sink; CPU time (user+sys) of the subject for a message, which
# a machine that is busy with something else does not spoil as it does the others (cgroup v1 and root; else `-`)
set -euo pipefail
messages=10000 sessions="10 50" rounds=3 size=4096 work=$(pwd)/target/ingest only=
node="$(pwd)/target/release/reference-node" root=
while [ $# -gt 0 ]; do
    case $1 in
        --messages) messages=$2 ;; --sessions) sessions=$2 ;; --rounds) rounds=$2 ;; --size) size=$2 ;;
        --work) work=$2 ;; --node) node=$2 ;; --postfix) root=$2 ;; --only) only=$2 ;;
        *) echo "unknown option $1; the head of $0 lists them" >&2; exit 64 ;;
    esac
    shift 2
done
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "$root" ]; then
    export LD_LIBRARY_PATH=$root/usr/lib/postfix
    PATH=$root/usr/sbin:$PATH
fi
for tool in smtp-source smtp-sink; do
    command -v $tool >/dev/null || { echo "no $tool: give --postfix ROOT (see the head of $0)" >&2; exit 69; }
done
sink=127.0.0.1:2626 started=()
stop() {
    for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    started=()
    while [ -n "$group" ] && [ -s "$group/cgroup.procs" ]; do sleep 0.1; done
}
finish() {
    stop
    while [ -d "$group" ] && ! rmdir "$group" 2>/dev/null; do sleep 0.1; done
}
trap finish EXIT
answers() {
    for _ in $(seq 100); do
        if { exec 3<>"/dev/tcp/127.0.0.1/$1" && read -r -t 5 line <&3; } 2>/dev/null; then
            exec 3>&-
            return
        fi
        sleep 0.1
    done
    echo "nothing answers on port $1" >&2
    exit 69
}
start_sink() {
    # It wants another user when root runs it.
    local user=()
    [ "$(id -u)" -ne 0 ] || user=(-u nobody)
    (cd / && exec smtp-sink "${user[@]}" -c "$sink" 4000) >"$work/sink.log" 2>&1 &
    started+=($!)
}
sunk() { tr '\r' '\n' <"$work/sink.log" | grep -o 'mesg=[0-9]*' | tail -1 | cut -d= -f2; }
# What is started by `subject` is accounted for together.
group=/sys/fs/cgroup/cpuacct/ingest.$$
mkdir "$group" 2>/dev/null || group=
subject() {
    {
        [ -z "$group" ] || echo "$BASHPID" >"$group/cgroup.procs"
        exec "$@"
    } &
    started+=($!)
}
cpu_ns() { if [ -n "$group" ]; then cat "$group/cpuacct.usage"; else echo 0; fi; }
write_node() { # name port other-name other-port
    cat >"$work/$1.toml" <<EOF
name = "$1"
data = "$work/$1"
listen = "127.0.0.1:$2"
http = "127.0.0.1:1$2"
secret = "ingest"
[transport]
RejectMessageOnShadowFailure = true
# As many as Postfix has (default_destination_concurrency_limit).
[send-connector]
SmtpMaxSessionsPerNextHop = 20
[[server]]
name = "$1"
address = "127.0.0.1:$2"
site = "s1"
[[server]]
name = "$3"
address = "127.0.0.1:$4"
site = "s1"
[[route]]
domain = "*"
smart-host = "$sink"
EOF
}
load() { # subject sessions port
    local begin end busy
    busy=$(cpu_ns) begin=$(date +%s.%N)
    # A session lasts as long as the receive connectors allow; each carries many messages (-d).
    smtp-source -d -s "$2" -m "$messages" -l "$size" -f ann@x.example -t bob@y.example "127.0.0.1:$3"
    end=$(date +%s.%N)
    for _ in $(seq 600); do
        [ "$(sunk)" -ge "$messages" ] 2>/dev/null && break
        sleep 0.1
    done
    awk -v s="$1" -v n="$2" -v m="$messages" -v b="$begin" -v e="$end" -v d="$(date +%s.%N)" -v t="$(($(cpu_ns) - busy))" \
        -v k="$(sunk)" 'BEGIN { printf "%-8s %3d sessions %7.0f acked/s %6.2f s; all %d delivered after %6.2f s; %s us of CPU a message\n",
                                s, n, m / (e - b), e - b, k, d - b, t ? int(t / m / 1000) : "-" }'
}
for _ in $(seq "$rounds"); do
    for n in $sessions; do
        if [ "$only" != postfix ]; then
            rm -rf "$work" && mkdir -p "$work"
            start_sink
            write_node n1 2641 n2 2642
            write_node n2 2642 n1 2641
            for name in n1 n2; do
                subject $node --config "$work/$name.toml" >"$work/$name.log" 2>&1
            done
            answers 2641
            answers 2642
            load nodes "$n" 2641
            [ -z "${KEEP:-}" ] || read -r _
            stop
        fi
        if [ "$only" != nodes ] && [ -n "$root" ]; then
            rm -rf "$work" && mkdir -p "$work"
            start_sink
            subject "$here/postfix.sh" "$root" "$work/postfix" 127.0.0.1:2643 "$sink" >"$work/postfix.log" 2>&1
            answers 2643
            load postfix "$n" 2643
            stop
        fi
    done
done
