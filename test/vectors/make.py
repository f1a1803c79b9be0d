# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors: /usr/bin/python3 test/vectors/make.py (needs python3-scapy; the tests do not)."""
import ipaddress
import struct
import sys

sys.dont_write_bytecode = True
from vectorlib import *

TO4 = (P4, S4, 40000, 80)
TO6 = (S6, C6, 80, 1234)
B4, B6 = (P4, S4, 40000, 40000), (S6, C6, 1234, 1234)


def plain():
    t = Topic('plain', 'TCP, UDP and other upper layers, and the IP header')
    for label, make, proto in (('TCP', tcp, 6), ('UDP', udp, 17)):
        for n in (0, 1, 5, 100):
            t.translate(f'RFC 7915 §5.1: a {label} packet with {n} bytes becomes IPv4', '64',
                        ip6(C6, S6, proto, make(C6, S6, 1234, 80, load(n))),
                        ip4(P4, S4, proto, make(P4, S4, 40000, 80, load(n)), ttl=63, id=7), TO4, id=7)
            t.translate(f'RFC 7915 §4.1: a {label} packet with {n} bytes becomes IPv6', '46',
                        ip4(S4, P4, proto, make(S4, P4, 80, 40000, load(n)), df=True, id=99),
                        ip6(S6, C6, proto, make(S6, C6, 80, 1234, load(n)), hop=63), TO6)
    six, four = udp(C6, S6, 1234, 53, load(9)), udp(P4, S4, 40000, 53, load(9))
    to = (P4, S4, 40000, 53)
    t.translate('RFC 7915 §5.1: the traffic class is copied to the TOS', '64', ip6(C6, S6, 17, six, tc=0xb9),
                ip4(P4, S4, 17, four, tos=0xb9, ttl=63), to)
    t.translate('RFC 7915 §5.1: the traffic class is ignored by option', '64', ip6(C6, S6, 17, six, tc=0xb9),
                ip4(P4, S4, 17, four, ttl=63), to, tc=0)
    t.translate('RFC 7915 §5.1: the traffic class is ignored for a specified TOS', '64', ip6(C6, S6, 17, six, tc=0xb9),
                ip4(P4, S4, 17, four, tos=0x28, ttl=63), to, tc=0, tos=0x28)
    t.translate('RFC 7915 §5.1: the traffic class is copied whatever TOS is specified', '64', ip6(C6, S6, 17, six, tc=0xb9),
                ip4(P4, S4, 17, four, tos=0xb9, ttl=63), to, tos=0x28)
    t.translate('RFC 7915 §5.1: the flow label has no place in IPv4', '64', ip6(C6, S6, 17, six, fl=0xfedcb),
                ip4(P4, S4, 17, four, ttl=63), to)
    six, four = udp(S6, C6, 53, 1234, load(9)), udp(S4, P4, 53, 40000, load(9))
    back = (S6, C6, 53, 1234)
    t.translate('RFC 7915 §4.1: the TOS is copied to the traffic class, the flow label is zero', '46',
                ip4(S4, P4, 17, four, tos=0xb9), ip6(S6, C6, 17, six, tc=0xb9, hop=63), back)
    t.translate('RFC 7915 §4.1: the traffic class is zero whatever TOS is specified', '46', ip4(S4, P4, 17, four, tos=0xb9),
                ip6(S6, C6, 17, six, hop=63), back, tc=0, tos=0x28)
    t.translate('RFC 7915 §4.1: the TOS is ignored by option', '46',
                ip4(S4, P4, 17, four, tos=0xb9), ip6(S6, C6, 17, six, hop=63), back, tc=0)
    for hop, adjust, result in ((2, -1, 1), (255, -1, 254), (1, -1, None), (0, -1, None), (63, 1, 64), (255, 1, 255),
                                (64, 0, 64), (0, 0, None), (1, 0, 1), (2, -2, None)):
        what = f'TTL {hop} adjusted by {adjust} ' + (f'becomes {result}' if result else 'runs out')
        t.translate(f'RFC 7915 §4.1: {what}', '46', ip4(S4, P4, 17, four, ttl=hop),
                    ip6(S6, C6, 17, six, hop=result) if result else 'HOP_LIMIT', back, hop=adjust)
        t.translate(f'RFC 7915 §5.1: hop limit instead of {what}', '64', ip6(S6, C6, 17, six, hop=hop),
                    ip4(S4, P4, 17, four, ttl=result) if result else 'HOP_LIMIT', (S4, P4, 53, 40000), hop=adjust)
    for label, options in (('record route', bytes([7, 7, 4, 0, 0, 0, 0, 0])), ('router alert', bytes([148, 4, 0, 0])),
                           ('ten words of NOP', b'\1' * 40),
                           ('end of list before rubbish', bytes([1, 0, 131, 200])),
                           ('a used-up loose source route', bytes([131, 7, 8, 192, 0, 2, 1, 0])),
                           ('a used-up strict source route', bytes([137, 7, 8, 192, 0, 2, 1, 0]))):
        t.translate(f'RFC 7915 §4.1: options are ignored: {label}', '46', ip4(S4, P4, 17, four, options=options),
                    ip6(S6, C6, 17, six, hop=63), back)
    for label, options in (('loose', bytes([131, 7, 4, 192, 0, 2, 1, 0])), ('strict', bytes([137, 7, 4, 192, 0, 2, 1, 0])),
                           ('late loose', bytes([1, 1, 1, 1, 131, 7, 7, 192, 0, 2, 1, 0]))):
        t.translate(f'RFC 7915 §4.1: an unexpired {label} source route is refused', '46',
                    ip4(S4, P4, 17, four, options=options), 'SOURCE_ROUTE', back)
    for proto, name in ((50, 'ESP'), (132, 'SCTP'), (33, 'DCCP'), (51, 'AH'), (136, 'UDP-Lite'), (253, 'an experiment')):
        t.translate(f'RFC 7915 §4.5: {name} is forwarded unchanged', '46', ip4(S4, P4, proto, load(40)),
                    ip6(S6, C6, proto, load(40), hop=63), back)
        t.translate(f'RFC 7915 §5.5: {name} is forwarded unchanged', '64', ip6(C6, S6, proto, load(40)),
                    ip4(P4, S4, proto, load(40), ttl=63), to)
    for proto, name in ((0, 'Hop-by-Hop'), (43, 'Routing'), (44, 'Fragment'), (60, 'Destination Options'), (58, 'ICMPv6'),
                        (2, 'IGMP')):
        t.translate(f'RFC 7915 §4.2: an IPv4 packet with protocol {proto}, IPv6\'s {name}, is dropped', '46',
                    ip4(S4, P4, proto, load(40)), 'UNKNOWN_PROTOCOL', back)
    for proto, name in ((1, 'ICMPv4'), (2, 'IGMP')):
        t.translate(f'RFC 7915 §5.2: an IPv6 packet with next header {name} is dropped', '64',
                    ip6(C6, S6, proto, load(40)), 'UNKNOWN_PROTOCOL', to)
    for n, df in ((1240 - 8, False), (1241 - 8, True), (1480 - 8, True)):
        t.translate(f'RFC 7915 §5.1: an IPv4 packet of {n + 28} bytes has DF {"set" if df else "clear"}', '64',
                    ip6(C6, S6, 17, udp(C6, S6, 1234, 53, load(n))),
                    ip4(P4, S4, 17, udp(P4, S4, 40000, 53, load(n)), ttl=63, df=df, id=0xbeef), to, id=0xbeef)
    t.translate('RFC 7915 §5.1: padding after the packet is cut off', '64',
                ip6(C6, S6, 6, tcp(C6, S6, 1234, 80)) + b'\xaa' * 6,
                ip4(P4, S4, 6, tcp(P4, S4, 40000, 80), ttl=63), TO4)
    t.translate('RFC 7915 §4.1: Ethernet padding after the packet is cut off', '46',
                ip4(S4, P4, 6, tcp(S4, P4, 80, 40000)) + b'\xaa' * 6,
                ip6(S6, C6, 6, tcp(S6, C6, 80, 1234), hop=63), TO6)
    t.translate('RFC 7915 §4: a DF packet larger than the IPv6 next hop carries is too big', '46',
                ip4(S4, P4, 17, udp(S4, P4, 53, 40000, load(1400)), df=True), 'TOO_BIG', back, mtu6=1400)
    t.translate('RFC 7915 §5: a packet larger than the IPv4 next hop carries is too big', '64',
                ip6(C6, S6, 17, udp(C6, S6, 1234, 53, load(1400))), 'TOO_BIG', to, mtu4=1400)
    t.translate('RFC 7915 §5: a packet that just fits the IPv4 next hop passes', '64',
                ip6(C6, S6, 17, udp(C6, S6, 1234, 53, load(1372))),
                ip4(P4, S4, 17, udp(P4, S4, 40000, 53, load(1372)), ttl=63, df=True), to, mtu4=1400)
    t.translate('RFC 7915 §5.1: the largest packet that an IPv4 total length can name passes', '64',
                ip6(C6, S6, 17, udp(C6, S6, 1234, 53, bytes(65515 - 8))),
                ip4(P4, S4, 17, udp(P4, S4, 40000, 53, bytes(65515 - 8)), ttl=63, df=True), to)
    t.translate('RFC 7915 §5.1: an IPv6 packet that no IPv4 total length can name is too big', '64',
                ip6(C6, S6, 17, udp(C6, S6, 1234, 53, bytes(65516 - 8))), 'TOO_BIG', to)
    t.write()


