/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding the flow of a packet. */
#ifndef GATEWAY_FLOW_H
#define GATEWAY_FLOW_H

#include "maps.h"
#include "../native/xlat/rfc6052.h"
#include "parse.h"

/* A slot, and the tag that it had when it was found. */
struct gw_found {
	struct flow *flow;
	uint32_t tag;
};

/* IPv6 addresses as the words they are compared in. Packets and slots bear 8-byte loads anywhere.
 */
GW_FN uint64_t gw_word(const uint8_t *p, uint32_t i)
{
	return ((const uint64_t *)(const void *)p)[i];
}

GW_FN uint32_t gw_half(const uint8_t *p, uint32_t i)
{
	return ((const uint32_t *)(const void *)p)[i];
}

/* The prefix that an address is under, GATEWAY_PREFIXES for none. */
GW_FN uint32_t gw_find_prefix(const struct gateway_config *config, const uint8_t *address)
{
	uint32_t i;

	GW_ROLLED
	for (i = 0; i < GATEWAY_PREFIXES && i < config->prefixes; i++) {
		const struct gateway_prefix *prefix = &config->prefix[i];
		uint64_t high = gw_word(address, 0) & gw_word(prefix->mask, 0);
		uint64_t low = gw_word(address, 1) & gw_word(prefix->mask, 1);

		if (!((high ^ gw_word(prefix->base, 0)) | (low ^ gw_word(prefix->base, 1))))
			return i;
	}
	return GATEWAY_PREFIXES;
}

GW_FN struct xlat_ip4 gw_embedded(const struct gateway_prefix *prefix, const uint8_t *address)
{
	struct xlat_ip4 ip4 = { xlat_load32(address + 12) };
	struct xlat_ip6 ip6;

	if (XLAT_LIKELY(prefix->length == 96))
		return ip4;
	ip6 = xlat_load_ip6(address);
	xlat_extract(&ip6, prefix->length, &ip4);
	return ip4;
}

GW_FN uint8_t gw_flow_protocol(const struct xlat_view *v)
{
	return v->protocol == XLAT_PROTO_ICMP6 ? (uint8_t)XLAT_PROTO_ICMP : v->protocol;
}

/* The two ports; for ICMP echo the identifier and the place of the remote port, which has none. */
GW_FN uint32_t gw_ports6(const uint8_t *l4, const struct xlat_view *v)
{
	if (XLAT_UNLIKELY(xlat_is_icmp(v)))
		return flow_ports(v->src_port, xlat_be16(0));
	return xlat_load32(l4).raw;
}

GW_FN uint32_t gw_ports4(const uint8_t *l4, const struct xlat_view *v)
{
	if (XLAT_UNLIKELY(xlat_is_icmp(v)))
		return flow_ports(xlat_be16(0), v->src_port);
	return xlat_load32(l4).raw;
}

GW_FN enum gw_pass gw_find64(const struct gateway_config *config, const uint8_t *ip,
			     const struct xlat_view *v, struct gw_found *found)
{
	const uint8_t *client = ip + XLAT_IP6_SRC;
	uint32_t prefix = gw_find_prefix(config, ip + XLAT_IP6_DST);
	uint32_t words[4] = { gw_half(client, 0), gw_half(client, 1), gw_half(client, 2),
			      gw_half(client, 3) };
	uint8_t protocol = gw_flow_protocol(v);
	uint32_t ports = gw_ports6(ip + XLAT_IP6_LEN, v);
	struct be32 remote;
	uint32_t i, home;

	if (prefix >= GATEWAY_PREFIXES)
		return GW_PASS_NOT_OURS;
	remote = gw_embedded(&config->prefix[prefix], ip + XLAT_IP6_DST).addr;
	home = flow_hash64(&gateway.seed, words, remote, ports, protocol, (uint8_t)prefix);
	GW_ROLLED
	for (i = 0; i < FLOW_PROBES; i++) {
		uint32_t at = (home + i) & gateway.mask64;
		struct flow *flow = bpf_map_lookup_elem(&flows64, &at);

		if (!flow)
			return GW_PASS_NO_FLOW;
		found->flow = flow;
		found->tag = GW_READ_ONCE(flow->tag);
		if (found->tag == FLOW_EMPTY)
			return GW_PASS_NO_FLOW;
		if (gw_word(flow->client, 0) == ((uint64_t)words[1] << 32 | words[0]) &&
		    gw_word(flow->client, 1) == ((uint64_t)words[3] << 32 | words[2]) &&
		    flow->remote.raw == remote.raw &&
		    *(const uint32_t *)&flow->client_port == ports && flow->protocol == protocol &&
		    flow->prefix == prefix && flow->epoch == config->epoch &&
		    found->tag >= FLOW_FIRST_TAG)
			return GW_OK;
	}
	return GW_PASS_NO_FLOW;
}

GW_FN enum gw_pass gw_find46(const struct gateway_config *config, const uint8_t *ip,
			     const struct xlat_view *v, struct gw_found *found)
{
	struct be32 remote = xlat_load32(ip + XLAT_IP4_SRC), pool = xlat_load32(ip + XLAT_IP4_DST);
	uint8_t protocol = gw_flow_protocol(v);
	uint32_t ports = gw_ports4(ip + XLAT_IP4_LEN, v);
	uint32_t i, home;

	home = flow_hash46(&gateway.seed, remote, pool, ports, protocol);
	GW_ROLLED
	for (i = 0; i < FLOW_PROBES; i++) {
		uint32_t at = (home + i) & gateway.mask46;
		struct flow *flow = bpf_map_lookup_elem(&flows46, &at);

		if (!flow)
			return GW_PASS_NO_FLOW;
		found->flow = flow;
		found->tag = GW_READ_ONCE(flow->tag);
		if (found->tag == FLOW_EMPTY)
			return GW_PASS_NO_FLOW;
		if (flow->remote.raw == remote.raw && flow->pool.raw == pool.raw &&
		    flow_ports(flow->remote_port, flow->pool_port) == ports &&
		    flow->protocol == protocol && flow->epoch == config->epoch &&
		    found->tag >= FLOW_FIRST_TAG)
			return GW_OK;
	}
	return GW_PASS_NO_FLOW;
}

/* Whether what was read from the slot since it was found is one flow. */
GW_FN bool gw_unchanged(const struct gw_found *found)
{
	gw_barrier();
	return GW_READ_ONCE(found->flow->tag) == found->tag;
}

#endif
