/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Why a packet was not translated. This table is the only list of reasons: counters, logs, the API
 * and the metrics are derived from it. XLAT_REASON(NAME, sentence, the RFC passage that asks for
 * it).
 */
#ifndef XLAT_REASON_H
#define XLAT_REASON_H

#include "types.h"

/* clang-format off */
#define XLAT_REASONS(XLAT_REASON) \
	XLAT_REASON(TRUNCATED, "the packet is shorter than its headers say", "RFC 791 3.1, RFC 8200 3") \
	XLAT_REASON(BAD_VERSION, "the packet is neither IPv4 nor IPv6", "RFC 8200 3") \
	XLAT_REASON(BAD_LENGTH, "a length field contradicts the packet", "RFC 791 3.1, RFC 8200 3") \
	XLAT_REASON(BAD_IPV4_HEADER, "the IPv4 header checksum or an option is wrong", "RFC 1812 5.2.2") \
	XLAT_REASON(SOURCE_ROUTE, "an unexpired IPv4 source route", "RFC 7915 4.1") \
	XLAT_REASON(ROUTING_HEADER, "a Routing header with segments left", "RFC 7915 5.1") \
	XLAT_REASON(EXTENSION_AFTER_FRAGMENT, "an extension header after the Fragment header", "RFC 7915 5.1.1") \
	XLAT_REASON(TOO_MANY_EXTENSIONS, "too many IPv6 extension headers", "RFC 7915 5.1") \
	XLAT_REASON(UNKNOWN_PROTOCOL, "an upper-layer protocol that cannot be translated", "RFC 6146 3.5") \
	XLAT_REASON(ICMP_UNTRANSLATABLE, "an ICMP message without a counterpart", "RFC 7915 4.2, 5.2") \
	XLAT_REASON(ICMP_ERROR_ABOUT_ERROR, "an ICMP error about an ICMP error", "RFC 7915 4.3, 5.3") \
	XLAT_REASON(ICMP_FRAGMENT, "a fragment of an ICMP message", "RFC 7915 4.2, 5.2") \
	XLAT_REASON(ICMP_DAMAGED, "an ICMP error whose checksum is wrong", "RFC 5508 4.1") \
	XLAT_REASON(ICMP_NO_SESSION, "an ICMP error about a packet of no session", "RFC 6146 3.5.3, RFC 5508 4") \
	XLAT_REASON(ICMP_INNER_ADDRESS, "an ICMP error about a packet whose addresses do not translate", "RFC 7915 4.3, 5.3") \
	XLAT_REASON(ILLEGAL_SOURCE, "a source address that may not be translated", "RFC 7915 4.1, 5.1") \
	XLAT_REASON(ILLEGAL_DESTINATION, "a destination address that may not be translated", "RFC 7915 4.1, 5.1") \
	XLAT_REASON(NON_GLOBAL_IPV4, "a non-global IPv4 address under the well-known prefix", "RFC 6052 3.1") \
	XLAT_REASON(NOT_OUR_PREFIX, "the destination is under no translation prefix", "RFC 6146 3.5") \
	XLAT_REASON(POLICY_DENY, "denied by the policy", "RFC 1812 5.3.9") \
	XLAT_REASON(POLICY_RATE, "the client sends or receives faster than the policy lets it", "RFC 2475 2.3.3.4") \
	XLAT_REASON(POLICY_QUOTA, "the client has used up what the policy gives it for this time", "RFC 2475 2.3.3.4") \
	XLAT_REASON(HAIRPIN_LOOP, "the packet came from the translator itself", "RFC 6146 3.5") \
	XLAT_REASON(HOP_LIMIT, "the hop limit or TTL ran out", "RFC 7915 4.1, 5.1") \
	XLAT_REASON(TOO_BIG, "larger than the next link carries, and not to be fragmented", "RFC 7915 4, 5") \
	XLAT_REASON(SPLIT_FIRST, "a super-packet that must be split before it is fragmented", "RFC 7915 4") \
	XLAT_REASON(UDP_CHECKSUM_ZERO, "a UDP datagram without a checksum", "RFC 7915 4.5") \
	XLAT_REASON(NO_BINDING, "no binding for the IPv4 destination", "RFC 6146 3.5.1.2, 3.5.2") \
	XLAT_REASON(FILTERED, "refused by address-dependent filtering", "RFC 6146 3.5.1.2, 3.5.2") \
	XLAT_REASON(TCP_NOT_SYN, "a TCP segment of no session that does not open one", "RFC 6146 3.5.2.2") \
	XLAT_REASON(SYN_HELD_EXPIRED, "an unsolicited inbound SYN nobody answered", "RFC 6146 3.5.2.2") \
	XLAT_REASON(SYN_HELD_FULL, "no memory left to hold an unsolicited inbound SYN", "RFC 6146 5.3") \
	XLAT_REASON(NO_POOL, "no IPv4 pool for this client", "RFC 6146 3.5.1.1") \
	XLAT_REASON(NO_PORT, "no free port or identifier in the pool", "RFC 6146 3.5.1.1") \
	XLAT_REASON(TABLE_FULL, "the session table is full", "RFC 6146 5.3") \
	XLAT_REASON(CLIENT_LIMIT, "the client holds as many bindings as it may", "RFC 6888 3 REQ-4") \
	XLAT_REASON(CLIENT_BLOCKS, "the blocks of ports that the client may have are full", "RFC 6888 3 REQ-4") \
	XLAT_REASON(CLIENT_SESSIONS, "the client holds as many sessions as it may", "RFC 6888 3 REQ-5") \
	XLAT_REASON(CLIENT_RATE, "the client opens sessions faster than it may", "RFC 6888 3 REQ-4") \
	XLAT_REASON(FRAGMENT_TIMEOUT, "the first fragment did not come in time", "RFC 6146 3.4") \
	XLAT_REASON(FRAGMENT_MEMORY, "no memory left for waiting fragments", "RFC 6146 3.4, 5.3") \
	XLAT_REASON(FRAGMENT_OVERLAP, "overlapping fragments", "RFC 5722 4") \
	XLAT_REASON(RATE_LIMITED, "an ICMP error of our own was held back by its rate limit", "RFC 4443 2.4") \
	XLAT_REASON(TUNNEL_UNKNOWN, "an encapsulated packet of no tunnel", "RFC 4213 3.6") \
	XLAT_REASON(TUNNEL_OUTER_SOURCE, "an IPv4 source that cannot be the end of a tunnel", "RFC 4213 3.6, RFC 3964 5.3.1") \
	XLAT_REASON(TUNNEL_INNER_SOURCE, "an IPv6 source that no packet may have", "RFC 4213 3.6") \
	XLAT_REASON(TUNNEL_SPOOFED, "the IPv4 source is not the one that the IPv6 source names", "RFC 3964 5.1, RFC 5214 7.3, RFC 5969 9.2") \
	XLAT_REASON(TUNNEL_DESTINATION, "an IPv6 destination that is not of this site", "RFC 5969 9.2") \
	XLAT_REASON(TUNNEL_LOOP, "the packet would go back into a tunnel", "RFC 6324 3.1") \
	XLAT_REASON(TUNNEL_CONGESTED, "congestion marked on a packet that cannot carry the mark", "RFC 6040 4.2") \
	XLAT_REASON(TUNNEL_NO_REMOTE, "no router for a destination that names no IPv4 address", "RFC 3056 5.1, RFC 5969 8") \
	XLAT_REASON(TUNNEL_OUTER_DESTINATION, "the IPv6 destination names an address that cannot be the end of a tunnel", "RFC 3964 5.3.1") \
	XLAT_REASON(TUNNEL_SEND, "the IPv4 network did not take the packet", "RFC 4213 3.5") \
	XLAT_REASON(TUNNEL_RECEIVE, "encapsulated packets came faster than they are taken", "RFC 4213 3.6") \
	XLAT_REASON(TUN_WRITE, "the TUN device did not take the packet", "RFC 6146 3.7")
/* clang-format on */

#define XLAT_REASON_ENUM(name, sentence, rfc) XLAT_##name,
enum xlat_reason { XLAT_OK = 0, XLAT_REASONS(XLAT_REASON_ENUM) XLAT_REASON_COUNT };
#undef XLAT_REASON_ENUM

#if !defined(__KERNEL__) && !defined(__bpf__)
struct xlat_reason_row {
	const char *name, *sentence, *rfc;
};

/* The row of a reason; XLAT_OK and the rows after it, in the order of the enum. */
static inline const struct xlat_reason_row *xlat_reason_text(uint32_t why)
{
#define XLAT_REASON_ROW(name, sentence, rfc) { #name, sentence, rfc },
	static const struct xlat_reason_row rows[] = {
		{ "OK", "translated", "" },
		XLAT_REASONS(XLAT_REASON_ROW)
		{ "UNKNOWN", "a reason without a row", "" },
	};
#undef XLAT_REASON_ROW

	return &rows[why < (uint32_t)XLAT_REASON_COUNT ? why : (uint32_t)XLAT_REASON_COUNT];
}
#endif

#endif