def extensions():
    t = Topic('extensions', 'IPv6 extension headers')
    body, four = tcp(C6, S6, 1234, 80, load(3)), ip4(P4, S4, 6, tcp(P4, S4, 40000, 80, load(3)), ttl=63)
    opts = lambda nh, n=0: bytes([nh, n, 1, 4 + 8 * n]) + bytes(4 + 8 * n)
    route = lambda nh, left, n=2: bytes([nh, n, 4, left, 0, 0, 0, 0]) + bytes(8 * n)
    good = {'Hop-by-Hop': (0, opts(6)), 'Destination Options': (60, opts(6, 3)), 'Routing, used up,': (43, route(6, 0)),
            'Hop-by-Hop, Destination, Routing, Destination': (0, opts(60) + opts(43, 1) + route(60, 0) + opts(6)),
            'eight Destination Options': (60, opts(60) * 7 + opts(6))}
    for label, (nh, header) in good.items():
        t.translate(f'RFC 7915 §5.1: {label} before the upper layer is skipped', '64', ip6(C6, S6, nh, header + body), four,
                    TO4)
    t.translate('RFC 7915 §5.1: nine extension headers are too many', '64', ip6(C6, S6, 60, opts(60) * 8 + opts(6) + body),
                'TOO_MANY_EXTENSIONS', TO4)
    for label, nh, header, pointer in (('first', 43, route(6, 1), 43), ('second', 60, opts(43, 1) + route(6, 3), 40 + 16 + 3)):
        t.add(f'RFC 7915 §5.1: a {label} Routing header with segments left is refused, pointing at Segments Left', 'parse',
              ip6(C6, S6, nh, header + body), f'drop: ROUTING_HEADER pointer={pointer} kind=1')
    for nh, label in ((60, 'Destination Options'), (0, 'Hop-by-Hop'), (43, 'Routing'), (44, 'Fragment')):
        t.translate(f'RFC 7915 §5.1.1: {label} after a Fragment header is dropped', '64',
                    ip6(C6, S6, 44, frag6(nh, 0, True, 5) + (route(6, 0) if nh == 43 else opts(6)) + body),
                    'EXTENSION_AFTER_FRAGMENT', TO4)
        t.translate(f'RFC 7915 §5.1.1: {label} after a Fragment header is dropped from later fragments too', '64',
                    ip6(C6, S6, 44, frag6(nh, 64, False, 5) + load(32)), 'EXTENSION_AFTER_FRAGMENT', TO4)
    for nh, label in ((51, 'AH'), (135, 'Mobility'), (139, 'HIP'), (140, 'Shim6')):
        t.translate(f'RFC 7045 §4: {label} is an extension header, which after a Fragment header is dropped', '64',
                    ip6(C6, S6, 44, frag6(nh, 0, True, 5) + load(32)), 'EXTENSION_AFTER_FRAGMENT', TO4)
    for nh, label in ((50, 'ESP'), (132, 'SCTP'), (253, 'an experiment')):
        t.translate(f'RFC 7915 §5.1.1: {label} after a Fragment header is translated', '64',
                    ip6(C6, S6, 44, frag6(nh, 0, True, 5) + load(32)), ip4(P4, S4, nh, load(32), ttl=63, id=5, mf=True), TO4)
    t.translate('RFC 7915 §5.1.1: extension headers before the Fragment header are skipped', '64',
                ip6(C6, S6, 60, opts(44) + frag6(6, 0, True, 5) + tcp(C6, S6, 1234, 80, load(12))),
                ip4(P4, S4, 6, tcp(P4, S4, 40000, 80, load(12)), ttl=63, id=5, mf=True), TO4)
    for label, nh, header in (('of which one byte is there', 60, b'\6'), ('longer than the packet', 60, bytes([6, 40]) + bytes(6)),
                              ('a Fragment header cut off', 44, bytes(7))):
        t.translate(f'RFC 8200 §4: an extension header {label} is refused', '64', ip6(C6, S6, nh, header), 'TRUNCATED', TO4)
    t.write()


