# SPDX-License-Identifier: Apache-2.0
"""What the hosts in the machine say to each other: talk.py MODE ARGUMENT..., one JSON value on standard output."""
import base64
import errno
import hashlib
import json
import os
import socket
import struct
import sys
import threading

UDPLITE = 136
SO_NO_CHECK = 11


def serve(port):
    """Echoes TCP, after a line that says who calls, and UDP."""
    def echo(connection, peer):
        with connection:
            connection.sendall(f"{peer[0]}\n".encode())
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def datagrams(protocol):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, protocol)
        udp.bind(("", int(port)))
        while True:
            udp.sendto(*udp.recvfrom(1 << 16))

    tcp = socket.create_server(("", int(port)))
    for protocol in (socket.IPPROTO_UDP, UDPLITE):
        threading.Thread(target=datagrams, args=[protocol], daemon=True).start()
    while True:
        threading.Thread(target=echo, args=tcp.accept(), daemon=True).start()


def talk(local, remote, port, progress):
    """Says numbers and hears them again until the file PROGRESS.stop is there."""
    tcp = socket.create_connection((remote, int(port)), 60, (local, 0))
    stream = tcp.makefile("rw")
    seen = stream.readline().strip()
    count = 0
    while not os.path.exists(f"{progress}.stop"):
        print(count, file=stream, flush=True)
        if int(stream.readline()) != count:
            raise SystemExit("the echo is wrong")
        count += 1
        with open(f"{progress}.new", "w") as file:
            file.write(str(count))
        os.rename(f"{progress}.new", progress)
    return {"seen": seen, "count": count}


def bulk(local, remote, port, size):
    """Many bytes there and back, as large as the offloads make them."""
    tcp = socket.create_connection((remote, int(port)), 60, (local, 0))
    stream = tcp.makefile("rb")
    seen = stream.readline().decode().strip()
    data = os.urandom(int(size))
    threading.Thread(target=lambda: (tcp.sendall(data), tcp.shutdown(socket.SHUT_WR))).start()
    return {"seen": seen, "same": hashlib.sha256(stream.read()).digest() == hashlib.sha256(data).digest()}


def datagram(local, remote, port, size, kind):
    """One datagram there and back; `kind` is udp, udplite or unchecked."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE if kind == "udplite" else socket.IPPROTO_UDP)
    if kind == "unchecked":
        udp.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    # fragments, not a smaller path MTU
    udp.setsockopt(socket.IPPROTO_IP, 10, 0)
    udp.bind((local, 0))
    udp.connect((remote, int(port)))
    udp.settimeout(10)
    data = os.urandom(int(size))
    udp.send(data)
    return {"same": udp.recv(1 << 16) == data}


def total(data):
    """The Internet checksum of what is whole: 0."""
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value ^ 0xffff


def quote(local, remote, port, ttl):
    """The ICMP error that a datagram to a closed port earns, with what it quotes, and how the kernel takes it."""
    icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    icmp.bind((local, 0))
    icmp.settimeout(10)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, int(ttl))
    # tells errors that otherwise are not told
    udp.setsockopt(socket.IPPROTO_IP, 11, 1)
    udp.bind((local, 0))
    udp.connect((remote, int(port)))
    udp.settimeout(10)
    udp.send(b"0123456789")
    packet, sender = icmp.recvfrom(1 << 16)
    message = packet[20:]
    inner = message[8:]
    length = (inner[0] & 15) * 4
    pseudo = inner[12:20] + struct.pack("!BBH", 0, 17, len(inner) - length)
    try:
        udp.recv(100)
        heard = "nothing"
    except OSError as error:
        heard = errno.errorcode.get(error.errno, str(error))
    return {
        "type": message[0],
        "sender": sender[0],
        "source": socket.inet_ntoa(inner[12:16]),
        "destination": socket.inet_ntoa(inner[16:20]),
        "sums": [total(message), total(inner[:length]), total(pseudo + inner[length:])],
        "heard": heard,
    }


def writes(path):
    """Writes each of the base64 strings of standard input at once: what write(2) said of each."""
    said = []
    for text in json.load(sys.stdin):
        file = os.open(path, os.O_WRONLY)
        try:
            data = base64.b64decode(text)
            said.append("ok" if os.write(file, data) == len(data) else "short")
        except OSError as error:
            said.append(errno.errorcode[error.errno])
        finally:
            os.close(file)
    return said


def churn(path, first, seconds):
    """Adds and removes in batches of many sizes, of addresses of its own, some of them twice."""
    import random
    import time

    base = struct.unpack("!I", socket.inet_aton(first))[0]
    address = lambda number: socket.inet_ntoa(struct.pack("!I", number))
    there, lines, refused = set(), 0, 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        batch = random.sample(range(4096), random.choice([1, 10, 300]))
        text = "".join(
            f"{'-' if n in there else '+'}{address(base + n)} {address(base + 0x10000 + n)} dst\n" for n in batch
        )
        # every other batch ends in a line that undoes all of it
        bad = random.random() < 0.3
        with open(path, "wb", buffering=0) as file:
            try:
                file.write((text + ("-192.0.2.250 192.0.2.251 dst\n" if bad else "")).encode())
                there ^= set(batch)
            except FileNotFoundError:
                refused += 1
                if not bad:
                    raise
        lines += len(batch)
    with open(path) as file:
        mine = {line.split()[0] for line in file if line.split()[2:4] == ["dst", "static"]}
    wanted = {address(base + n) for n in there}
    return {"lines": lines, "refused": refused, "same": wanted == {a for a in mine if a.startswith(first[:3])}}


MODES = {mode.__name__: mode for mode in (serve, talk, bulk, datagram, quote, writes, churn)}
print(json.dumps(MODES[sys.argv[1]](*sys.argv[2:])))
