/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and user space say to each other: the layout of every map. Compiles as BPF
 * C and as C++20. A change of any layout here needs a new GATEWAY_LAYOUT: maps outlive the daemon.
 *
 * Who writes what. User space inserts and removes flows and writes the configuration, through mmap,
 * without a system call. The programs read them, and write what is marked "program" only.
 */
#ifndef GATEWAY_TABLES_H
#define GATEWAY_TABLES_H

#include "../native/xlat/types.h"

#ifdef __cplusplus
#define GW_ASSERT(...) static_assert(__VA_ARGS__)
#else
#define GW_ASSERT(...) _Static_assert(__VA_ARGS__, "layout")
#endif

#define GATEWAY_LAYOUT 2

/*
 * Names of the maps, in the object and as pinned. The configuration is a global variable in a
 * section of its own, whose map libbpf calls GW_MAP_STATE and which is a mmapable array of one
 * struct gateway.
 */
#define GW_MAP_STATE ".data.gateway"
#define GW_MAP_FLOWS64 "flows64"   /* ARRAY, mmapable, of struct flow; see FLOW below */
#define GW_MAP_FLOWS46 "flows46"   /* the same, by the IPv4 side's key */
#define GW_MAP_NEXTHOPS "nexthops" /* ARRAY of NEXTHOPS struct nexthop */
#define GW_MAP_DEVMAP "devmap"	   /* DEVMAP_HASH: ifindex → struct bpf_devmap_val */
#define GW_MAP_VLANS "vlans"	   /* HASH: ifindex of a VLAN device → struct gateway_vlan */
#define GW_MAP_VLAN_IDS "vlan_ids" /* HASH: struct gateway_vlan → ifindex of the VLAN device */
#define GW_MAP_TRANSLATED "translated" /* PERCPU_ARRAY of struct gw_count by enum gw_direction */
#define GW_MAP_PASSES "passes"	       /* PERCPU_ARRAY of struct gw_count by enum gw_pass */
#define GW_MAP_DROPS "drops"	       /* PERCPU_ARRAY of struct gw_count by enum xlat_reason */
#define GW_MAP_SIIT6 "siit6" /* ARRAY_OF_MAPS[2] of LPM tries: siit6_key → siit6_value */
#define GW_MAP_SIIT4 "siit4" /* ARRAY_OF_MAPS[2] of LPM tries: siit4_key → siit4_value */

#define GW_PROGRAM_XDP "gateway_xdp"
#define GW_PROGRAM_TC "gateway_tc"

/*
 * Why a packet goes to the slow path: GW_PASS(NAME, sentence). Never a loss: the packet goes on
 * untouched.
 */
/* clang-format off */
#define GW_PASSES(GW_PASS) \
	GW_PASS(NOT_IP, "neither IPv4 nor IPv6") \
	GW_PASS(VLAN, "its VLAN is none of this host's, or it has more tags than one") \
	GW_PASS(NOT_TO_US, "its frame is for another host") \
	GW_PASS(NOT_OURS, "the destination is under no translation prefix") \
	GW_PASS(NO_FLOW, "no flow is installed for it") \
	GW_PASS(STALE, "its flow was changed at this moment") \
	GW_PASS(MALFORMED, "its lengths, version or header checksum are wrong") \
	GW_PASS(EXTENSION, "it has IPv6 extension headers") \
	GW_PASS(OPTIONS, "it has IPv4 options") \
	GW_PASS(FRAGMENT, "it is a fragment") \
	GW_PASS(PROTOCOL, "neither TCP, UDP nor ICMP echo") \
	GW_PASS(UDP_SUPER, "a super-packet of UDP, which may be a tunnel's") \
	GW_PASS(TCP_FLAGS, "it opens or closes a TCP connection") \
	GW_PASS(ZERO_CHECKSUM, "UDP without a checksum") \
	GW_PASS(HOP_LIMIT, "its hop limit ends here") \
	GW_PASS(TOO_BIG, "larger than the next link carries, or to be fragmented") \
	GW_PASS(NO_NEXTHOP, "the kernel knows no neighbour to forward it to") \
	GW_PASS(NO_REDIRECT, "the next hop's interface does not take redirected frames") \
	GW_PASS(MULTI_BUFFER, "its frame lies in several buffers") \
	GW_PASS(HEADROOM, "no room in front of the frame, or no memory") \
	GW_PASS(POLICY, "the policy chain is the translator's to judge")
/* clang-format on */