def fragments():
    t = Topic('fragments', 'Fragments both ways, and fragmentation to the lowest IPv6 MTU')
    whole6, whole4 = udp(C6, S6, 1234, 53, load(100)), udp(P4, S4, 40000, 53, load(100))
    to, back = (P4, S4, 40000, 53), (S6, C6, 53, 1234)
    t.translate('RFC 7915 §5.1.1: the first fragment keeps M, and the low 16 bits of the identification', '64',
                ip6(C6, S6, 44, frag6(17, 0, True, 0xdeadbeef) + whole6[:56]),
                ip4(P4, S4, 17, whole4[:56], ttl=63, id=0xbeef, mf=True), to, id=1)
    t.translate('RFC 7915 §5.1.1: a middle fragment keeps its offset and is not patched', '64',
                ip6(C6, S6, 44, frag6(17, 56, True, 0xdeadbeef) + whole6[56:80]),
                ip4(P4, S4, 17, whole4[56:80], ttl=63, id=0xbeef, mf=True, offset=56), to, id=1)
    t.translate('RFC 7915 §5.1.1: the last fragment has M clear', '64',
                ip6(C6, S6, 44, frag6(17, 80, False, 0xdeadbeef) + whole6[80:]),
                ip4(P4, S4, 17, whole4[80:], ttl=63, id=0xbeef, offset=80), to, id=1)
    t.translate('RFC 6946 §4: an atomic fragment is a whole packet, its identification kept and DF clear', '64',
                ip6(C6, S6, 44, frag6(17, 0, False, 0x12345678) + whole6), ip4(P4, S4, 17, whole4, ttl=63, id=0x5678), to, id=1)
    t.translate('RFC 7915 §5.1.1: a large fragment has DF clear', '64',
                ip6(C6, S6, 44, frag6(17, 1400, True, 9) + load(1400)),
                ip4(P4, S4, 17, load(1400), ttl=63, id=9, mf=True, offset=1400), to)
    t.translate('RFC 7915 §5.1.1: a fragment larger than the IPv4 next hop carries is left to be fragmented there', '64',
                ip6(C6, S6, 44, frag6(17, 1400, True, 9) + load(1400)),
                ip4(P4, S4, 17, load(1400), ttl=63, id=9, mf=True, offset=1400), to, mtu4=1300)
    t.translate('RFC 7915 §5.1: a packet with DF clear is left to be fragmented behind the next hop', '64',
                ip6(C6, S6, 17, udp(C6, S6, 1234, 53, load(1100))),
                ip4(P4, S4, 17, udp(P4, S4, 40000, 53, load(1100)), ttl=63), to, mtu4=900)
    six, four = udp(S6, C6, 53, 1234, load(100)), udp(S4, P4, 53, 40000, load(100))
    t.translate('RFC 7915 §4.1: the first fragment gets a Fragment header with 32 bits of identification', '46',
                ip4(S4, P4, 17, four[:56], id=0xbeef, mf=True),
                ip6(S6, C6, 44, frag6(17, 0, True, 0xbeef) + six[:56], hop=63), back)
    t.translate('RFC 7915 §4.1: the last fragment keeps its offset', '46', ip4(S4, P4, 17, four[56:], id=0xbeef, offset=56),
                ip6(S6, C6, 44, frag6(17, 56, False, 0xbeef) + six[56:], hop=63), back)
    t.translate('RFC 7915 §4.1: a fragment with DF set gets a Fragment header all the same', '46',
                ip4(S4, P4, 17, four[56:], id=0xbeef, offset=56, df=True),
                ip6(S6, C6, 44, frag6(17, 56, False, 0xbeef) + six[56:], hop=63), back)
    t.translate('RFC 8021 §3: no atomic fragment is made of a packet with DF clear', '46', ip4(S4, P4, 17, four, id=0xbeef),
                ip6(S6, C6, 17, six, hop=63), back)
    for way, packet, where in (('64', ip6(C6, S6, 44, frag6(58, 0, True, 1) + icmp6(C6, S6, 128, 0, echo(1234), load(40))), B4),
                               ('64', ip6(C6, S6, 44, frag6(58, 48, False, 1) + load(24)), B4),
                               ('46', ip4(S4, P4, 1, icmp4(0, 0, echo(40000), load(40)), mf=True), B6),
                               ('46', ip4(S4, P4, 1, load(24), offset=48), B6)):
        first = packet[42:44] if way == '64' else packet[6:8]
        t.translate(f'RFC 7915 §{"5" if way == "64" else "4"}.2: a fragment of ICMP ({way}, field {first.hex()}) is refused', way,
                    packet, 'ICMP_FRAGMENT', where)
    step = (1280 - 48) // 8 * 8
    for n in (1232, 1233, 2000, 3000):
        body4, body6 = udp(S4, P4, 53, 40000, load(n)), udp(S6, C6, 53, 1234, load(n))
        if len(body6) + 40 <= 1280:
            out = ip6(S6, C6, 17, body6, hop=63)
        else:
            out = [ip6(S6, C6, 44, frag6(17, at, at + step < len(body6), 0xbeef) + body6[at:at + step], hop=63)
                   for at in range(0, len(body6), step)]
        t.translate(f'RFC 7915 §4: {n} bytes of UDP with DF clear fit 1280 bytes each', '46',
                    ip4(S4, P4, 17, body4, id=0xbeef), out, back)
    body4, body6 = udp(S4, P4, 53, 40000, load(1300)), udp(S6, C6, 53, 1234, load(1300))
    t.translate('RFC 7915 §4: with DF set nothing is fragmented', '46', ip4(S4, P4, 17, body4, df=True),
                ip6(S6, C6, 17, body6, hop=63), back)
    t.translate('RFC 7915 §4: the lowest IPv6 MTU is settable', '46', ip4(S4, P4, 17, body4), ip6(S6, C6, 17, body6, hop=63), back,
                lowest=1500)
    t.translate('RFC 7915 §4: a lowest IPv6 MTU below 1280 is 1280', '46', ip4(S4, P4, 17, six_fit := udp(S4, P4, 53, 40000, load(1232))),
                ip6(S6, C6, 17, udp(S6, C6, 53, 1234, load(1232)), hop=63), back, lowest=600)
    assert len(six_fit) == 1240
    narrow = (1400 - 48) // 8 * 8
    wide4, wide6 = udp(S4, P4, 53, 40000, load(1400)), udp(S6, C6, 53, 1234, load(1400))
    t.translate('RFC 7915 §4: a next hop narrower than the lowest IPv6 MTU bounds the fragments', '46',
                ip4(S4, P4, 17, wide4, id=0xbeef),
                [ip6(S6, C6, 44, frag6(17, 0, True, 0xbeef) + wide6[:narrow], hop=63),
                 ip6(S6, C6, 44, frag6(17, narrow, False, 0xbeef) + wide6[narrow:], hop=63)], back, lowest=1500, mtu6=1400)
    t.translate('RFC 7915 §4: a next hop wider than the lowest IPv6 MTU does not bound the fragments', '46', ip4(S4, P4, 17, body4, id=0xbeef),
                [ip6(S6, C6, 44, frag6(17, 0, True, 0xbeef) + body6[:step], hop=63),
                 ip6(S6, C6, 44, frag6(17, step, False, 0xbeef) + body6[step:], hop=63)], back, mtu6=1500)
    part = load(1480)
    t.translate('RFC 7915 §4: a fragment too large for IPv6 is fragmented again, its M kept', '46',
                ip4(S4, P4, 17, part, id=0xbeef, offset=1480, mf=True),
                [ip6(S6, C6, 44, frag6(17, 1480, True, 0xbeef) + part[:step], hop=63),
                 ip6(S6, C6, 44, frag6(17, 1480 + step, True, 0xbeef) + part[step:], hop=63)], back)
    for label, offset in (('starts', 65528), ('ends', 65528 - 1232)):
        t.translate(f'RFC 8200 §4.5: a fragment that {label} where no datagram reaches is dropped, not cut into some that fit', '46',
                    ip4(S4, P4, 17, part, id=0xbeef, offset=offset), 'BAD_LENGTH', back)
    t.translate('RFC 8200 §4.5: an IPv6 fragment that ends where no datagram reaches is dropped', '64',
                ip6(C6, S6, 44, frag6(17, 65528, False, 9) + load(8)), 'BAD_LENGTH', to)
    t.translate('RFC 8200 §4.5: a fragment that ends at the last byte of the longest datagram passes', '64',
                ip6(C6, S6, 44, frag6(17, 65528, False, 9) + load(7)), ip4(P4, S4, 17, load(7), ttl=63, id=9, offset=65528), to)
    ping4, ping6 = icmp4(0, 0, echo(40000), load(1400)), icmp6(S6, C6, 129, 0, echo(1234), load(1400))
    t.translate('RFC 7915 §4: an echo reply too large for IPv6 is fragmented after its checksum is right', '46',
                ip4(S4, P4, 1, ping4, id=3), [ip6(S6, C6, 44, frag6(58, 0, True, 3) + ping6[:step], hop=63),
                                              ip6(S6, C6, 44, frag6(58, step, False, 3) + ping6[step:], hop=63)], B6)
    t.write()


