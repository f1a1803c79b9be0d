# SPDX-License-Identifier: Apache-2.0
"""Vectors of ICMP, addresses, malformed packets and the translator's own answers."""
import ipaddress
import struct

from vectorlib import *

B4, B6 = (P4, S4, 40000, 40000), (S6, C6, 1234, 1234)
OUT4, OUT6 = (R6IN4, S4, 0, 0), (R4IN6, C6, 0, 0)
# The packet inside an error about what the client sent, and about what the server sent.
SENT4, SENT6 = (P4, S4, 40000, 80), (C6, S6, 1234, 80)
CAME4, CAME6 = (S4, P4, 80, 40000), (S6, C6, 80, 1234)
u8 = lambda n: bytes([n, 0, 0, 0])
u32 = lambda n: struct.pack('!I', n)


def echoes():
    t = Topic('echo', 'ICMP echo, and the messages without a counterpart')
    for n in (0, 1, 56):
        for six, four, name in ((128, 8, 'request'), (129, 0, 'reply')):
            t.translate(f'RFC 7915 §5.2: an echo {name} with {n} bytes becomes ICMPv4', '64',
                        ip6(C6, S6, 58, icmp6(C6, S6, six, 0, echo(1234, 77), load(n))),
                        ip4(P4, S4, 1, icmp4(four, 0, echo(40000, 77), load(n)), ttl=63), B4)
            t.translate(f'RFC 7915 §4.2: an echo {name} with {n} bytes becomes ICMPv6', '46',
                        ip4(S4, P4, 1, icmp4(four, 0, echo(40000, 77), load(n))),
                        ip6(S6, C6, 58, icmp6(S6, C6, six, 0, echo(1234, 77), load(n)), hop=63), B6)
    bad6 = icmp6(C6, S6, 128, 0, echo(1234, 77), load(4))
    bad4 = icmp4(8, 0, echo(40000, 77), load(4))
    worse = lambda m: with_checksum(m, 2, (struct.unpack_from('!H', m, 2)[0] + 5) % 0xffff)
    t.translate('RFC 7915 §5.2: a wrong echo checksum stays as wrong', '64', ip6(C6, S6, 58, worse(bad6)),
                ip4(P4, S4, 1, worse(bad4), ttl=63), B4)
    for kind, name in ((9, 'Router Advertisement'), (10, 'Router Solicitation'), (13, 'Timestamp'), (14, 'Timestamp Reply'),
                       (15, 'Information Request'), (16, 'Information Reply'), (17, 'Address Mask Request'),
                       (18, 'Address Mask Reply'), (4, 'Source Quench'), (5, 'Redirect'), (6, 'Alternative Host Address'),
                       (42, 'Extended Echo Request'), (200, 'an unknown type')):
        inner = ip4(*CAME4[1::-1], 17, udp(P4, S4, 40000, 80, load(8)))
        t.translate(f'RFC 7915 §4.2: {name} is dropped', '46', ip4(R4, P4, 1, icmp4(kind, 0, u32(0), inner)),
                    'ICMP_UNTRANSLATABLE', OUT6, inner=SENT6)
    for kind, name in ((130, 'MLD Query'), (131, 'MLD Report'), (132, 'MLD Done'), (133, 'Router Solicitation'),
                       (134, 'Router Advertisement'), (135, 'Neighbor Solicitation'), (136, 'Neighbor Advertisement'),
                       (137, 'Redirect'), (200, 'an unknown informational message'), (100, 'an unknown error'), (0, 'type 0')):
        inner = ip6(S6, C6, 17, udp(S6, C6, 80, 1234, load(8)))
        t.translate(f'RFC 7915 §5.2: {name} is dropped', '64', ip6(R6, S6, 58, icmp6(R6, S6, kind, 0, u32(0), inner)),
                    'ICMP_UNTRANSLATABLE', OUT4, inner=CAME4)
    t.write()


def error46(t, name, kind, code, data, result, n=16, inner4=None, inner6=None, **params):
    """result is (type, code, data) or a reason."""
    four = ip4(P4, S4, 17, udp(P4, S4, 40000, 80, load(n)), ttl=60) if inner4 is None else inner4
    six = ip6(C6, S6, 17, udp(C6, S6, 1234, 80, load(n)), hop=60) if inner6 is None else inner6
    packet = ip4(R4, P4, 1, icmp4(kind, code, data, four))
    if isinstance(result, tuple):
        result = ip6(R4IN6, C6, 58, icmp6(R4IN6, C6, *result, six), hop=63)
    t.translate(name, '46', packet, result, OUT6, inner=SENT6, **params)


def error64(t, name, kind, code, data, result, n=16, inner6=None, inner4=None, **params):
    six = ip6(S6, C6, 17, udp(S6, C6, 80, 1234, load(n)), hop=60) if inner6 is None else inner6
    four = ip4(S4, P4, 17, udp(S4, P4, 80, 40000, load(n)), ttl=60) if inner4 is None else inner4
    packet = ip6(R6, S6, 58, icmp6(R6, S6, kind, code, data, six))
    if isinstance(result, tuple):
        result = ip4(R6IN4, S4, 1, icmp4(*result, four), ttl=63)
    t.translate(name, '64', packet, result, OUT4, inner=CAME4, **params)