#define GW_PASS_ENUM(name, sentence) GW_PASS_##name,
enum gw_pass { GW_OK = 0, GW_PASSES(GW_PASS_ENUM) GW_PASS_COUNT };
#undef GW_PASS_ENUM

/* Of flows, and without state. */
enum gw_direction { GW_64, GW_46, GW_SIIT_64, GW_SIIT_46, GW_DIRECTIONS };

struct gw_count {
	uint64_t packets, bytes;
};

/*
 * FLOW. One direction of one session, one cache line. flows64 and flows46 have the same fields;
 *they differ in which of them are the key: flows64  client, remote, client_port, remote_port,
 *protocol, prefix flows46  remote, pool, remote_port, pool_port, protocol and by the direction that
 *delta, route, last_seen, packets and bytes belong to. For ICMP echo the identifier is client_port
 *and pool_port, remote_port is 0 and protocol is XLAT_PROTO_ICMP in both.
 *
 * The tables are open-addressed: max_entries is a power of two, home is flow_home64() or
 * flow_home46(), and a flow lies in one of the FLOW_PROBES slots from there on (wrapping). A reader
 * stops at FLOW_EMPTY and goes on at FLOW_DEAD. Nothing moves. Both directions are to be installed,
 * or neither: where no slot is free the flow stays with the slow path.
 *
 * Writing: compare-and-swap tag from FLOW_EMPTY or FLOW_DEAD to FLOW_BUSY, fill the rest with
 * route, last_seen, packets and bytes as below, then store (release) a tag that the slot has not
 *had before. Removing: store FLOW_DEAD, or FLOW_EMPTY where the next slot is FLOW_EMPTY. Changing a
 * flow in place is not possible: remove and insert. A reader accepts what it read when the tag is
 * the same before and after; so there is one tag, not one at either end, and the space of the other
 * is that of the byte counter.
 */
enum flow_tag { FLOW_EMPTY = 0, FLOW_DEAD = 1, FLOW_BUSY = 2, FLOW_FIRST_TAG = 4 };

#define FLOW_PROBES 16

struct flow {
	uint32_t tag;
	uint32_t route; /* program; written as 0: not resolved. Beside the tag to be swapped with it
			 */
	uint8_t client[16];
	struct be32 remote;
	struct be32 pool;
	struct be16 client_port;
	struct be16 remote_port;
	struct be16 pool_port;
	uint8_t protocol;
	uint8_t prefix;	    /* index of the RFC 6052 prefix that the server's address is under */
	uint16_t delta;	    /* xlat_delta64() or xlat_delta46(); 0 for ICMP echo */
	uint16_t mtu;	    /* of the route that it leaves by; 0: as its next hop says */
	uint32_t epoch;	    /* a slot of another epoch than the configuration's is not found */
	uint32_t last_seen; /* program; written as flow_clock(now): see there */
	uint32_t packets;   /* program; written as 0 */
	uint64_t bytes;	    /* program; written as 0. Of IP packets as received */
};
GW_ASSERT(sizeof(struct flow) == 64);
GW_ASSERT(offsetof(struct flow, client) == 8 && offsetof(struct flow, remote) == 24);
GW_ASSERT(offsetof(struct flow, client_port) == 32 && offsetof(struct flow, delta) == 40);
GW_ASSERT(offsetof(struct flow, route) == 4 && offsetof(struct flow, epoch) == 44);
GW_ASSERT(offsetof(struct flow, last_seen) == 48 && offsetof(struct flow, bytes) == 56);

/*
 * last_seen is CLOCK_MONOTONIC in units of 2^20 ns, about a millisecond, modulo 2^32: compare
 * differences. The programs read the coarse clock.
 */
XLAT_FN uint32_t flow_clock(uint64_t monotonic_ns)
{
	return (uint32_t)(monotonic_ns >> 20);
}

/*
 * flow.route: the nexthop's index and the route generation it was found in. When that is not the
 * current one, the programs look the route up anew.
 */
#define NEXTHOP_INDEX_BITS 10
#define NEXTHOPS (1u << NEXTHOP_INDEX_BITS)
#define ROUTE_GENERATION_MAX ((1u << (32 - NEXTHOP_INDEX_BITS)) - 1)

enum nexthop_tag { NEXTHOP_EMPTY = 0, NEXTHOP_BUSY = 1, ROUTE_GENERATION_FIRST = 2 };