def checksums():
    t = Topic('checksums', 'Wrong, missing, partial and awkward checksums, and super-packets')
    back, to = (S6, C6, 53, 1234), (P4, S4, 40000, 53)
    add = lambda a, b: (a + b) % 0xffff
    for label, make, proto, at in (('TCP', tcp, 6, 16), ('UDP', udp, 17, 6)):
        six, four = make(C6, S6, 1234, 80, load(11)), make(P4, S4, 40000, 80, load(11))
        value = lambda body: struct.unpack_from('!H', body, at)[0]
        bad6, bad4 = with_checksum(six, at, add(value(six), 0x1111)), with_checksum(four, at, add(value(four), 0x1111))
        t.translate(f'RFC 7915 §5.5: a wrong {label} checksum stays as wrong', '64', ip6(C6, S6, proto, bad6),
                    ip4(P4, S4, proto, bad4, ttl=63), TO4)
        six, four = make(S6, C6, 80, 1234, load(11)), make(S4, P4, 80, 40000, load(11))
        bad6, bad4 = with_checksum(six, at, add(value(six), 0x1111)), with_checksum(four, at, add(value(four), 0x1111))
        t.translate(f'RFC 7915 §4.5: a wrong {label} checksum stays as wrong', '46', ip4(S4, P4, proto, bad4),
                    ip6(S6, C6, proto, bad6, hop=63), TO6)
        # What Linux leaves in the field with NEEDS_CSUM: the folded pseudo-header sum, not complemented.
        half = lambda src, dst, body: with_checksum(body, at, fold(pseudo(src, dst, proto, len(body))))
        six, four = make(C6, S6, 1234, 80, load(200)), make(P4, S4, 40000, 80, load(200))
        t.translate(f'RFC 7915 §5.5: a partial {label} checksum follows the addresses and not the ports', '64',
                    ip6(C6, S6, proto, half(C6, S6, six)), ip4(P4, S4, proto, half(P4, S4, four), ttl=63), TO4, partial=1)
        six, four = make(S6, C6, 80, 1234, load(200)), make(S4, P4, 80, 40000, load(200))
        t.translate(f'RFC 7915 §4.5: a partial {label} checksum follows the addresses and not the ports', '46',
                    ip4(S4, P4, proto, half(S4, P4, four)), ip6(S6, C6, proto, half(S6, C6, six), hop=63), TO6, partial=1)
        big6, big4 = make(S6, C6, 80, 1234, load(1400)), make(S4, P4, 80, 40000, load(1400))
        step = 1232
        t.translate(f'RFC 7915 §4: a partial {label} checksum is completed before fragmentation', '46',
                    ip4(S4, P4, proto, half(S4, P4, big4), id=5),
                    [ip6(S6, C6, 44, frag6(proto, 0, True, 5) + big6[:step], hop=63),
                     ip6(S6, C6, 44, frag6(proto, step, False, 5) + big6[step:], hop=63)], TO6, partial=1, also='complete=1')
    for kind6, kind4, way, label in ((128, 8, '64', 'request'), (129, 0, '46', 'reply')):
        src6, dst6 = (C6, S6) if way == '64' else (S6, C6)
        six, four = icmp6(src6, dst6, kind6, 0, echo(1234), load(33)), icmp4(kind4, 0, echo(40000), load(33))
        half6 = with_checksum(six, 2, fold(pseudo(src6, dst6, 58, len(six))))
        packet = ip6(C6, S6, 58, half6) if way == '64' else ip4(S4, P4, 1, with_checksum(four, 2, 0))
        out = ip4(P4, S4, 1, four, ttl=63) if way == '64' else ip6(S6, C6, 58, six, hop=63)
        t.translate(f'RFC 7915 §{"5" if way == "64" else "4"}.2: a partial checksum of an echo {label} is completed', way, packet, out,
                    B4 if way == '64' else B6, partial=1, also='complete=1')
    for n in (0, 1, 9, 64):
        four = with_checksum(udp(S4, P4, 53, 40000, load(n)), 6, 0)
        t.translate(f'RFC 6146 §3.4: a zero UDP checksum over {n} bytes is computed', '46', ip4(S4, P4, 17, four),
                    ip6(S6, C6, 17, udp(S6, C6, 53, 1234, load(n)), hop=63), back, amend=1)
    zero = with_checksum(udp(S4, P4, 53, 40000, load(9)), 6, 0)
    t.translate('RFC 7915 §4.5: a zero UDP checksum is dropped unless it may be amended', '46', ip4(S4, P4, 17, zero),
                'UDP_CHECKSUM_ZERO', back)
    t.translate('RFC 7915 §4.5: a zero UDP checksum of a fragment is dropped', '46', ip4(S4, P4, 17, zero[:16], mf=True),
                'UDP_CHECKSUM_ZERO', back, amend=1)
    t.translate('RFC 768: the UDP length bounds what is summed', '46', ip4(S4, P4, 17, zero + b'\xff\xff'),
                ip6(S6, C6, 17, udp(S6, C6, 53, 1234, load(9)) + b'\xff\xff', hop=63), back, amend=1)
    for lie in (7, 0, 19, 65535):
        t.translate(f'RFC 768: a zero checksum cannot be computed over a UDP length of {lie} in 17 bytes', '46',
                    ip4(S4, P4, 17, with_checksum(zero, 4, lie)), 'BAD_LENGTH', back, amend=1)
    zero6 = with_checksum(udp(C6, S6, 1234, 53, load(9)), 6, 0)
    t.translate('RFC 6935 §5: a zero UDP checksum from IPv6 stays zero, which IPv4 allows', '64', ip6(C6, S6, 17, zero6),
                ip4(P4, S4, 17, with_checksum(udp(P4, S4, 40000, 53, load(9)), 6, 0), ttl=63), to)
    # Payload chosen so that the new sum comes out as 0, which UDP writes as 0xffff.
    for n in range(65536):
        data = struct.pack('!H', n)
        if full(P4, S4, 17, struct.pack('!HHHH', 40000, 53, 10, 0) + data) == 0:
            break
    six, four = udp(C6, S6, 1234, 53, data), with_checksum(udp(P4, S4, 40000, 53, data), 6, 0xffff)
    t.translate('RFC 768: a UDP checksum that comes out as zero is written as ones', '64', ip6(C6, S6, 17, six),
                ip4(P4, S4, 17, four, ttl=63), to)
    for n in range(65536):
        data = struct.pack('!H', n)
        if full(S6, C6, 17, struct.pack('!HHHH', 53, 1234, 10, 0) + data) == 0:
            break
    six, four = with_checksum(udp(S6, C6, 53, 1234, data), 6, 0xffff), with_checksum(udp(S4, P4, 53, 40000, data), 6, 0)
    t.translate('RFC 768: a computed UDP checksum that comes out as zero is written as ones', '46', ip4(S4, P4, 17, four),
                ip6(S6, C6, 17, six, hop=63), back, amend=1)
    six, four = tcp(C6, S6, 1234, 80, load(11)), tcp(P4, S4, 40000, 80, load(11))
    t.translate('RFC 1624 §3: a kept delta of the flow gives the same bytes', '64', ip6(C6, S6, 6, six), ip4(P4, S4, 6, four, ttl=63),
                TO4, delta=1)
    six, four = tcp(S6, C6, 80, 1234, load(11)), tcp(S4, P4, 80, 40000, load(11))
    t.translate('RFC 1624 §3: a kept delta of the flow gives the same bytes back', '46', ip4(S4, P4, 6, four),
                ip6(S6, C6, 6, six, hop=63), TO6, delta=1)
    big6, big4 = tcp(C6, S6, 1234, 80, load(4000)), tcp(P4, S4, 40000, 80, load(4000))
    for gso, df in ((1440, True), (1220, False), (1221, True)):
        t.translate(f'RFC 7915 §5.1: a super-packet of {gso}-byte segments has DF {"set" if df else "clear"}', '64',
                    ip6(C6, S6, 6, big6), ip4(P4, S4, 6, big4, ttl=63, df=df), TO4, gso=gso)
    big6, big4 = tcp(S6, C6, 80, 1234, load(4000)), tcp(S4, P4, 80, 40000, load(4000))
    t.translate('RFC 7915 §4: a super-packet with DF set is never fragmented', '46', ip4(S4, P4, 6, big4, df=True),
                ip6(S6, C6, 6, big6, hop=63), TO6, gso=1440)
    t.translate('RFC 7915 §4: a super-packet with DF clear whose segments fit goes whole', '46', ip4(S4, P4, 6, big4),
                ip6(S6, C6, 6, big6, hop=63), TO6, gso=1220)
    t.translate('RFC 7915 §4: a super-packet with DF clear whose segments do not fit is split first', '46', ip4(S4, P4, 6, big4),
                'SPLIT_FIRST', TO6, gso=1221)
    t.translate('RFC 7915 §4: a super-packet is too big by its segments, not by its length', '46', ip4(S4, P4, 6, big4, df=True),
                'TOO_BIG', TO6, gso=1441, mtu6=1500)
    t.translate('RFC 7915 §4: a super-packet whose segments fit the next hop passes', '46', ip4(S4, P4, 6, big4, df=True),
                ip6(S6, C6, 6, big6, hop=63), TO6, gso=1440, mtu6=1500)
    t.write()