def mapping():
    t = Topic('icmp-mapping', 'Every row of the tables of RFC 7915 §4.2 and §5.2')
    unreachable = {0: (1, 0), 1: (1, 0), 2: (4, 1), 3: (1, 4), 5: (1, 0), 6: (1, 0), 7: (1, 0), 8: (1, 0), 9: (1, 1),
                   10: (1, 1), 11: (1, 0), 12: (1, 0), 13: (1, 1), 15: (1, 1)}
    for code in [*range(4), *range(5, 17), 255]:
        row = unreachable.get(code)
        error46(t, f'RFC 7915 §4.2: Destination Unreachable code {code} becomes {"%d/%d" % row if row else "nothing"}', 3, code, u32(0),
                (*row, u32(6 if row[0] == 4 else 0)) if row else 'ICMP_UNTRANSLATABLE')
    for code in (0, 1):
        error46(t, f'RFC 7915 §4.2: Time Exceeded code {code} keeps its code', 11, code, u32(0), (3, code, u32(0)))
        error64(t, f'RFC 7915 §5.2: Time Exceeded code {code} keeps its code', 3, code, u32(0), (11, code, u32(0)))
    pointers = {0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, 12: 8, 13: 8, 14: 8, 15: 8, 16: 24, 17: 24, 18: 24, 19: 24}
    for at in (*range(22), 255):
        new = pointers.get(at)
        error46(t, f'RFC 7915 §4.2: Parameter Problem pointer {at} becomes {"nothing" if new is None else new}', 12, 0, u8(at),
                'ICMP_UNTRANSLATABLE' if new is None else (4, 0, u32(new)))
    error46(t, 'RFC 7915 §4.2: Parameter Problem code 2 is code 0', 12, 2, u8(2), (4, 0, u32(4)))
    for code in (1, 3):
        error46(t, f'RFC 7915 §4.2: Parameter Problem code {code} becomes nothing', 12, code, u8(0), 'ICMP_UNTRANSLATABLE')
    unreachable = {0: (3, 1), 1: (3, 10), 2: (3, 1), 3: (3, 1), 4: (3, 3)}
    for code in (*range(8), 255):
        row = unreachable.get(code)
        error64(t, f'RFC 7915 §5.2: Destination Unreachable code {code} becomes {"%d/%d" % row if row else "nothing"}', 1, code, u32(0),
                (*row, u32(0)) if row else 'ICMP_UNTRANSLATABLE')
    pointers = {0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8, **{i: 12 for i in range(8, 24)}, **{i: 16 for i in range(24, 40)}}
    for at in (*range(9), 23, 24, 39, 40, 255, 256, 0xffffffff):
        new = pointers.get(at)
        error64(t, f'RFC 7915 §5.2: Parameter Problem pointer {at} becomes {"nothing" if new is None else new}', 4, 0, u32(at),
                'ICMP_UNTRANSLATABLE' if new is None else (12, 0, u8(new)))
    error64(t, 'RFC 7915 §5.2: Parameter Problem code 1 becomes Protocol Unreachable', 4, 1, u32(6), (3, 2, u32(0)))
    for code in (2, 3):
        error64(t, f'RFC 7915 §5.2: Parameter Problem code {code} becomes nothing', 4, code, u32(0), 'ICMP_UNTRANSLATABLE')
    t.write()


def mtus():
    t = Topic('icmp-mtu', 'Path MTU discovery across the translator')
    for mtu, six, params in ((1400, 1420, {}), (1260, 1280, {}), (1000, 1280, {}), (68, 1280, {}), (65535, 65555, {}),
                             (1500, 1520, {}), (1500, 1400, {'mtu6': 1400}), (1500, 1420, {'mtu4': 1400}),
                             (1300, 1320, {'mtu6': 1500, 'mtu4': 1500}), (1500, 1280, {'mtu4': 900})):
        near = ''.join(f', next hop {k} {v}' for k, v in params.items())
        error46(t, f'RFC 7915 §4.2: Fragmentation Needed with MTU {mtu}{near} is Packet Too Big with {six}', 3, 4, u32(mtu),
                (2, 0, u32(six)), **params)
    # RFC 1191 §7.1: the greatest plateau below the total length, and at least 1280; the inner packet is cut short.
    for total, plateau in ((65535, 32000), (32001, 32000), (32000, 17914), (17914, 8166), (8166, 4352), (4352, 2002), (2003, 2002),
                           (2002, 1492), (1500, 1492), (1492, None), (1300, None)):
        body = struct.pack('!HHHH', 40000, 80, total - 20, 0)
        body6 = struct.pack('!HHHH', 1234, 80, total - 20, 0)
        error46(t, f'RFC 7915 §4.2: MTU 0 about {total} bytes is plateau {plateau or "none, thus 1280"}', 3, 4, u32(0),
                (2, 0, u32(plateau + 20 if plateau else 1280)), inner4=ip4(P4, S4, 17, body, ttl=60, df=True, total=total),
                inner6=ip6(C6, S6, 17, body6, hop=60, plen=total - 20))
    for mtu, four, params in ((1280, 1260, {}), (1400, 1380, {}), (1500, 1480, {}), (1000, 980, {}), (60, 68, {}), (0, 68, {}),
                              (100000, 65535, {}), (0xffffffff, 65535, {}), (1500, 1400, {'mtu4': 1400}),
                              (1500, 1380, {'mtu6': 1400}), (1300, 1280, {'mtu6': 1500, 'mtu4': 1500})):
        near = ''.join(f', next hop {k} {v}' for k, v in params.items())
        error64(t, f'RFC 7915 §5.2: Packet Too Big with MTU {mtu}{near} is Fragmentation Needed with {four}', 2, 0, u32(mtu),
                (3, 4, u32(four)), **params)
    body6, body4 = udp(S6, C6, 80, 1234, load(32)), udp(S4, P4, 80, 40000, load(32))
    error64(t, 'RFC 7915 §5.2: the Fragment header of the packet in error counts for the MTU', 2, 0, u32(1280), (3, 4, u32(1252)),
            inner6=ip6(S6, C6, 44, frag6(17, 0, True, 0x10007) + body6, hop=60),
            inner4=ip4(S4, P4, 17, body4, ttl=60, id=7, mf=True))
    t.write()


