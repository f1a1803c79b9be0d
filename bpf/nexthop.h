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
GW_FN void gw_set_route(struct flow *flow, uint32_t tag, uint32_t route)
{
	uint64_t *head = (void *)flow;
	uint64_t old = (uint64_t)GW_READ_ONCE(flow->route) << 32 | tag;

	__sync_val_compare_and_swap(head, old, (uint64_t)route << 32 | tag);
}

/* Remembers the next hop with the flow; where the table is full the next packet looks it up again.
 */
GW_FN void gw_keep_hop(struct flow *flow, uint32_t tag, uint32_t generation,
		       const struct gw_hop *hop)
{
	uint32_t home = flow_fold(hop->macs0 * 3 + hop->macs1 + ((uint64_t)hop->ifindex << 32));
	uint32_t i;

	for (i = 0; i < 4; i++) {
		uint32_t at = (home + i) & (NEXTHOPS - 1);
		struct nexthop *entry = bpf_map_lookup_elem(&nexthops, &at);

		if (entry && gw_claim_hop(entry, generation, hop)) {
			gw_set_route(flow, tag, generation << NEXTHOP_INDEX_BITS | at);
			return;
		}
	}
}

/*
 * Asks the kernel. Answers 0 unless a frame can be sent right away: no route, a route that rejects,
 * the host's own address, forwarding turned off, or no neighbour yet.
 */
GW_FN int gw_ask(void *ctx, struct bpf_fib_lookup *fib, struct gw_hop *hop)
{
	/* Not 0, so that the answer holds the route's MTU. */
	fib->tot_len = 1;
	if (bpf_fib_lookup(ctx, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	/* Routed to the translator: a hairpin, or a state that it has to see. */
	if (fib->ifindex == gateway.device)
		return 0;
	hop->ifindex = fib->ifindex;
	hop->mtu = fib->mtu_result;
	__builtin_memcpy(&hop->macs0, fib->dmac, 6);
	__builtin_memcpy((uint8_t *)&hop->macs0 + 6, fib->smac, 2);
	__builtin_memcpy(&hop->macs1, fib->smac + 2, 4);
	gw_find_port(fib->ifindex, hop);
	return 1;
}

/* A flow leaves from its pool address, or from its server. */
GW_FN void gw_from_pool(const struct flow *flow, struct bpf_fib_lookup *fib)
{
	fib->family = GW_AF_INET;
	fib->ipv4_src = flow->pool.raw;
	fib->ipv4_dst = flow->remote.raw;
	fib->sport = flow->pool_port.raw;
	fib->dport = flow->remote_port.raw;
}

GW_FN void gw_from_server(const struct flow *flow, struct bpf_fib_lookup *fib)
{
	const struct gateway_prefix *prefix =
		&gw_config()->prefix[flow->prefix & (GATEWAY_PREFIXES - 1)];
	struct xlat_ip6 base = xlat_load_ip6(prefix->base);
	struct xlat_ip4 remote = { flow->remote };

	base = xlat_embed(&base, prefix->length, remote);
	fib->family = GW_AF_INET6;
	__builtin_memcpy(fib->ipv6_src, base.b, 16);
	__builtin_memcpy(fib->ipv6_dst, flow->client, 16);
	fib->sport = flow->remote_port.raw;
	fib->dport = flow->client_port.raw;
}

/* Asks, and keeps the answer with the flow. */
GW_FN int gw_lookup_hop(void *ctx, const struct gw_question *question, struct gw_hop *hop)
{
	uint32_t generation = GW_READ_ONCE(gateway.route_generation);
	struct bpf_fib_lookup fib = { .ifindex = question->ifindex };
	uint32_t at = question->at;
	struct flow *flow = question->family == 4 ? bpf_map_lookup_elem(&flows64, &at)
						  : bpf_map_lookup_elem(&flows46, &at);

	if (!flow)
		return 0;
	fib.l4_protocol = flow->protocol;
	if (question->family == 4)
		gw_from_pool(flow, &fib);
	else
		gw_from_server(flow, &fib);
	if (!gw_ask(ctx, &fib, hop))
		return 0;
	gw_keep_hop(flow, question->tag, generation, hop);
	return 1;
}

/* The same without a flow. */
GW_FN int gw_ask_ends(void *ctx, const struct gw_ends *ends, uint32_t ifindex, struct gw_hop *hop)
{
	struct bpf_fib_lookup fib = { .ifindex = ifindex };

	fib.l4_protocol = ends->protocol;
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
	return gw_ask(ctx, &fib, hop);
}

/* The kind of context is part of what the verifier has to know. */
GW_GLOBAL int gw_lookup_xdp(struct xdp_md *ctx, const struct gw_question *question,
			    struct gw_hop *hop)
{
	return question && hop ? gw_lookup_hop(ctx, question, hop) : 0;
}

GW_GLOBAL int gw_lookup_tc(struct __sk_buff *ctx, const struct gw_question *question,
			   struct gw_hop *hop)
{
	return question && hop ? gw_lookup_hop(ctx, question, hop) : 0;
}

GW_GLOBAL int gw_ask_xdp(struct xdp_md *ctx, const struct gw_ends *ends, uint32_t ifindex,
			 struct gw_hop *hop)
{
	return ends && hop ? gw_ask_ends(ctx, ends, ifindex, hop) : 0;
}

GW_GLOBAL int gw_ask_tc(struct __sk_buff *ctx, const struct gw_ends *ends, uint32_t ifindex,
			struct gw_hop *hop)
{
	return ends && hop ? gw_ask_ends(ctx, ends, ifindex, hop) : 0;
}

enum gw_hook { GW_XDP, GW_TC };

/* The flow's next hop, remembered or asked for. */
GW_FN enum gw_pass gw_route(void *ctx, enum gw_hook hook, const struct gw_found *found,
			    uint32_t ifindex, uint32_t family, struct gw_hop *hop)
{
	uint32_t generation = GW_READ_ONCE(gateway.route_generation);
	uint32_t route = GW_READ_ONCE(found->flow->route);
	struct gw_rare *rare;

	if (XLAT_LIKELY(route >> NEXTHOP_INDEX_BITS == generation) &&
	    XLAT_LIKELY(gw_read_hop(route & (NEXTHOPS - 1), generation, hop)))
		return GW_OK;
	rare = gw_rare();
	if (!rare)
		return GW_PASS_NO_NEXTHOP;
	rare->question.at = found->at;
	rare->question.tag = found->tag;
	rare->question.ifindex = ifindex;
	rare->question.family = family;
	if (!(hook == GW_XDP ? gw_lookup_xdp(ctx, &rare->question, &rare->hop)
			     : gw_lookup_tc(ctx, &rare->question, &rare->hop)))
		return GW_PASS_NO_NEXTHOP;
	*hop = rare->hop;
	return GW_OK;
}

#endif
