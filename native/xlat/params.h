/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * How to translate: what neither the packet nor its flow says. All-zero is no valid value; start
 * from the defaults.
 */
#ifndef XLAT_PARAMS_H
#define XLAT_PARAMS_H

#include "types.h"
#include "wire.h"

struct xlat_params {
	/*
	 * Added to the hop limit. -1 where the translator is the hop; +1 on the TUN path, where the
	 * kernel takes one off on either side; 0 where a hairpin's other half has taken it off.
	 */
	int8_t hop_adjust;
	bool copy_traffic_class; /* else zero (RFC 7915 4.1), or the TOS below (5.1) */
	uint8_t tos;
	bool mark; /* the DSCP below takes the place of what was copied or zeroed */
	uint8_t dscp;
	bool amend_udp_zero;   /* compute a zero UDP checksum of a whole datagram, else drop (4.5) */
	bool partial_checksum; /* the field holds the pseudo-header's sum (virtio NEEDS_CSUM) */
	uint16_t gso_size;  /* payload of a segment of a super-packet, 0 for an ordinary packet */
	struct be16 ip4_id; /* for an IPv4 packet that came without a Fragment header (5.1) */
	uint16_t mss;	    /* the most a SYN may announce (RFC 9293 3.7.1), 0 for as it is */
	uint32_t lowest_ipv6_mtu; /* what a packet with DF clear is fragmented to (4.1) */
	uint32_t mtu6, mtu4;	  /* of the next hops (4.2, 5.2), 0 when not known */
};

XLAT_FN void xlat_params_init(struct xlat_params *params)
{
	__builtin_memset(params, 0, sizeof(*params));
	params->hop_adjust = -1;
	params->copy_traffic_class = true;
	params->lowest_ipv6_mtu = XLAT_IP6_MIN_MTU;
}

#endif
