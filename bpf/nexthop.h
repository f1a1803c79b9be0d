/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a translated packet goes. A FIB lookup costs as much as the whole translation, so its
 * answer stays with the flow until the route generation changes.
 */
#ifndef GATEWAY_NEXTHOP_H
#define GATEWAY_NEXTHOP_H

#include "flow.h"

#define GW_AF_INET 2
#define GW_AF_INET6 10

/* What a nexthop says, read at once. */
struct gw_hop {
	uint64_t macs0; /* the first 12 bytes of the frame */
	uint32_t macs1;
	uint32_t ifindex, port;
	uint16_t vlan, mtu;
};

/* The programs' own copy; false when the entry changed meanwhile. */
GW_FN bool gw_read_hop(uint32_t index, uint32_t generation, struct gw_hop *hop)
{
	struct nexthop *entry = bpf_map_lookup_elem(&nexthops, &index);

	if (!entry || GW_READ_ONCE(entry->tag) != generation)
		return false;
	hop->macs0 = *(const uint64_t *)(const void *)entry->destination;
	hop->macs1 = *(const uint32_t *)(const void *)(entry->destination + 8);
	hop->ifindex = entry->ifindex;
	hop->port = entry->port;
	hop->vlan = entry->vlan;
	hop->mtu = entry->mtu;
	gw_barrier();
	return GW_READ_ONCE(entry->tag) == generation;
}

/* What XDP may redirect to: the interface itself, or the one below a VLAN. */
GW_FN void gw_find_port(uint32_t ifindex, struct gw_hop *hop)
{
	struct gateway_vlan *vlan = bpf_map_lookup_elem(&vlans, &ifindex);
	uint32_t port = vlan ? vlan->parent : ifindex;

	hop->vlan = vlan ? (uint16_t)vlan->id : 0;
	hop->port = bpf_map_lookup_elem(&devmap, &port) ? port : 0;
}

GW_FN bool gw_same_hop(const struct nexthop *entry, const struct gw_hop *hop)
{
	return *(const uint64_t *)(const void *)entry->destination == hop->macs0 &&
	       *(const uint32_t *)(const void *)(entry->destination + 8) == hop->macs1 &&
	       entry->ifindex == hop->ifindex && entry->mtu == hop->mtu &&
	       entry->port == hop->port && entry->vlan == hop->vlan;
}

/* An entry of this generation is never changed, so what a flow remembers stays true for as long. */
GW_FN bool gw_claim_hop(struct nexthop *entry, uint32_t generation, const struct gw_hop *hop)
{
	uint32_t tag = GW_READ_ONCE(entry->tag);

	if (tag == generation)
		return gw_same_hop(entry, hop);
	if (tag == NEXTHOP_BUSY)
		return false;
	if (__sync_val_compare_and_swap(&entry->tag, tag, NEXTHOP_BUSY) != tag)
		return false;
	*(uint64_t *)(void *)entry->destination = hop->macs0;
	*(uint32_t *)(void *)(entry->destination + 8) = hop->macs1;
	entry->ifindex = hop->ifindex;
	entry->port = hop->port;
	entry->vlan = hop->vlan;
	entry->mtu = hop->mtu;
	__sync_lock_test_and_set(&entry->tag, generation);
	return true;
}

/* Together with the tag, so that no other flow gets it that has come into the slot meanwhile. */
GW_FN void gw_set_route(const struct gw_found *found, uint32_t route)
{
	uint64_t *head = (void *)found->flow;
	uint64_t old = (uint64_t)GW_READ_ONCE(found->flow->route) << 32 | found->tag;

	__sync_val_compare_and_swap(head, old, (uint64_t)route << 32 | found->tag);
}

/* Remembers the next hop with the flow; where the table is full the next packet looks it up again.
 */
GW_FN void gw_keep_hop(const struct gw_found *found, uint32_t generation, const struct gw_hop *hop)
{
	uint32_t home = flow_fold(hop->macs0 * 3 + hop->macs1 + ((uint64_t)hop->ifindex << 32));
	uint32_t i;

	for (i = 0; i < 4; i++) {
		uint32_t at = (home + i) & (NEXTHOPS - 1);
		struct nexthop *entry = bpf_map_lookup_elem(&nexthops, &at);

		if (entry && gw_claim_hop(entry, generation, hop)) {
			gw_set_route(found, generation << NEXTHOP_INDEX_BITS | at);
			return;
		}
	}
}