def mss():
    t = Topic('mss', 'The segment size that a SYN announces')
    SYN, ACK = 2, 16

    def segment(src, dst, sport, dport, options, flags, partial):
        body = struct.pack('!HHIIBBHHH', sport, dport, 1000, 2000, (20 + len(options)) // 4 << 4, flags, 8192, 0, 0) + options
        s, d = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
        pseudo = s + d + struct.pack('!IHH', len(body), 0, 6)
        return with_checksum(body, 16, ~checksum(pseudo) & 0xffff if partial else checksum(pseudo + body))

    def both(what, before, after, flags=SYN, partial=0):
        def upper(src, dst, sport, dport, options):
            return segment(src, dst, sport, dport, options, flags, partial)
        params = {'mss': 1360, **({'partial': 1} if partial else {})}
        t.translate(f'RFC 9293 §3.7.1: {what}, to IPv4', '64', ip6(C6, S6, 6, upper(C6, S6, 1234, 80, before)),
                    ip4(P4, S4, 6, upper(P4, S4, 40000, 80, after), ttl=63), TO4, **params)
        t.translate(f'RFC 9293 §3.7.1: {what}, to IPv6', '46', ip4(S4, P4, 6, upper(S4, P4, 80, 40000, before)),
                    ip6(S6, C6, 6, upper(S6, C6, 80, 1234, after), hop=63), TO6, **params)

    def of(value):
        return struct.pack('!BBH', 2, 4, value)

    both('a SYN announces no more than the clamp', of(1440), of(1360))
    both('a SYN that accepts announces no more either', of(1460), of(1360), flags=SYN | ACK)
    both('a SYN that announces the clamp stays as it is', of(1360), of(1360))
    both('a SYN that announces less stays as it is', of(536), of(536))
    both('a segment that is no SYN stays as it is', of(1440), of(1440), flags=ACK)
    both('a SYN without the option stays as it is', b'', b'')
    both('the option is found behind others', bytes([1, 1, 4, 2, 8, 10]) + bytes(range(8)) + of(8960) + bytes(2),
         bytes([1, 1, 4, 2, 8, 10]) + bytes(range(8)) + of(1360) + bytes(2))
    both('the value may stand at an odd offset', bytes([1]) + of(1440) + bytes([1, 1, 0]), bytes([1]) + of(1360) + bytes([1, 1, 0]))
    both('what stands behind the end of the list is no option', bytes([0, 1, 1, 1]) + of(1440), bytes([0, 1, 1, 1]) + of(1440))
    both('an option without a length ends the search', bytes([8, 0, 1, 1]) + of(1440), bytes([8, 0, 1, 1]) + of(1440))
    both('an option of another length is not the segment size', bytes([2, 6, 5, 180, 0, 0, 1, 1]), bytes([2, 6, 5, 180, 0, 0, 1, 1]))
    both('an option that reaches beyond the header is left alone', bytes([1, 1, 2, 4]), bytes([1, 1, 2, 4]))
    both('a checksum left to a network card covers no option', of(1440), of(1360), partial=1)
    both('40 bytes of options are looked through', b'\1' * 36 + of(1440), b'\1' * 36 + of(1360))
    t.write()


if __name__ == '__main__':
    import make_icmp

    for topic in (plain, extensions, fragments, checksums, mss, *make_icmp.TOPICS):
        topic()