def nested():
    t = Topic('icmp-inner', 'The packet inside an ICMP error')
    make = {'TCP': (tcp, 6), 'UDP': (udp, 17)}
    for label, (upper, proto) in make.items():
        for n in (0, 33):
            error46(t, f'RFC 7915 §4.3: {label} with {n} bytes inside is translated with its ports and checksum', 3, 1, u32(0), (1, 0, u32(0)),
                    inner4=ip4(P4, S4, proto, upper(P4, S4, 40000, 80, load(n)), ttl=3, tos=8, id=9),
                    inner6=ip6(C6, S6, proto, upper(C6, S6, 1234, 80, load(n)), hop=3, tc=8))
            error64(t, f'RFC 7915 §5.3: {label} with {n} bytes inside is translated with its ports and checksum', 1, 3, u32(0), (3, 1, u32(0)),
                    inner6=ip6(S6, C6, proto, upper(S6, C6, 80, 1234, load(n)), hop=3, tc=8),
                    inner4=ip4(S4, P4, proto, upper(S4, P4, 80, 40000, load(n)), ttl=3, tos=8))
        for cut in (8, 9, 4, 17, 18, 7, 6):
            four, six = upper(P4, S4, 40000, 80, load(99))[:cut], upper(C6, S6, 1234, 80, load(99))[:cut]
            if cut == (17 if proto == 6 else 7):  # half a checksum is left alone
                six = six[:-1] + four[-1:]
            error46(t, f'RFC 7915 §4.3: of {label} inside only {cut} bytes are there', 3, 1, u32(0), (1, 0, u32(0)),
                    inner4=ip4(P4, S4, proto, four, total=20 + 99 + (20 if proto == 6 else 8)),
                    inner6=ip6(C6, S6, proto, six, plen=99 + (20 if proto == 6 else 8)))
        error64(t, f'RFC 7915 §5.3: of {label} inside only 8 bytes are there', 1, 3, u32(0), (3, 1, u32(0)),
                inner6=ip6(S6, C6, proto, upper(S6, C6, 80, 1234, load(99))[:8], plen=99 + (20 if proto == 6 else 8)),
                inner4=ip4(S4, P4, proto, upper(S4, P4, 80, 40000, load(99))[:8], total=20 + 99 + (20 if proto == 6 else 8)))
    error46(t, 'RFC 7915 §4.3: of UDP inside less than its ports is there', 3, 1, u32(0), (1, 0, u32(0)),
            inner4=ip4(P4, S4, 17, b'\x9c', total=40), inner6=ip6(C6, S6, 17, b'\x9c', plen=20))
    for n in (0, 41):
        t.translate(f'RFC 7915 §4.3: an echo request with {n} bytes inside is translated', '46',
                    ip4(R4, P4, 1, icmp4(11, 0, u32(0), ip4(P4, S4, 1, icmp4(8, 0, echo(40000, 3), load(n)), ttl=1))),
                    ip6(R4IN6, C6, 58, icmp6(R4IN6, C6, 3, 0, u32(0), ip6(C6, S6, 58, icmp6(C6, S6, 128, 0, echo(1234, 3), load(n)), hop=1)),
                        hop=63), OUT6, inner=(C6, S6, 1234, 1234))
        t.translate(f'RFC 7915 §5.3: an echo reply with {n} bytes inside is translated', '64',
                    ip6(R6, S6, 58, icmp6(R6, S6, 1, 3, u32(0), ip6(S6, C6, 58, icmp6(S6, C6, 129, 0, echo(1234, 3), load(n)), hop=1))),
                    ip4(R6IN4, S4, 1, icmp4(3, 1, u32(0), ip4(S4, P4, 1, icmp4(0, 0, echo(40000, 3), load(n)), ttl=1)), ttl=63),
                    OUT4, inner=(S4, P4, 40000, 40000))
    for cut in (2, 4, 6):
        # no identifier is known, so the one of IPv4 stays, and the checksum is right for that
        four, six = icmp4(8, 0, echo(40000, 3), load(9))[:cut], icmp6(C6, S6, 128, 0, echo(40000, 3), load(9))[:cut]
        error46(t, f'RFC 7915 §4.3: of an echo request inside only {cut} bytes are there', 3, 1, u32(0), (1, 0, u32(0)),
                inner4=ip4(P4, S4, 1, four, total=20 + 17), inner6=ip6(C6, S6, 58, six, plen=17))
    inner4 = ip4(P4, S4, 1, icmp4(3, 1, u32(0), load(28)))
    t.translate('RFC 7915 §4.3: an error about an error is dropped', '46', ip4(R4, P4, 1, icmp4(11, 0, u32(0), inner4)),
                'ICMP_ERROR_ABOUT_ERROR', OUT6, inner=SENT6)
    inner6 = ip6(S6, C6, 58, icmp6(S6, C6, 1, 3, u32(0), load(48)))
    t.translate('RFC 7915 §5.3: an error about an error is dropped', '64', ip6(R6, S6, 58, icmp6(R6, S6, 3, 0, u32(0), inner6)),
                'ICMP_ERROR_ABOUT_ERROR', OUT4, inner=CAME4)
    inner6 = ip6(S6, C6, 58, icmp6(S6, C6, 135, 0, u32(0), load(20)))
    t.translate('RFC 7915 §5.3: an error about a neighbour solicitation is dropped', '64',
                ip6(R6, S6, 58, icmp6(R6, S6, 3, 0, u32(0), inner6)), 'ICMP_UNTRANSLATABLE', OUT4, inner=CAME4)
    whole4, whole6 = udp(P4, S4, 40000, 80, load(100)), udp(C6, S6, 1234, 80, load(100))
    error46(t, 'RFC 7915 §4.3: the first fragment inside gets a Fragment header', 11, 1, u32(0), (3, 1, u32(0)),
            inner4=ip4(P4, S4, 17, whole4[:48], id=0xbeef, mf=True), inner6=ip6(C6, S6, 44, frag6(17, 0, True, 0xbeef) + whole6[:48]))
    error46(t, 'RFC 7915 §4.3: a later fragment inside keeps its offset and payload', 11, 1, u32(0), (3, 1, u32(0)),
            inner4=ip4(P4, S4, 17, whole4[48:], id=0xbeef, offset=48), inner6=ip6(C6, S6, 44, frag6(17, 48, False, 0xbeef) + whole6[48:]))
    error46(t, 'RFC 7915 §4.3: options of the packet inside are dropped, and a source route does not matter', 3, 0, u32(0), (1, 0, u32(0)),
            inner4=ip4(P4, S4, 17, whole4, options=bytes([131, 7, 4, 192, 0, 2, 1, 0])), inner6=ip6(C6, S6, 17, whole6))
    opts = lambda nh: bytes([nh, 0, 1, 4, 0, 0, 0, 0])
    back6, back4 = udp(S6, C6, 80, 1234, load(100)), udp(S4, P4, 80, 40000, load(100))
    error64(t, 'RFC 7915 §5.3: extension headers of the packet inside are skipped', 1, 0, u32(0), (3, 1, u32(0)),
            inner6=ip6(S6, C6, 60, opts(0) + opts(17) + back6), inner4=ip4(S4, P4, 17, back4))
    error64(t, 'RFC 7915 §5.3: a Routing header with segments left inside does not matter', 1, 0, u32(0), (3, 1, u32(0)),
            inner6=ip6(S6, C6, 43, bytes([17, 0, 4, 1, 0, 0, 0, 0]) + back6), inner4=ip4(S4, P4, 17, back4))
    error46(t, 'RFC 7915 §4.5: a zero UDP checksum inside stays zero', 3, 1, u32(0), (1, 0, u32(0)),
            inner4=ip4(P4, S4, 17, with_checksum(whole4, 6, 0)), inner6=ip6(C6, S6, 17, with_checksum(whole6, 6, 0)))
    error46(t, 'RFC 7915 §4.3: a checksum of the inner IPv4 header is not judged', 3, 1, u32(0), (1, 0, u32(0)),
            inner4=with_checksum(ip4(P4, S4, 17, whole4), 10, 0x1234), inner6=ip6(C6, S6, 17, whole6))
    error46(t, 'RFC 7915 §4.3: another protocol inside is translated by its IP header', 3, 2, u32(0), (4, 1, u32(6)),
            inner4=ip4(P4, S4, 132, load(30)), inner6=ip6(C6, S6, 132, load(30)))
    for proto in (0, 2, 43, 44, 58, 60):
        error46(t, f'RFC 7915 §4.3: protocol {proto} inside would be read as something else and is dropped', 3, 2, u32(0), 'UNKNOWN_PROTOCOL',
                inner4=ip4(P4, S4, proto, load(30)))
    for proto in (1, 2):
        error64(t, f'RFC 7915 §5.3: next header {proto} inside would be read as something else and is dropped', 1, 0, u32(0), 'UNKNOWN_PROTOCOL',
                inner6=ip6(S6, C6, proto, load(30)))
    big4 = ip4(P4, S4, 17, udp(P4, S4, 40000, 80, load(1400)), df=True)
    big6 = ip6(C6, S6, 17, udp(C6, S6, 1234, 80, load(1400)))
    error46(t, 'RFC 7915 §4.2: an ICMPv6 error is cut to 1280 bytes', 3, 1, u32(0), (1, 0, u32(0)), inner4=big4, inner6=big6[:1232])
    odd4, odd6 = ip4(P4, S4, 17, udp(P4, S4, 40000, 80, load(1401)), df=True), ip6(C6, S6, 17, udp(C6, S6, 1234, 80, load(1401)))
    error46(t, 'RFC 7915 §4.2: an error of odd length is cut to 1280 bytes', 3, 1, u32(0), (1, 0, u32(0)), inner4=odd4, inner6=odd6[:1232])
    back6, back4 = ip6(S6, C6, 6, tcp(S6, C6, 80, 1234, load(1400))), ip4(S4, P4, 6, tcp(S4, P4, 80, 40000, load(1400)), df=True)
    error64(t, 'RFC 7915 §5.2: an ICMPv4 error is cut to 576 bytes', 2, 0, u32(1400), (3, 4, u32(1380)),
            inner6=back6[:1232], inner4=back4[:548])
    error64(t, 'RFC 7915 §5.2: an error of odd length is cut to 576 bytes', 2, 0, u32(1400), (3, 4, u32(1380)),
            inner6=back6[:1231], inner4=back4[:548])
    for label, inner in (('39 bytes of IPv6', back6[:39]), ('IPv4', back4[:60]), ('nothing', b'')):
        why = 'BAD_VERSION' if label == 'IPv4' else 'TRUNCATED'
        error64(t, f'RFC 4443 §2.4: an ICMPv6 error with {label} inside is refused', 1, 0, u32(0), why, inner6=inner)
    error64(t, 'RFC 4443 §2.4: an ICMPv6 error whose inner extension header is cut off is refused', 1, 0, u32(0), 'TRUNCATED',
            inner6=ip6(S6, C6, 60, bytes([17, 3, 0, 0, 0, 0, 0, 0]), plen=100))
    for label, inner in (('19 bytes of IPv4', big4[:19]), ('IPv6', big6[:60]), ('nothing', b'')):
        why = 'BAD_VERSION' if label == 'IPv6' else 'TRUNCATED'
        error46(t, f'RFC 792: an ICMPv4 error with {label} inside is refused', 3, 1, u32(0), why, inner4=inner)
    worse = lambda m: with_checksum(m, 2, (struct.unpack_from('!H', m, 2)[0] + 5) % 0xffff)
    small4, small6 = ip4(P4, S4, 17, whole4), ip6(C6, S6, 17, whole6)
    t.translate('RFC 7915 §4.2: a wrong checksum of an error stays as wrong', '46', ip4(R4, P4, 1, worse(icmp4(3, 1, u32(0), small4))),
                ip6(R4IN6, C6, 58, worse(icmp6(R4IN6, C6, 1, 0, u32(0), small6)), hop=63), OUT6, inner=SENT6)
    t.write()