/* A packet's addresses and ports in both families, and the one it leaves by. */
struct gw_ends {
	struct xlat_tuple6 six;
	struct xlat_tuple4 four;
	uint8_t family, protocol;
};

/*
 * Asks the kernel. Answers 0 unless a frame can be sent right away: no route, a route that rejects,
 * the host's own address, forwarding turned off, or no neighbour yet.
 */
GW_FN int gw_ask(void *ctx, const struct gw_ends *ends, uint32_t ifindex, struct gw_hop *hop)
{
	struct bpf_fib_lookup fib = { 0 };

	fib.ifindex = ifindex;
	fib.l4_protocol = ends->protocol;
	/* Not 0, so that the answer holds the route's MTU. */
	fib.tot_len = 1;
	if (ends->family == 4) {
		fib.family = GW_AF_INET;
		fib.ipv4_src = ends->four.src.addr.raw;
		fib.ipv4_dst = ends->four.dst.addr.raw;
		fib.sport = ends->four.src_port.raw;
		fib.dport = ends->four.dst_port.raw;
	} else {
		fib.family = GW_AF_INET6;
		__builtin_memcpy(fib.ipv6_src, ends->six.src.b, 16);
		__builtin_memcpy(fib.ipv6_dst, ends->six.dst.b, 16);
		fib.sport = ends->six.src_port.raw;
		fib.dport = ends->six.dst_port.raw;
	}
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	if (fib.ifindex == gateway.device)
		return 0;
	hop->ifindex = fib.ifindex;
	hop->mtu = fib.mtu_result;
	__builtin_memcpy(&hop->macs0, fib.dmac, 6);
	__builtin_memcpy((uint8_t *)&hop->macs0 + 6, fib.smac, 2);
	__builtin_memcpy(&hop->macs1, fib.smac + 2, 4);
	gw_find_port(fib.ifindex, hop);
	return 1;
}

/* As a function of its own: the stack of a program is small. */
GW_CALL int gw_ask_once(void *ctx, const struct gw_ends *ends, uint32_t ifindex, struct gw_hop *hop)
{
	return gw_ask(ctx, ends, ifindex, hop);
}

/* Where a flow leaves to, from its pool address or from its server. */
GW_FN void gw_ends_of(const struct flow *flow, struct gw_ends *ends)
{
	const struct gateway_config *config = gw_config();
	const struct gateway_prefix *prefix =
		&config->prefix[flow->prefix & (GATEWAY_PREFIXES - 1)];
	struct xlat_ip4 remote = { flow->remote };
	struct xlat_ip6 base;

	ends->protocol = flow->protocol;
	if (ends->family == 4) {
		ends->four.src.addr = flow->pool;
		ends->four.dst.addr = flow->remote;
		ends->four.src_port = flow->pool_port;
		ends->four.dst_port = flow->remote_port;
		return;
	}
	base = xlat_load_ip6(prefix->base);
	ends->six.src = xlat_embed(&base, prefix->length, remote);
	ends->six.dst = xlat_load_ip6(flow->client);
	ends->six.src_port = flow->remote_port;
	ends->six.dst_port = flow->client_port;
}

/* Asks, and keeps the answer with the flow. */
GW_CALL int gw_lookup_hop(void *ctx, const struct gw_found *found, uint32_t ifindex,
			  uint32_t family, struct gw_hop *hop)
{
	uint32_t generation = GW_READ_ONCE(gateway.route_generation);
	struct gw_ends ends = { .family = (uint8_t)family };

	gw_ends_of(found->flow, &ends);
	if (!gw_ask(ctx, &ends, ifindex, hop))
		return 0;
	gw_keep_hop(found, generation, hop);
	return 1;
}

/* The flow's next hop, remembered or asked for. */
GW_FN enum gw_pass gw_route(void *ctx, const struct gw_found *found, uint32_t ifindex,
			    uint32_t family, struct gw_hop *hop)
{
	uint32_t generation = GW_READ_ONCE(gateway.route_generation);
	uint32_t route = GW_READ_ONCE(found->flow->route);
	struct gw_hop answer;
	struct gw_found copy;

	if (XLAT_LIKELY(route >> NEXTHOP_INDEX_BITS == generation) &&
	    XLAT_LIKELY(gw_read_hop(route & (NEXTHOPS - 1), generation, hop)))
		return GW_OK;
	/* Copies, so that the caller's own stay in registers. */
	copy = *found;
	if (!gw_lookup_hop(ctx, &copy, ifindex, family, &answer))
		return GW_PASS_NO_NEXTHOP;
	*hop = answer;
	return GW_OK;
}

#endif
