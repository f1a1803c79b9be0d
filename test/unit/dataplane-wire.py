# SPDX-License-Identifier: Apache-2.0
"""The wire of the data plane's tests: a TUN device whose packets come and go as lines of hexadecimal digits.

Each line is a virtio-net header of ten bytes and a packet. What is written to standard input enters the kernel as if
a network card had received it; what the kernel sends is printed. With offloads on, super-packets cross whole.
"""
import fcntl
import os
import select
import struct
import sys

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
CSUM, TSO4, TSO6, USO4, USO6 = 0x01, 0x02, 0x04, 0x20, 0x40

tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
for flags in (CSUM | TSO4 | TSO6 | USO4 | USO6, CSUM | TSO4 | TSO6):
    try:
        fcntl.ioctl(tun, TUNSETOFFLOAD, flags)
        break
    except OSError:
        continue
print("ready", flush=True)

pending = b""
while True:
    readable, _, _ = select.select([tun, 0], [], [])
    if tun in readable:
        print(os.read(tun, 70000).hex(), flush=True)
    if 0 in readable:
        text = os.read(0, 1 << 20)
        if not text:
            break
        *lines, pending = (pending + text).split(b"\n")
        for line in lines:
            os.write(tun, bytes.fromhex(line.decode()))