def rfc4884():
    t = Topic('icmp-extensions', 'Multi-part ICMP messages (RFC 4884)')
    ext = bytes([0x20, 0]) + b'\0\0' + struct.pack('!HBB', 8, 1, 1) + bytes([0, 0x12, 0x31, 0xff])
    ext = with_checksum(ext, 2, checksum(ext))
    pad = lambda data, n: data + bytes(max(0, n - len(data)))

    def way46(name, n4, n6, kind=11, out=3, inner=100, extensions=ext, new=None, dropped=False):
        four, six = ip4(P4, S4, 17, udp(P4, S4, 40000, 80, load(inner))), ip6(C6, S6, 17, udp(C6, S6, 1234, 80, load(inner)))
        message = icmp4(kind, 0 if kind == 11 else 3, bytes([0, n4 // 4, 0, 0]), pad(four, n4)[:n4] + extensions)
        code = 0 if out == 3 else 4
        if dropped:
            body = icmp6(R4IN6, C6, out, code, u32(0), pad(six, max(n6, len(six)))[:n6])
        else:
            body = icmp6(R4IN6, C6, out, code, bytes([n6 // 8, 0, 0, 0]), pad(six, max(n6, len(six)))[:n6] + extensions)
        t.translate(name, '46', ip4(R4, P4, 1, message), ip6(R4IN6, C6, 58, body, hop=63), OUT6, inner=SENT6)

    way46('RFC 4884 §4.4: extensions follow the datagram, whose length is in 64-bit words', 128, 152)
    way46('RFC 4884 §4.4: a datagram of 132 bytes needs no padding', 132, 152)
    way46('RFC 4884 §4.4: extensions follow a port unreachable', 128, 152, kind=3, out=1)
    way46('RFC 4884 §4.4: a long datagram makes room for the extensions in 1280 bytes', 1020, 1040, inner=1400)
    way46('RFC 4884 §4.4: a long extension cuts the datagram to a multiple of 8', 600, (1280 - 48 - 800) // 8 * 8, inner=1400,
          extensions=load(800))
    way46('RFC 4884 §4.3: extensions that leave just 128 bytes of datagram are kept', 128, 128, extensions=load(1104))
    way46('RFC 4884 §4.3: extensions that leave no 128 bytes of datagram are dropped', 128, 148, extensions=load(1120), dropped=True)
    way46('RFC 4884 §4.4: an odd length of extensions stays right', 128, 152, extensions=ext + b'\x55')

    four, six = ip4(P4, S4, 17, udp(P4, S4, 40000, 80, load(100))), ip6(C6, S6, 17, udp(C6, S6, 1234, 80, load(100)))
    t.translate('RFC 7915 §4.2: Packet Too Big has no place for extensions', '46',
                ip4(R4, P4, 1, icmp4(3, 4, bytes([0, 32, 5, 0x78]), four + ext)),
                ip6(R4IN6, C6, 58, icmp6(R4IN6, C6, 2, 0, u32(1420), six), hop=63), OUT6, inner=SENT6)
    t.translate('RFC 7915 §4.2: ICMPv6 Parameter Problem has no place for extensions', '46',
                ip4(R4, P4, 1, icmp4(12, 0, bytes([8, 32, 0, 0]), four + ext)),
                ip6(R4IN6, C6, 58, icmp6(R4IN6, C6, 4, 0, u32(7), six), hop=63), OUT6, inner=SENT6)
    t.translate('RFC 4884 §4.6: a length below 128 bytes is none', '46',
                ip4(R4, P4, 1, icmp4(11, 0, bytes([0, 31, 0, 0]), four + ext)),
                ip6(R4IN6, C6, 58, icmp6(R4IN6, C6, 3, 0, u32(0), six + ext), hop=63), OUT6, inner=SENT6)
    t.translate('RFC 4884 §4.6: a length beyond the message is none', '46',
                ip4(R4, P4, 1, icmp4(11, 0, bytes([0, 200, 0, 0]), four)),
                ip6(R4IN6, C6, 58, icmp6(R4IN6, C6, 3, 0, u32(0), six), hop=63), OUT6, inner=SENT6)

    def way64(name, n6, n4, inner=100, extensions=ext, kind=3, out=11, code=0, front=b'', nh=17, dropped=False):
        six, four = ip6(S6, C6, nh, front + udp(S6, C6, 80, 1234, load(inner))), ip4(S4, P4, 17, udp(S4, P4, 80, 40000, load(inner)),
                                                                                 df=inner + 28 > 1260)
        message = icmp6(R6, S6, kind, 0, bytes([n6 // 8, 0, 0, 0]), pad(six, max(n6, len(six)))[:n6] + extensions)
        tail, words = (b'', 0) if dropped else (extensions, n4 // 4)
        body = icmp4(out, code, bytes([0, words, 0, 0]), pad(four, max(n4, len(four)))[:n4] + tail)
        t.translate(name, '64', ip6(R6, S6, 58, message), ip4(R6IN4, S4, 1, body, ttl=63), OUT4, inner=CAME4)

    way64('RFC 4884 §4.1: extensions follow the datagram, whose length is in 32-bit words', 152, 132)
    way64('RFC 4884 §4.1: extensions follow a host unreachable', 152, 132, kind=1, out=3, code=1)
    way64('RFC 4884 §4.3: a datagram that shrinks below 128 bytes is padded with zeros', 128, 128, inner=40)
    way64('RFC 4884 §4.3: a datagram whose extension headers go is padded with zeros', 136, 128, inner=8,
          front=bytes([60, 1, 1, 12]) + bytes(12) + bytes([17, 7, 1, 60]) + bytes(60), nh=60)
    way64('RFC 4884 §4.1: a long datagram makes room for the extensions in 576 bytes', 1200, 576 - 28 - 12, inner=1300)
    way64('RFC 4884 §4.3: extensions that leave just 128 bytes of datagram in 576 are kept', 152, 128, extensions=load(420))
    way64('RFC 4884 §4.3: extensions that leave no 128 bytes of datagram in 576 are dropped', 152, 132, extensions=load(424), dropped=True)
    way64('RFC 4884 §4.1: an odd length of extensions stays right', 152, 132, extensions=ext + b'\x55')
    t.write()


def malformed():
    t = Topic('malformed', 'Truncated and lying packets')
    six, four = ip6(C6, S6, 6, tcp(C6, S6, 1234, 80, load(4))), ip4(S4, P4, 6, tcp(S4, P4, 80, 40000, load(4)))
    for n in (0, 1, 39, 40, 59, 63):
        t.add(f'RFC 8200 §3: {n} bytes of an IPv6 packet of 64 are refused', 'parse', six[:n], 'drop: TRUNCATED pointer=0 kind=0')
    for n in (1, 19, 20, 39, 43):
        t.add(f'RFC 791 §3.1: {n} bytes of an IPv4 packet of 44 are refused', 'parse', four[:n], 'drop: TRUNCATED pointer=0 kind=0')
    for first in (0x00, 0x50, 0x70, 0xf0):
        t.add(f'RFC 8200 §3: version {first >> 4} is refused', 'parse', bytes([first]) + six[1:], 'drop: BAD_VERSION pointer=0 kind=0')
    fix = lambda raw: with_checksum(with_checksum(raw, 10, 0), 10, checksum(raw[:10] + b'\0\0' + raw[12:(raw[0] & 15) * 4 or 20]))
    t.add('RFC 791 §3.1: a header length below 5 words is refused', 'parse', fix(b'\x44' + four[1:]), 'drop: BAD_IPV4_HEADER pointer=0 kind=0')
    t.add('RFC 791 §3.1: a header longer than the total length is refused', 'parse', ip4(S4, P4, 6, load(60), options=bytes(8), total=24),
          'drop: BAD_LENGTH pointer=0 kind=0')
    t.add('RFC 791 §3.1: a total length below the header is refused', 'parse', ip4(S4, P4, 6, load(30), total=19),
          'drop: BAD_LENGTH pointer=0 kind=0')
    t.add('RFC 791 §3.1: a total length of 0 is refused', 'parse', ip4(S4, P4, 6, load(30), total=0), 'drop: BAD_LENGTH pointer=0 kind=0')
    t.add('RFC 791 §3.1: a total length beyond the packet is refused', 'parse', ip4(S4, P4, 6, load(30), total=51),
          'drop: TRUNCATED pointer=0 kind=0')
    t.add('RFC 1812 §5.2.2: a wrong IPv4 header checksum is refused', 'parse', with_checksum(four, 10, 0x1234), 'drop: BAD_IPV4_HEADER pointer=0 kind=0')
    for label, options in (('of length 0', bytes([7, 0, 0, 0])), ('of length 1', bytes([7, 1, 0, 0])), ('too long', bytes([7, 5, 0, 0])),
                           ('without a length', bytes([1, 1, 1, 7]))):
        t.add(f'RFC 791 §3.1: an option {label} is refused', 'parse', ip4(S4, P4, 17, load(20), options=options),
              'drop: BAD_IPV4_HEADER pointer=0 kind=0')
    for n in (0, 3, 4, 19):
        t.add(f'RFC 9293 §3.1: {n} bytes of a TCP header are refused', 'parse', ip6(C6, S6, 6, tcp(C6, S6, 1, 2)[:n]),
              'drop: TRUNCATED pointer=0 kind=1')
    for doff in (0, 4, 6, 15):
        body = bytearray(tcp(C6, S6, 1, 2))
        body[12] = doff << 4
        t.add(f'RFC 9293 §3.1: a TCP data offset of {doff} in 20 bytes is refused', 'parse', ip6(C6, S6, 6, bytes(body)),
              'drop: BAD_LENGTH pointer=0 kind=1')
    for n in (0, 7):
        t.add(f'RFC 768: {n} bytes of a UDP header are refused', 'parse', ip4(S4, P4, 17, udp(S4, P4, 1, 2)[:n]), 'drop: TRUNCATED pointer=0 kind=2')
    for n, kind in ((0, 0), (1, 0), (4, 3), (7, 3)):
        t.add(f'RFC 792: {n} bytes of an echo request are refused', 'parse', ip4(S4, P4, 1, icmp4(8, 0, echo(1))[:n]),
              f'drop: TRUNCATED pointer=0 kind={kind}')
    t.translate('RFC 7915 §5: an IPv4 packet is not planned as IPv6', '64', four, 'BAD_VERSION', (P4, S4, 1, 2))
    t.translate('RFC 7915 §4: an IPv6 packet is not planned as IPv4', '46', six, 'BAD_VERSION', (S6, C6, 1, 2))
    t.write()


def addresses():
    t = Topic('addresses', 'RFC 6052 and the addresses that are never translated')
    # RFC 6052 §2.4, table of examples
    for prefix, length, text in (('2001:db8::', 32, '2001:db8:c000:221::'), ('2001:db8:100::', 40, '2001:db8:1c0:2:21::'),
                                 ('2001:db8:122::', 48, '2001:db8:122:c000:2:2100::'),
                                 ('2001:db8:122:300::', 56, '2001:db8:122:3c0:0:221::'),
                                 ('2001:db8:122:344::', 64, '2001:db8:122:344:c0:2:2100::'),
                                 ('2001:db8:122:344::', 96, '2001:db8:122:344::c000:221'),
                                 ('64:ff9b::', 96, '64:ff9b::c000:221')):
        t.add(f'RFC 6052 §2.4: 192.0.2.33 under {prefix}/{length} is {text}', f'embed prefix={prefix} length={length} ip4=192.0.2.33', None,
              f'is: {ipaddress.ip_address(text)}')
        t.add(f'RFC 6052 §2.4: {text} under a /{length} is 192.0.2.33', f'extract ip6={text} length={length}', None, 'is: 192.0.2.33')
        t.add(f'RFC 6052 §2.2: all ones under {prefix}/{length} leave the u-octet zero', f'embed prefix={prefix} length={length} ip4=255.255.255.255',
              None, 'is: ' + ones(prefix, length))
    for length in (32, 40, 48, 56, 64, 96):
        t.add(f'RFC 6052 §2.2: a u-octet that is not zero is refused under a /{length}', f'extract ip6=2001:db8:0:0:100::1 length={length}', None, 'is: none')
    for text, length in (('2001:db8:c000:221:0:1::', 32), ('2001:db8:1c0:2:21:ffff:ffff:ffff', 40), ('2001:db8:122:c000:2:2100:1::', 48),
                         ('2001:db8:122:3c0:0:221::8000', 56), ('2001:db8:122:344:c0:2:2100:1', 64)):
        t.add(f'RFC 6052 §2.2: a suffix that is not zero is ignored under a /{length}', f'extract ip6={text} length={length}', None, 'is: 192.0.2.33')
    for ip, illegal, local in (('0.0.0.0', 1, 1), ('0.1.2.3', 1, 1), ('127.0.0.1', 1, 1), ('127.255.255.255', 1, 1), ('169.254.0.1', 1, 1),
                               ('224.0.0.1', 1, 1), ('239.255.255.255', 1, 1), ('240.0.0.1', 1, 1), ('255.255.255.255', 1, 1),
                               ('1.0.0.0', 0, 0), ('126.255.255.255', 0, 0), ('128.0.0.1', 0, 0), ('223.255.255.255', 0, 0),
                               ('169.253.255.255', 0, 0), ('169.255.0.0', 0, 0), ('10.1.2.3', 0, 1), ('172.16.0.1', 0, 1),
                               ('172.31.255.255', 0, 1), ('172.32.0.0', 0, 0), ('172.15.255.255', 0, 0), ('192.168.3.4', 0, 1),
                               ('192.169.0.0', 0, 0), ('100.64.0.1', 0, 1), ('100.127.255.255', 0, 1), ('100.128.0.0', 0, 0),
                               ('192.0.0.1', 0, 1), ('192.0.0.8', 0, 1), ('192.0.0.9', 0, 0), ('192.0.0.10', 0, 0), ('192.0.0.170', 0, 1),
                               ('192.0.1.0', 0, 0), ('192.0.2.1', 0, 1), ('192.0.3.0', 0, 0), ('192.88.99.1', 0, 1), ('198.17.255.255', 0, 0),
                               ('198.18.0.1', 0, 1), ('198.19.255.255', 0, 1), ('198.20.0.0', 0, 0), ('198.51.100.1', 0, 1),
                               ('203.0.113.1', 0, 1), ('203.0.114.0', 0, 0), ('8.8.8.8', 0, 0)):
        t.add(f'RFC 6890 §2.2.2: {ip} is {"illegal" if illegal else "non-global" if local else "global"}', f'check4 ip4={ip}', None,
              f'is: illegal={illegal} nonglobal={local}')
    for ip, subnet, length, is_one in (('192.0.2.255', '192.0.2.0', 24, 1), ('192.0.2.254', '192.0.2.0', 24, 0), ('192.0.3.255', '192.0.2.0', 24, 0),
                                       ('192.0.2.7', '192.0.2.4', 30, 1), ('192.0.2.5', '192.0.2.4', 31, 0), ('192.0.2.4', '192.0.2.4', 32, 0)):
        t.add(f'RFC 3021 §2.2: {ip} is {"the" if is_one else "no"} broadcast address of {subnet}/{length}',
              f'broadcast ip4={ip} subnet={subnet} length={length}', None, f'is: {is_one}')
    for ip, illegal, known in (('::', 1, 0), ('::1', 1, 0), ('::2', 0, 0), ('::ffff:192.0.2.1', 1, 0), ('fe80::1', 1, 0), ('febf::1', 1, 0),
                               ('fec0::1', 0, 0), ('ff02::1', 1, 0), ('fd00::1', 0, 0), ('2001:db8::1', 0, 0), ('64:ff9b::1', 0, 1),
                               ('64:ff9b:1::1', 0, 0), ('64:ff9b::ffff:ffff', 0, 1), ('64:ff9b:0:0:0:1::', 0, 0), ('::100:0:0', 0, 0)):
        t.add(f'RFC 4291 §2.4: {ip} is {"illegal" if illegal else "well-known" if known else "ordinary"}', f'check6 ip6={ip}', None,
              f'is: illegal={illegal} wellknown={known}')
    t.write()


def ones(prefix, length):
    packed = bytearray(ipaddress.IPv6Address(prefix).packed)
    at = length // 8
    for _ in range(4):
        at += at == 8 and length < 96
        packed[at] = 0xff
        at += 1
    return str(ipaddress.IPv6Address(bytes(packed)))


def answers():
    t = Topic('answers', 'ICMP errors of the translator\'s own, and the TCP probe')
    G6, G4 = '2001:db8:1::1', '198.51.100.2'
    for n in (0, 1, 100, 1400):
        packet = ip6(C6, S6, 17, udp(C6, S6, 1234, 53, load(n)))
        for kind, code, data, name in ((2, 0, 1400, 'Packet Too Big'), (3, 0, 0, 'Time Exceeded'), (1, 3, 0, 'Address Unreachable')):
            t.add(f'RFC 4443 §3: {name} about {n} bytes of UDP, at most 1280 bytes', f'answer6 source={G6} type={kind} code={code} data={data}', packet,
                  ip6(G6, C6, 58, icmp6(G6, C6, kind, code, u32(data), packet[:1232])))
        packet = ip4(S4, P4, 17, udp(S4, P4, 53, 40000, load(n)))
        for kind, code, data, name in ((3, 4, 1400, 'Fragmentation Needed'), (3, 1, 0, 'Host Unreachable'), (11, 0, 0, 'Time Exceeded')):
            t.add(f'RFC 1812 §4.3: {name} about {n} bytes of UDP, at most 576 bytes', f'answer4 source={G4} type={kind} code={code} data={data} id=9', packet,
                  ip4(G4, S4, 1, icmp4(kind, code, u32(data), packet[:548]), tos=0xc0, id=9))
    route = ip6(C6, S6, 43, bytes([6, 2, 4, 1, 0, 0, 0, 0]) + bytes(16) + tcp(C6, S6, 1, 2))
    t.add('RFC 7915 §5.1: a Routing header with segments left is answered with Parameter Problem', f'answer6 source={G6} type=4 code=0 data=43', route,
          ip6(G6, C6, 58, icmp6(G6, C6, 4, 0, u32(43), route)))
    source = ip4(S4, P4, 17, udp(S4, P4, 53, 40000), options=bytes([131, 7, 4, 192, 0, 2, 1, 0]))
    t.add('RFC 7915 §4.1: a source route is answered with Source Route Failed', f'answer4 source={G4} type=3 code=5 data=0 id=9', source,
          ip4(G4, S4, 1, icmp4(3, 5, u32(0), source), tos=0xc0, id=9))
    six = udp(C6, S6, 1, 2)
    for label, packet, why in (
            ('an ICMPv6 error', ip6(C6, S6, 58, icmp6(C6, S6, 1, 0, u32(0), load(48))), 'ICMP_ERROR_ABOUT_ERROR'),
            ('an ICMPv6 error with a Routing header', ip6(C6, S6, 43, bytes([58, 0, 4, 1, 0, 0, 0, 0]) + icmp6(C6, S6, 1, 0, u32(0), load(48))),
             'ICMP_ERROR_ABOUT_ERROR'),
            ('an ICMPv6 Redirect', ip6(C6, S6, 58, icmp6(C6, S6, 137, 0, u32(0), load(32))), 'ICMP_ERROR_ABOUT_ERROR'),
            ('a later fragment of ICMPv6', ip6(C6, S6, 44, frag6(58, 8, False, 1) + load(8)), 'ICMP_ERROR_ABOUT_ERROR'),
            ('a multicast source', ip6('ff02::1', S6, 17, six), 'ILLEGAL_SOURCE'), ('no source', ip6('::', S6, 17, six), 'ILLEGAL_SOURCE'),
            ('a multicast destination', ip6(C6, 'ff0e::1', 17, six), 'ILLEGAL_DESTINATION')):
        t.add(f'RFC 4443 §2.4: no Unreachable answers {label}', f'answer6 source={G6} type=1 code=0 data=0', packet, f'drop: {why}')
    packet = ip6(C6, 'ff0e::1', 17, six)
    t.add('RFC 4443 §2.4: Packet Too Big does answer a multicast destination', f'answer6 source={G6} type=2 code=0 data=1280', packet,
          ip6(G6, C6, 58, icmp6(G6, C6, 2, 0, u32(1280), packet)))
    t.add('RFC 4443 §2.4: no erroneous header field is told of in answer to a multicast destination',
          f'answer6 source={G6} type=4 code=0 data=43', packet, 'drop: ILLEGAL_DESTINATION')
    t.add('RFC 4443 §2.4: an unrecognized option is told of in answer to a multicast destination',
          f'answer6 source={G6} type=4 code=2 data=42', packet, ip6(G6, C6, 58, icmp6(G6, C6, 4, 2, u32(42), packet)))
    four = udp(S4, P4, 1, 2)
    for label, packet, why in (('an ICMPv4 error', ip4(S4, P4, 1, icmp4(3, 1, u32(0), load(28))), 'ICMP_ERROR_ABOUT_ERROR'),
                               ('a later fragment', ip4(S4, P4, 17, load(8), offset=8), 'ICMP_FRAGMENT'),
                               ('a loopback source', ip4('127.0.0.1', P4, 17, four), 'ILLEGAL_SOURCE'),
                               ('a multicast destination', ip4(S4, '224.0.0.1', 17, four), 'ILLEGAL_DESTINATION')):
        t.add(f'RFC 1122 §3.2.2: no error answers {label}', f'answer4 source={G4} type=3 code=1 data=0 id=9', packet, f'drop: {why}')
    probe = bytes(IPv6(src=S6, dst=C6, hlim=64) / TCP(sport=80, dport=1234, flags='A', seq=0, ack=0, window=0))
    t.add('RFC 6146 §3.5.2.2: the probe is an empty ACK', f'probe src={S6} dst={C6} sport=80 dport=1234', None, probe)
    t.write()


def origins():
    t = Topic('icmp-origin', 'The IPv6 source of an ICMPv6 error, carried in ICMPv4 (RFC 6791 §4)')
    word = struct.Struct('!H')
    # RFC 5837: length, class 2, role 0 with the address bit, address family 2 (IPv6), reserved, the address
    known = struct.pack('!HBBHH', 24, 2, 0b00000100, 2, 0) + ipaddress.ip_address(R6).packed
    summed = lambda data: with_checksum(data, 2, checksum(data))
    tail = summed(bytes([0x20, 0, 0, 0]) + known)
    of = lambda kind, code, length, body: ip4(R6IN4, S4, 1, icmp4(kind, code, bytes([0, length, 0, 0]), body), ttl=63)
    quote = lambda n: ip4(S4, P4, 17, udp(S4, P4, 80, 40000, load(n - 28)), ttl=60)
    go = lambda name, packet, out: t.add(name, f'origin ip6={R6}', packet, out)
    for n in (28, 61, 127, 128):
        go(f'RFC 6791 §4: {n} bytes of datagram are padded to 128 bytes before the source', of(11, 0, 0, quote(n)),
           of(11, 0, 32, quote(n) + bytes(128 - n) + tail))
    for n in (129, 132, 517, 520):
        pad = -n % 4
        go(f'RFC 6791 §4: {n} bytes of datagram are padded to whole words before the source', of(3, 1, 0, quote(n)),
           of(3, 1, (n + pad) // 4, quote(n) + bytes(pad) + tail))
    for n in (521, 548):
        go(f'RFC 6791 §4: of {n} bytes of datagram 520 leave room for the source in 576 bytes', of(3, 1, 0, quote(n)),
           of(3, 1, 130, quote(n)[:520] + tail))
    mtu = lambda length, body: ip4(R6IN4, S4, 1, icmp4(3, 4, bytes([0, length, 5, 0xdc]), body), ttl=63)
    go('RFC 6791 §4: the MTU of Fragmentation Needed stays', mtu(0, quote(200)), mtu(50, quote(200) + tail))
    bad = lambda packet: with_checksum(packet, 22, (word.unpack_from(packet, 22)[0] + 9) % 0xffff)
    go('RFC 6791 §4: a wrong checksum stays as wrong', bad(of(11, 0, 0, quote(100))), bad(of(11, 0, 32, quote(100) + bytes(28) + tail)))
    label = struct.pack('!HBB', 8, 1, 1) + bytes([0, 0x12, 0x31, 0xff])
    before, after = bytes([0x20, 0, 0, 0]) + label, bytes([0x20, 0, 0, 0]) + label + known
    go('RFC 6791 §4: the source follows the objects of the sender', of(11, 0, 32, quote(128) + summed(before)),
       of(11, 0, 32, quote(128) + summed(after)))
    go('RFC 6791 §4: extensions without a checksum get none', of(11, 0, 32, quote(128) + before), of(11, 0, 32, quote(128) + after))
    same = lambda name, packet: go(f'RFC 6791 §4: the source is not added {name}', packet, packet)
    go('RFC 6791 §4: the source just fits 576 bytes', of(11, 0, 128, quote(512) + summed(before)),
       of(11, 0, 128, quote(512) + summed(after)))
    same('where 576 bytes are too few for it', of(11, 0, 129, quote(516) + summed(before)))
    same('to extensions of another version', of(11, 0, 32, quote(128) + summed(bytes([0x10]) + before[1:])))
    same('to extensions that are no whole words', of(11, 0, 32, quote(128) + summed(before) + b'\x55'))
    t.write()


TOPICS = (origins, echoes, mapping, mtus, nested, rfc4884, malformed, addresses, answers)
