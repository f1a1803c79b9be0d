# SPDX-License-Identifier: Apache-2.0
"""Packets by scapy and by hand, for make.py. Nothing here knows the code under test."""
import ipaddress
import logging
import pathlib
import struct

logging.getLogger('scapy').setLevel(logging.ERROR)
from scapy.all import ICMP, IP, IPv6, IPv6ExtHdrFragment, Raw, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import in6_chksum  # noqa: E402
from scapy.utils import checksum  # noqa: E402

C6, S6 = '2001:db8:1::5', '64:ff9b::c000:221'
P4, S4 = '198.51.100.64', '192.0.2.33'
R6, R4 = '2001:db8:2::1', '203.0.113.9'  # a router on the way
R6IN4, R4IN6 = '198.51.100.1', '64:ff9b::cb00:7109'  # how the other family sees it


def load(n):
    return bytes((i * 7 + 1) & 0xff for i in range(n))


def fold(data):
    """The uncomplemented sum."""
    return ~checksum(data) & 0xffff


def pseudo(src, dst, proto, length):
    a, b = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    return a + b + struct.pack('!II', length, proto)


def full(src, dst, proto, body):
    return checksum(pseudo(src, dst, proto, len(body)) + body)


def ip6(src, dst, nh, body, hop=64, tc=0, fl=0, plen=None):
    return bytes(IPv6(src=src, dst=dst, nh=nh, hlim=hop, tc=tc, fl=fl,
                      plen=len(body) if plen is None else plen)) + body


def ip4(src, dst, proto, body, ttl=64, tos=0, id=0, df=False, mf=False, offset=0, options=b'', total=None):
    header = IP(src=src, dst=dst, proto=proto, ttl=ttl, tos=tos, id=id,
                flags=('DF' if df else '') + ('+MF' if mf and df else 'MF' if mf else ''), frag=offset // 8,
                ihl=5 + len(options) // 4, len=20 + len(options) + len(body) if total is None else total)
    raw = bytes(header)[:20]
    raw = raw[:10] + b'\0\0' + raw[12:]
    raw += options
    return raw[:10] + struct.pack('!H', checksum(raw)) + raw[12:] + body


def frag6(nh, offset, more, id):
    return bytes(IPv6ExtHdrFragment(nh=nh, offset=offset // 8, m=int(more), id=id))


def tcp(src, dst, sport, dport, data=b'', flags='PA', **kw):
    base = IPv6(src=src, dst=dst) if ':' in src else IP(src=src, dst=dst)
    packet = bytes(base / TCP(sport=sport, dport=dport, seq=1000, ack=2000, flags=flags, **kw) / Raw(data))
    return packet[40 if ':' in src else 20:]


def udp(src, dst, sport, dport, data=b'', **kw):
    base = IPv6(src=src, dst=dst) if ':' in src else IP(src=src, dst=dst)
    packet = bytes(base / UDP(sport=sport, dport=dport, **kw) / Raw(data))
    return packet[40 if ':' in src else 20:]


def with_checksum(body, at, value):
    return body[:at] + struct.pack('!H', value) + body[at + 2:]


def icmp6(src, dst, type, code, data, body=b''):
    message = bytes([type, code, 0, 0]) + data + body
    value = in6_chksum(58, IPv6(src=src, dst=dst), message)
    return with_checksum(message, 2, value)


def icmp4(type, code, data, body=b''):
    message = bytes([type, code, 0, 0]) + data + body
    return with_checksum(message, 2, checksum(message))


def echo(id, seq=1):
    return struct.pack('!HH', id, seq)


class Topic:
    def __init__(self, name, about):
        self.path = pathlib.Path(__file__).parent / f'{name}.txt'
        self.lines = ['# SPDX-License-Identifier: Apache-2.0', f'# {about}. Written by make.py.', '']
        self.names = set()

    def add(self, name, command, packet, result):
        assert name not in self.names, name
        self.names.add(name)
        self.lines += [f'name: {name}', f'do: {command}']
        if packet is not None:
            self.hex('in', packet)
        if isinstance(result, str):
            self.lines.append(result)
        else:
            for out in [result] if isinstance(result, bytes) else result:
                self.hex('out', out)
        self.lines.append('')

    def hex(self, key, data):
        """A long run of zeros at the end is written as +COUNT."""
        kept = data.rstrip(b'\0')
        zeros = len(data) - len(kept)
        if zeros > 200:
            self.lines.append(f'{key}: {kept.hex()} +{zeros}')
            return
        text = data.hex()
        self.lines.append(f'{key}: ' + '\n  '.join(text[i:i + 96] for i in range(0, max(len(text), 1), 96)))

    def translate(self, name, way, packet, result, to, inner=None, also=None, **params):
        words = [way, 'to={},{},{},{}'.format(*to)]
        if inner:
            words.append('inner={},{},{},{}'.format(*inner))
        words += [f'{k}={v}' for k, v in params.items()]
        self.add(name, ' '.join(words), packet, f'drop: {result}' if isinstance(result, str) else result)
        if also:
            self.lines.insert(-1, f'also: {also}')

    def write(self):
        self.path.write_text('\n'.join(self.lines))
        print(self.path.name, len(self.names))