/* Written by the programs alone. */
struct nexthop {
	uint32_t tag;	  /* NEXTHOP_EMPTY, NEXTHOP_BUSY or the route generation it is valid in */
	uint32_t ifindex; /* as the route says: where TC redirects to */
	uint8_t destination[6], source[6]; /* as in the frame */
	uint32_t port;			   /* where XDP redirects to; 0: not in the devmap */
	uint16_t vlan;			   /* identifier of the tag that XDP puts on, 0 for none */
	uint16_t mtu;			   /* the route's */
	uint32_t reserved;
};
GW_ASSERT(sizeof(struct nexthop) == 32);

/*
 * Where frames of a VLAN device go, for XDP, which sees the device below it. Both maps are written
 * by user space, with a new route generation.
 */
struct gateway_vlan {
	uint32_t parent; /* ifindex */
	uint32_t id;
};

/*
 * A translation prefix (RFC 6052 2.2) as the programs compare it: an address is under it where it
 * equals `base` in all bits of `mask`, which are all but those of the IPv4 address. So an address
 * with a suffix or a u-octet other than zero is not, and takes the slow path.
 */
struct gateway_prefix {
	uint8_t base[16];
	uint8_t mask[16];
	uint32_t length;
	uint32_t reserved;
};
GW_ASSERT(sizeof(struct gateway_prefix) == 40);

#define GATEWAY_PREFIXES 8

enum gateway_flag {
	GATEWAY_ON = 1, /* without it every packet passes */
	GATEWAY_COPY_TRAFFIC_CLASS = 2,
	GATEWAY_SIIT = 4,	 /* siit6 and siit4 are filled */
	GATEWAY_SIIT_PREFIX = 8, /* `siit` is valid */
	GATEWAY_CLAMP_MSS = 16,	 /* SYNs are the translator's without a session, too */
};

struct gateway_config {
	uint32_t epoch; /* not 0 */
	uint32_t flags; /* enum gateway_flag */
	uint32_t lowest_ipv6_mtu;
	uint32_t prefixes;
	struct gateway_prefix prefix[GATEWAY_PREFIXES];
	struct gateway_prefix siit;
	uint32_t policy; /* stands for the policy chain: with any, packets of no flow pass */
	uint32_t least4, least6; /* what every route of the family carries; 0: not known */
	uint32_t reserved[3];
};
GW_ASSERT(sizeof(struct gateway_config) == 400);

/*
 * Own addresses of the interfaces with the XDP program, which also sees what a network card in
 * promiscuous mode takes up. The address of interface i stands at i modulo GATEWAY_STATIONS as its
 * bytes lie in a frame, two bytes of zero behind them; 0 is for "not checked".
 */
#define GATEWAY_STATIONS 64

struct flow_seed {
	uint32_t key[8];
};

/*
 * A change of the configuration fills config[1 - active], then stores `active`: a packet reads that
 * once. A change of routes, links or neighbours that matters adds 1 to route_generation, which
 * stays between ROUTE_GENERATION_FIRST and ROUTE_GENERATION_MAX.
 */
struct gateway {
	uint32_t layout; /* GATEWAY_LAYOUT */
	uint32_t active; /* 0 or 1 */
	uint32_t route_generation;
	uint32_t mask64, mask46; /* slots - 1, as the maps were made */
	uint32_t device;	 /* ifindex of the translator's: what is routed there turns in it */
	uint32_t reserved[2];
	struct flow_seed seed; /* secret and random; fixed while the tables live */
	struct gateway_config config[2];
	uint64_t station[GATEWAY_STATIONS];
};
GW_ASSERT(offsetof(struct gateway, seed) == 32 && offsetof(struct gateway, config) == 64);
GW_ASSERT(sizeof(struct gateway) == 1376);

/*
 * Addresses without state (RFC 7915, RFC 7757), by the longest prefix. The maps hold a trie for
 * each copy of the configuration, so that both change at once.
 *
 * A packet is translated where both its addresses have one in the other family. siit6 holds the
 * mappings and, as SIIT_PREFIX, the RFC 6052 prefix; siit4 holds the mappings, and what it does not
 * hold is under config.siit where there is one. SIIT_BARRIER is for addresses that are not to be
 * translated, or whose packets are for the translator: in siit6 all that xlat_is_illegal6() names,
 * in siit4 what xlat_is_illegal4() names, the pools of NAT64, the host's own addresses and
 * broadcast addresses, and the non-global ones where an RFC 6052 prefix is the well-known one and
 * they are not allowed. A mapping inside a barrier, or a barrier inside a mapping, is what is
 * longer.
 */
