/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * IPv6 over IPv4 (protocol 41): where a packet goes and how, and whether one that came may be
 * believed. 6to4 is the 6rd domain 2002::/16 whose sites have all 32 bits of their address.
 */
#ifndef XLAT_TUNNEL_H
#define XLAT_TUNNEL_H

#include "addr.h"
#include "reason.h"
#include "rfc6052.h"
#include "types.h"
#include "wire.h"

/* Routes by router, routers of ISATAP and the relay together. */
#define XLAT_TUNNEL_ROUTES 96

enum xlat_tunnel_mode {
	XLAT_TUNNEL_6IN4,
	XLAT_TUNNEL_6TO4,
	XLAT_TUNNEL_6RD,
	XLAT_TUNNEL_ISATAP,
};

struct xlat_tunnel_route {
	struct xlat_ip6 prefix;
	struct xlat_ip4 via;
	uint32_t length;
};

struct xlat_tunnel {
	struct xlat_ip4 local;
	struct xlat_ip4 remote;	 /* of 6in4 */
	struct xlat_ip6 prefix;	 /* of the domain, of 6to4 and 6rd */
	uint32_t prefix_length;
	struct xlat_ip4 common;	 /* the bits that all IPv4 addresses of the domain share */
	uint32_t common_length;
	uint32_t route_count;
	uint8_t mode;
	uint8_t tos;
	bool relayed; /* a site that others relay for gets nothing but its own (RFC 5969 9.2) */
	struct xlat_tunnel_route routes[XLAT_TUNNEL_ROUTES];
};

/* What the host is to do with a packet that goes into the tunnel. */
struct xlat_tunnel_plan {
	struct xlat_ip4 remote;
	uint8_t tos;
};

/* An address that no other host has: what xlat_is_illegal4() says, and for 6to4 private ones. */
XLAT_FN bool xlat_tunnel_no_end(const struct xlat_tunnel *t, struct xlat_ip4 ip)
{
	uint32_t a = xlat_ip4_host(ip);

	if (xlat_is_illegal4(ip))
		return true;
	return t->mode == XLAT_TUNNEL_6TO4 && /* RFC 3056 2, RFC 3964 5.3.1 */
	       ((a >> 24) == 10 || xlat_under4(a, 0xac100000, 12) || (a >> 16) == 0xc0a8 ||
		xlat_under4(a, 0x64400000, 10));
}

/* Bits first to first + 31 of an address, first at most 96. */
XLAT_FN uint32_t xlat_tunnel_bits(const struct xlat_ip6 *ip, uint32_t first)
{
	uint64_t window = 0;
	uint32_t i;

	for (i = 0; i < 5; i++)
		window = window << 8 | (first / 8 + i < 16 ? ip->b[(first / 8 + i) & 15] : 0);
	return (uint32_t)(window >> (8 - first % 8));
}

/* RFC 5214 6.1: an ISATAP interface identifier, with either value of the u bit. */
XLAT_FN bool xlat_tunnel_isatap(const struct xlat_ip6 *ip, struct xlat_ip4 *out)
{
	if ((ip->b[8] & 0xfd) || ip->b[9] || ip->b[10] != 0x5e || ip->b[11] != 0xfe)
		return false;
	*out = xlat_load_ip4(ip->b + 12);
	return true;
}

/* The IPv4 address that an IPv6 address of the link names; false when it names none. */
XLAT_FN bool xlat_tunnel_embedded(const struct xlat_tunnel *t, const struct xlat_ip6 *ip,
				  struct xlat_ip4 *out)
{
	static const struct xlat_ip6 link_local = { { 0xfe, 0x80 } };
	uint32_t bits;

	if (t->mode == XLAT_TUNNEL_ISATAP) {
		if (!xlat_under_prefix(ip, &link_local, 64) &&
		    (!t->prefix_length || !xlat_under_prefix(ip, &t->prefix, t->prefix_length)))
			return false;
		return xlat_tunnel_isatap(ip, out);
	}
	if (t->mode == XLAT_TUNNEL_6IN4 || t->prefix_length > 96 || t->common_length > 32 ||
	    !xlat_under_prefix(ip, &t->prefix, t->prefix_length))
		return false;
	bits = xlat_tunnel_bits(ip, t->prefix_length);
	bits = t->common_length < 32 ? bits >> t->common_length : 0;
	*out = xlat_ip4_of(xlat_ip4_host(t->common) | bits);
	return true;
}

