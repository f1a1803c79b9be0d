/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The wire format: sizes, field offsets and numbers. Fields are read with xlat_get16() and its kin
 * at these offsets, never through a cast, so no header needs an alignment.
 */
#ifndef XLAT_WIRE_H
#define XLAT_WIRE_H

#include "types.h"

enum xlat_size {
	XLAT_IP4_LEN = 20,
	XLAT_IP6_LEN = 40,
	XLAT_FRAGMENT_LEN = 8,
	XLAT_TCP_LEN = 20,
	XLAT_TCP_OPTIONS_MAX = 40,
	XLAT_UDP_LEN = 8,
	XLAT_ICMP_LEN = 8,
	XLAT_IP4_MAX = 65535,
	XLAT_IP6_MIN_MTU = 1280,     /* RFC 8200 5 */
	XLAT_IP4_MIN_MTU = 68,	     /* RFC 791 3.2 */
	XLAT_EXT_DATAGRAM_MIN = 128, /* RFC 4884 4.3 */
	XLAT_IP4_ERROR_MAX = 576,    /* RFC 1812 4.3.2.3 */
	XLAT_IP6_ERROR_MAX = 1280,   /* RFC 4443 2.4 (c) */
};

enum xlat_ip4_field { /* RFC 791 3.1 */
		      XLAT_IP4_VERSION = 0,
		      XLAT_IP4_TOS = 1,
		      XLAT_IP4_TOTAL = 2,
		      XLAT_IP4_ID = 4,
		      XLAT_IP4_FRAGMENT = 6,
		      XLAT_IP4_TTL = 8,
		      XLAT_IP4_PROTOCOL = 9,
		      XLAT_IP4_CHECKSUM = 10,
		      XLAT_IP4_SRC = 12,
		      XLAT_IP4_DST = 16,
		      XLAT_IP4_DF = 0x4000,
		      XLAT_IP4_MF = 0x2000,
		      XLAT_IP4_OFFSET_MASK = 0x1fff,
};

enum xlat_ip4_option {
	XLAT_OPTION_END = 0,
	XLAT_OPTION_NOP = 1,
	XLAT_OPTION_LSRR = 131,
	XLAT_OPTION_SSRR = 137,
};

enum xlat_ip6_field { /* RFC 8200 3 and 4.5 */
		      XLAT_IP6_PAYLOAD = 4,
		      XLAT_IP6_NEXT = 6,
		      XLAT_IP6_HOP = 7,
		      XLAT_IP6_SRC = 8,
		      XLAT_IP6_DST = 24,
		      XLAT_FRAGMENT_OFFSET = 2,
		      XLAT_FRAGMENT_ID = 4,
		      XLAT_FRAGMENT_MORE = 1,
		      XLAT_FRAGMENT_OFFSET_MASK = 0xfff8,
		      XLAT_ROUTING_SEGMENTS_LEFT = 3,
};

enum xlat_protocol {
	XLAT_PROTO_HOP_BY_HOP = 0,
	XLAT_PROTO_ICMP = 1,
	XLAT_PROTO_IGMP = 2,
	XLAT_PROTO_TCP = 6,
	XLAT_PROTO_UDP = 17,
	XLAT_PROTO_IPV6 = 41,
	XLAT_PROTO_ROUTING = 43,
	XLAT_PROTO_FRAGMENT = 44,
	XLAT_PROTO_AUTHENTICATION = 51,
	XLAT_PROTO_ICMP6 = 58,
	XLAT_PROTO_DESTINATION = 60,
	XLAT_PROTO_MOBILITY = 135,
	XLAT_PROTO_HIP = 139,
	XLAT_PROTO_SHIM6 = 140,
};

enum xlat_l4_field {
	XLAT_SRC_PORT = 0,
	XLAT_DST_PORT = 2,
	XLAT_TCP_DATA = 12,
	XLAT_TCP_FLAGS = 13,
	XLAT_TCP_CHECKSUM = 16,
	XLAT_UDP_LENGTH = 4,
	XLAT_UDP_CHECKSUM = 6,
	XLAT_ICMP_TYPE = 0,
	XLAT_ICMP_CODE = 1,
	XLAT_ICMP_CHECKSUM = 2,
	XLAT_ICMP_ID = 4,
	XLAT_ICMP_DATA = 4,
	XLAT_ICMP4_EXT_LENGTH = 5, /* RFC 4884 4.1: 32-bit words */
	XLAT_ICMP4_MTU = 6,
	XLAT_ICMP6_EXT_LENGTH = 4, /* RFC 4884 4.4: 64-bit words */
};

enum xlat_tcp_flag {
	XLAT_TCP_FIN = 0x01,
	XLAT_TCP_SYN = 0x02,
	XLAT_TCP_RST = 0x04,
	XLAT_TCP_PSH = 0x08,
	XLAT_TCP_ACK = 0x10,
};

enum xlat_tcp_option { /* RFC 9293 3.1 */
		       XLAT_TCP_END = 0,
		       XLAT_TCP_NOP = 1,
		       XLAT_TCP_MSS = 2,
		       XLAT_TCP_MSS_LEN = 4,
};

enum xlat_icmp4_type {
	XLAT_ICMP4_ECHO_REPLY = 0,
	XLAT_ICMP4_UNREACHABLE = 3,
	XLAT_ICMP4_SOURCE_QUENCH = 4,
	XLAT_ICMP4_REDIRECT = 5,
	XLAT_ICMP4_ECHO = 8,
	XLAT_ICMP4_TIME_EXCEEDED = 11,
	XLAT_ICMP4_PARAMETER = 12,
};

enum xlat_icmp6_type {
	XLAT_ICMP6_UNREACHABLE = 1,
	XLAT_ICMP6_TOO_BIG = 2,
	XLAT_ICMP6_TIME_EXCEEDED = 3,
	XLAT_ICMP6_PARAMETER = 4,
	XLAT_ICMP6_INFORMATIONAL = 128, /* and above; RFC 4443 2.1 */
	XLAT_ICMP6_ECHO = 128,
	XLAT_ICMP6_ECHO_REPLY = 129,
	XLAT_ICMP6_REDIRECT = 137, /* RFC 4861 4.5 */
};

#endif