#define SIIT_ENTRIES 65536

enum siit_kind { SIIT_MAPPING, SIIT_PREFIX, SIIT_BARRIER };

struct siit6_key {
	uint32_t length;
	uint8_t address[16];
};
struct siit6_value {
	struct be32 ipv4;
	uint8_t length6, length4, kind, reserved;
};
struct siit4_key {
	uint32_t length;
	struct be32 address;
};
struct siit4_value {
	uint8_t ipv6[16];
	uint8_t length6, length4, kind, reserved;
};
GW_ASSERT(sizeof(struct siit6_key) == 20 && sizeof(struct siit6_value) == 8);
GW_ASSERT(sizeof(struct siit4_key) == 8 && sizeof(struct siit4_value) == 20);

/*
 * NH (RFC 4418 5.2) over 32-bit words: products of pairs, each word with a key added. Almost
 * universal for who does not know the keys, and a multiplication for two words, which BPF has.
 */
XLAT_FN uint64_t flow_nh(uint32_t a, uint32_t ka, uint32_t b, uint32_t kb)
{
	uint32_t x = a + ka, y = b + kb;

	return (uint64_t)x * y;
}

/* The low bits of a product are poor, so they get their share of the high ones. */
XLAT_FN uint32_t flow_fold(uint64_t sum)
{
	sum ^= sum >> 32;
	return (uint32_t)((sum * 0x9e3779b97f4a7c15ull) >> 32);
}

/* The two ports as the wire has them, in 32 bits. */
XLAT_FN uint32_t flow_ports(struct be16 first, struct be16 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return first.raw | (uint32_t)second.raw << 16;
#else
	return second.raw | (uint32_t)first.raw << 16;
#endif
}

/* Which is the slot's number after masking. `client` is the address in four words as they lie in
 * memory. */
XLAT_FN uint32_t flow_hash64(const struct flow_seed *seed, const uint32_t client[4],
			     struct be32 remote, uint32_t client_and_remote_port, uint8_t protocol,
			     uint8_t prefix)
{
	uint64_t sum = flow_nh(client[0], seed->key[0], client[1], seed->key[1]);

	sum += flow_nh(client[2], seed->key[2], client[3], seed->key[3]);
	sum += flow_nh(remote.raw, seed->key[4], client_and_remote_port, seed->key[5]);
	sum += flow_nh((uint32_t)prefix << 8 | protocol, seed->key[6], 0, seed->key[7]);
	return flow_fold(sum);
}

XLAT_FN uint32_t flow_hash46(const struct flow_seed *seed, struct be32 remote, struct be32 pool,
			     uint32_t remote_and_pool_port, uint8_t protocol)
{
	uint64_t sum = flow_nh(remote.raw, seed->key[0], pool.raw, seed->key[1]);

	sum += flow_nh(remote_and_pool_port, seed->key[2], protocol, seed->key[3]);
	return flow_fold(sum);
}

XLAT_FN uint32_t flow_home64(const struct gateway *gateway, const struct flow *flow)
{
	uint32_t client[4];

	__builtin_memcpy(client, flow->client, 16);
	return flow_hash64(&gateway->seed, client, flow->remote,
			   flow_ports(flow->client_port, flow->remote_port), flow->protocol,
			   flow->prefix) &
	       gateway->mask64;
}

XLAT_FN uint32_t flow_home46(const struct gateway *gateway, const struct flow *flow)
{
	return flow_hash46(&gateway->seed, flow->remote, flow->pool,
			   flow_ports(flow->remote_port, flow->pool_port), flow->protocol) &
	       gateway->mask46;
}

/* `length` is one of RFC 6052's: 32, 40, 48, 56, 64 or 96. */
XLAT_FN void gateway_prefix_init(struct gateway_prefix *prefix, const uint8_t address[16],
				 uint32_t length)
{
	uint32_t i;

	for (i = 0; i < 16; i++) {
		uint32_t first = length / 8, last = length >= 96 || length < 32 ? 16 : first + 4;
		bool embedded;

		/* The four bytes go around the u-octet, byte 8. */
		if (last < 16 && last >= 8 && first <= 8)
			last++;
		embedded = i >= first && i < last && (length == 96 || i != 8);
		prefix->base[i] = embedded || i >= first ? 0 : address[i];
		prefix->mask[i] = embedded ? 0 : 0xff;
	}
	prefix->length = length;
	prefix->reserved = 0;
}

#endif
