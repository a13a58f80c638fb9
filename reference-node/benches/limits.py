#!/usr/bin/env python3
"""Memory and start of reference nodes, measured (docs/speed.md).

    limits.py sessions|message|queue WORK [--node BINARY] [--count N]

sessions: resident memory of a node with N (1000) sessions that have said EHLO and wait.
message:  peak resident memory of both nodes of a pair that take one message of 100 MiB and copy it.
queue:    a node whose queue holds N (1000000) messages of 4 KiB for a next hop that is down: time from its start to its first
          accepted message, and its memory. Fills the queue with the example fill-queue, which must be built.
WORK must be on the disk that is measured, and is removed before.
"""

import argparse
import os
import shutil
import socket
import subprocess
import time

PORTS = {"n1": 2651, "n2": 2652}
DEAD_HOP = "127.0.0.1:2659"


def write_config(work, name, shadow):
    servers = "".join(
        f'[[server]]\nname = "{n}"\naddress = "127.0.0.1:{p}"\nsite = "s1"\n' for n, p in PORTS.items()
    )
    path = os.path.join(work, f"{name}.toml")
    with open(path, "w") as file:
        file.write(
            f'name = "{name}"\ndata = "{work}/{name}"\nlisten = "127.0.0.1:{PORTS[name]}"\nsecret = "limits"\n'
            f"[transport]\nShadowRedundancyEnabled = {str(shadow).lower()}\n"
            f"RejectMessageOnShadowFailure = {str(shadow).lower()}\n"
            f"{servers}[[route]]\ndomain = \"*\"\nsmart-host = \"{DEAD_HOP}\"\n"
        )
    return path


def start(node, config):
    return subprocess.Popen([node, "--config", config], stdout=subprocess.PIPE)


def memory(process, field):
    """MiB."""
    with open(f"/proc/{process.pid}/status") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu(process):
    """Seconds, user and system."""
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(port):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.01)


def reply(stream):
    octets = b""
    while True:
        octets += stream.recv(4096)
        lines = octets.split(b"\r\n")
        if len(lines) > 1 and lines[-1] == b"" and lines[-2][3:4] == b" ":
            return lines[-2].decode()


def say(stream, line):
    stream.sendall(line.encode() + b"\r\n")
    return reply(stream)


def send(port, content):
    stream = connect(port)
    reply(stream)
    for line in ["EHLO x", "MAIL FROM:<ann@x.example>", "RCPT TO:<bob@y.example>", "DATA"]:
        say(stream, line)
    stream.sendall(content + b"\r\n.\r\n")
    answer = reply(stream)
    assert answer.startswith("250"), answer
    say(stream, "QUIT")


def sessions(args):
    node = start(args.node, write_config(args.work, "n1", False))
    node.stdout.readline()
    held = []
    before = memory(node, "VmRSS")
    for _ in range(args.count or 1000):
        stream = connect(PORTS["n1"])
        reply(stream)
        say(stream, "EHLO x")
        held.append(stream)
    after = memory(node, "VmRSS")
    each = (after - before) * 1024 / len(held)
    print(f"{len(held)} idle sessions: {after - before:.1f} MiB ({each:.1f} KiB each) above {before:.1f} MiB")
    return [node]


def message(args):
    nodes = [start(args.node, write_config(args.work, name, True)) for name in PORTS]
    for node in nodes:
        node.stdout.readline()
    send(PORTS["n1"], b"Subject: small\r\n\r\nx")
    before = [memory(node, "VmHWM") for node in nodes]
    line = b"A line of seventy-eight octets and its end, which stands here so many times.\r\n"
    content = b"Subject: large\r\n\r\n" + line * (100 * 1024 * 1024 // len(line) - 20)
    began = time.time()
    send(PORTS["n1"], content)
    took = time.time() - began
    for name, node, low in zip(PORTS, nodes, before):
        peak = memory(node, "VmHWM")
        print(f"{name}: peak {peak:.0f} MiB, {low:.0f} MiB before; the message has {len(content) / 2**20:.0f} MiB")
    print(f"accepted, with its copy, after {took:.1f} s")
    return nodes


def queue(args):
    count = args.count or 1_000_000
    config = write_config(args.work, "n1", False)
    fill = os.path.join(os.path.dirname(args.node), "examples", "fill-queue")
    began = time.time()
    subprocess.run([fill, f"{args.work}/n1", str(count), "4096"], check=True)
    size = os.path.getsize(f"{args.work}/n1/transport.redb") / 2**30
    print(f"filled in {time.time() - began:.0f} s: {size:.2f} GiB on disk")
    for again in ["first start", "second start"]:
        began = time.time()
        node = start(args.node, config)
        send(PORTS["n1"], b"Subject: the first\r\n\r\nx")
        took = time.time() - began
        time.sleep(2)
        print(
            f"{again}: first message accepted after {took:.2f} s ({cpu(node):.2f} s of CPU two seconds later); "
            f"resident {memory(node, 'VmRSS'):.0f} MiB, peak {memory(node, 'VmHWM'):.0f} MiB"
        )
        node.kill()
        node.wait()
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sessions", "message", "queue"])
    parser.add_argument("work")
    parser.add_argument("--node", default="target/release/reference-node")
    parser.add_argument("--count", type=int)
    args = parser.parse_args()
    args.work, args.node = os.path.abspath(args.work), os.path.abspath(args.node)
    shutil.rmtree(args.work, ignore_errors=True)
    os.makedirs(args.work)
    nodes = []
    try:
        nodes = {"sessions": sessions, "message": message, "queue": queue}[args.what](args)
    finally:
        for node in nodes:
            node.kill()
            node.wait()
        shutil.rmtree(args.work, ignore_errors=True)


main()