/* The router of the longest prefix. */
XLAT_FN bool xlat_tunnel_router(const struct xlat_tunnel *t, const struct xlat_ip6 *dst,
				struct xlat_ip4 *out)
{
	uint32_t i, longest = 0;
	bool found = false;

	for (i = 0; i < XLAT_TUNNEL_ROUTES && i < t->route_count; i++) {
		const struct xlat_tunnel_route *route = &t->routes[i];

		if ((found && route->length <= longest) ||
		    !xlat_under_prefix(dst, &route->prefix, route->length))
			continue;
		longest = route->length;
		*out = route->via;
		found = true;
	}
	return found;
}

/* Whether packets of any IPv6 source are taken from this address. */
XLAT_FN bool xlat_tunnel_trusts(const struct xlat_tunnel *t, struct xlat_ip4 source)
{
	uint32_t i;

	for (i = 0; i < XLAT_TUNNEL_ROUTES && i < t->route_count; i++)
		if (xlat_ip4_equal(t->routes[i].via, source))
			return true;
	return false;
}

/* RFC 4213 3.6: neither multicast nor loopback, neither IPv4-compatible nor IPv4-mapped. */
XLAT_FN bool xlat_tunnel_bad_source(const struct xlat_ip6 *ip)
{
	uint32_t i, high = 0, low = 0;

	if (ip->b[0] == 0xff)
		return true;
	for (i = 0; i < 10; i++)
		high |= ip->b[i];
	for (i = 12; i < 16; i++)
		low |= ip->b[i];
	if (high)
		return false;
	if (ip->b[10] == 0xff && ip->b[11] == 0xff)
		return true;
	return !ip->b[10] && !ip->b[11] && low; /* the unspecified address is for DAD */
}

/* The length of an IPv6 packet of `have` bytes, padding cut off. */
XLAT_FN enum xlat_reason xlat_tunnel_length(const uint8_t *packet, uint32_t have, uint32_t *length)
{
	if (have < XLAT_IP6_LEN)
		return XLAT_TRUNCATED;
	if (packet[0] >> 4 != 6)
		return XLAT_BAD_VERSION;
	*length = XLAT_IP6_LEN + xlat_get16(packet + XLAT_IP6_PAYLOAD);
	return *length > have ? XLAT_TRUNCATED : XLAT_OK;
}

XLAT_FN uint8_t xlat_tunnel_class(const uint8_t *packet)
{
	return (uint8_t)(packet[0] << 4 | packet[1] >> 4);
}

/* RFC 6040 4.1, normal mode: the ECN field goes along. */
XLAT_FN uint8_t xlat_tunnel_tos(const struct xlat_tunnel *t, const uint8_t *packet)
{
	return (uint8_t)((t->tos & 0xfc) | (xlat_tunnel_class(packet) & 3));
}

/* A whole packet that is to go into the tunnel. */
XLAT_FN enum xlat_reason xlat_tunnel_encapsulate(const struct xlat_tunnel *t, const uint8_t *packet,
						 struct xlat_tunnel_plan *plan)
{
	struct xlat_ip6 src = xlat_load_ip6(packet + XLAT_IP6_SRC);
	struct xlat_ip6 dst = xlat_load_ip6(packet + XLAT_IP6_DST);
	struct xlat_ip4 named;

	plan->tos = xlat_tunnel_tos(t, packet);
	plan->remote = t->remote;
	if (t->mode == XLAT_TUNNEL_6IN4)
		return XLAT_OK;
	/* RFC 6324 3.1: it came out of this link, or pretends to be of it. */
	if (xlat_tunnel_embedded(t, &src, &named) && !xlat_ip4_equal(named, t->local))
		return XLAT_TUNNEL_LOOP;
	if (!xlat_tunnel_embedded(t, &dst, &plan->remote) &&
	    !xlat_tunnel_router(t, &dst, &plan->remote))
		return XLAT_TUNNEL_NO_REMOTE;
	if (xlat_ip4_equal(plan->remote, t->local))
		return XLAT_TUNNEL_LOOP;
	return xlat_tunnel_no_end(t, plan->remote) ? XLAT_TUNNEL_OUTER_DESTINATION : XLAT_OK;
}

/* Whether the end `outer` may send what has this source. */
XLAT_FN bool xlat_tunnel_believes(const struct xlat_tunnel *t, struct xlat_ip4 outer,
				  const struct xlat_ip6 *src)
{
	struct xlat_ip4 named;

	if (xlat_tunnel_embedded(t, src, &named))
		return xlat_ip4_equal(named, outer);
	if (t->mode == XLAT_TUNNEL_ISATAP && xlat_tunnel_isatap(src, &named) &&
	    xlat_ip4_equal(named, outer)) /* RFC 5214 7.3 asks for no prefix */
		return true;
	return xlat_tunnel_trusts(t, outer);
}

/*
 * How well a packet from `outer` fits this tunnel, of those on one local address: its other end, by
 * the destination, by the source, or as a router's, which may be one for several tunnels. 0: not.
 */
XLAT_FN uint32_t xlat_tunnel_fits(const struct xlat_tunnel *t, struct xlat_ip4 outer,
				  const uint8_t *packet)
{
	struct xlat_ip6 src = xlat_load_ip6(packet + XLAT_IP6_SRC);
	struct xlat_ip6 dst = xlat_load_ip6(packet + XLAT_IP6_DST);
	struct xlat_ip4 named;

	if (t->mode == XLAT_TUNNEL_6IN4)
		return xlat_ip4_equal(outer, t->remote) ? 4 : 0;
	if (xlat_tunnel_embedded(t, &dst, &named))
		return 3;
	if (xlat_tunnel_embedded(t, &src, &named))
		return 2;
	return xlat_tunnel_trusts(t, outer) ? 1 : 0;
}

/* A whole packet that came from `outer` in a packet to t->local. */
XLAT_FN enum xlat_reason xlat_tunnel_accept(const struct xlat_tunnel *t, struct xlat_ip4 outer,
					    const uint8_t *packet)
{
	struct xlat_ip6 src = xlat_load_ip6(packet + XLAT_IP6_SRC);
	struct xlat_ip6 dst = xlat_load_ip6(packet + XLAT_IP6_DST);
	struct xlat_ip4 named;
	bool ours;

	if (xlat_tunnel_no_end(t, outer))
		return XLAT_TUNNEL_OUTER_SOURCE;
	if (xlat_tunnel_bad_source(&src))
		return XLAT_TUNNEL_INNER_SOURCE;
	if (t->mode == XLAT_TUNNEL_6IN4)
		return XLAT_OK;
	if (xlat_ip4_equal(outer, t->local))
		return XLAT_TUNNEL_LOOP;
	if (!xlat_tunnel_believes(t, outer, &src))
		return XLAT_TUNNEL_SPOOFED;
	ours = xlat_tunnel_embedded(t, &dst, &named);
	if (ours && !xlat_ip4_equal(named, t->local))
		return XLAT_TUNNEL_LOOP;
	return t->relayed && !ours && dst.b[0] != 0xff ? XLAT_TUNNEL_DESTINATION : XLAT_OK;
}

/*
 * RFC 6040 4.2: the ECN field of a packet that came out, after what its outer header says; changes
 * the packet, or refuses it.
 */
XLAT_FN enum xlat_reason xlat_tunnel_ecn(uint8_t outer_tos, uint8_t *packet)
{
	uint8_t outer = outer_tos & 3, inner = xlat_tunnel_class(packet) & 3;

	if (outer == 3 && inner == 0)
		return XLAT_TUNNEL_CONGESTED;
	if (outer == 3 || (outer == 1 && inner == 2))
		packet[1] = (uint8_t)((packet[1] & 0xcf) | outer << 4);
	return XLAT_OK;
}

#endif
