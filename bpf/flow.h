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
	uint32_t at;
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

GW_FN bool gw_under(const struct gateway_prefix *prefix, uint64_t high, uint64_t low)
{
	return !(((high & gw_word(prefix->mask, 0)) ^ gw_word(prefix->base, 0)) |
		 ((low & gw_word(prefix->mask, 1)) ^ gw_word(prefix->base, 1)));
}

/* A prefix but the first. */
GW_GLOBAL uint32_t gw_other_prefix(uint32_t active, uint64_t high, uint64_t low)
{
	const struct gateway_config *config = &gateway.config[active & 1];
	uint32_t i;

	GW_ROLLED
	for (i = 1; i < GATEWAY_PREFIXES; i++)
		if (i < config->prefixes && gw_under(&config->prefix[i], high, low))
			return i;
	return GATEWAY_PREFIXES;
}

/* The prefix that an address is under, GATEWAY_PREFIXES for none. */
GW_FN uint32_t gw_find_prefix(const struct gateway_config *config, const uint8_t *address)
{
	uint64_t high = gw_word(address, 0), low = gw_word(address, 1);

	if (XLAT_LIKELY(config->prefixes && gw_under(&config->prefix[0], high, low)))
		return 0;
	return gw_other_prefix(config == &gateway.config[1], high, low);
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

/* What a flow is looked for by; in flows46 `words` are remote and pool. */
struct gw_key {
	uint32_t words[4];
	struct be32 remote;
	uint32_t ports;
	uint32_t epoch;
	uint32_t home;
	uint32_t protocol, prefix;
};

GW_FN bool gw_is_flow64(const struct flow *flow, const struct gw_key *key, uint32_t tag)
{
	return gw_word(flow->client, 0) == ((uint64_t)key->words[1] << 32 | key->words[0]) &&
	       gw_word(flow->client, 1) == ((uint64_t)key->words[3] << 32 | key->words[2]) &&
	       flow->remote.raw == key->remote.raw &&
	       *(const uint32_t *)&flow->client_port == key->ports &&
	       flow->protocol == key->protocol && flow->prefix == key->prefix &&
	       flow->epoch == key->epoch && tag >= FLOW_FIRST_TAG;
}

GW_FN bool gw_is_flow46(const struct flow *flow, const struct gw_key *key, uint32_t tag)
{
	return flow->remote.raw == key->words[0] && flow->pool.raw == key->words[1] &&
	       flow_ports(flow->remote_port, flow->pool_port) == key->ports &&
	       flow->protocol == key->protocol && flow->epoch == key->epoch &&
	       tag >= FLOW_FIRST_TAG;
}

/* What a nexthop says, read at once. */
struct gw_hop {
	uint64_t macs0; /* the first 12 bytes of the frame */
	uint32_t macs1;
	uint32_t ifindex, port;
	uint16_t vlan, mtu;
};

/* A packet's addresses and ports in both families, and the one it leaves by. */
struct gw_ends {
	struct xlat_tuple6 six;
	struct xlat_tuple4 four;
	uint8_t family, protocol;
};

/* A flow's slot, and the family that it leaves by. */
struct gw_question {
	uint32_t at, tag, ifindex, family;
};

/*
 * What functions that are rarely called are asked and answer: a program's stack is small, and
 * nothing else runs on its processor meanwhile.
 */
struct gw_rare {
	union {
		struct gw_key key;
		struct gw_ends ends;
		struct gw_question question;
	};
	struct gw_hop hop;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct gw_rare);
} rare_calls SEC(".maps");

GW_FN struct gw_rare *gw_rare(void)
{
	uint32_t zero = 0;

	return bpf_map_lookup_elem(&rare_calls, &zero);
}

#define GW_NO_SLOT 0xffffffff

/* The slot behind its home where a flow is. */
GW_GLOBAL uint32_t gw_probe64(const struct gw_key *key)
{
	uint32_t i;

	if (!key)
		return GW_NO_SLOT;
	GW_ROLLED
	for (i = 1; i < FLOW_PROBES; i++) {
		uint32_t at = (key->home + i) & gateway.mask64, tag;
		const struct flow *flow = bpf_map_lookup_elem(&flows64, &at);

		if (!flow)
			break;
		tag = GW_READ_ONCE(flow->tag);
		if (gw_is_flow64(flow, key, tag))
			return at;
		if (tag == FLOW_EMPTY)
			break;
	}
	return GW_NO_SLOT;
}

GW_GLOBAL uint32_t gw_probe46(const struct gw_key *key)
{
	uint32_t i;

	if (!key)
		return GW_NO_SLOT;
	GW_ROLLED
	for (i = 1; i < FLOW_PROBES; i++) {
		uint32_t at = (key->home + i) & gateway.mask46, tag;
		const struct flow *flow = bpf_map_lookup_elem(&flows46, &at);

		if (!flow)
			break;
		tag = GW_READ_ONCE(flow->tag);
		if (gw_is_flow46(flow, key, tag))
			return at;
		if (tag == FLOW_EMPTY)
			break;
	}
	return GW_NO_SLOT;
}

GW_FN enum gw_pass gw_find64(const struct gateway_config *config, const uint8_t *ip,
			     const struct xlat_view *v, struct gw_found *found)
{
	const uint8_t *client = ip + XLAT_IP6_SRC;
	uint32_t prefix = gw_find_prefix(config, ip + XLAT_IP6_DST);
	struct gw_rare *rare;
	struct gw_key key;
	uint32_t at;

	if (prefix >= GATEWAY_PREFIXES)
		return GW_PASS_NOT_OURS;
	key.words[0] = gw_half(client, 0);
	key.words[1] = gw_half(client, 1);
	key.words[2] = gw_half(client, 2);
	key.words[3] = gw_half(client, 3);
	gw_forget(prefix);
	prefix &= GATEWAY_PREFIXES - 1;
	key.remote = gw_embedded(&config->prefix[prefix], ip + XLAT_IP6_DST).addr;
	key.ports = gw_ports6(ip + XLAT_IP6_LEN, v);
	key.epoch = config->epoch;
	key.protocol = gw_flow_protocol(v);
	key.prefix = prefix;
	key.home = flow_hash64(&gateway.seed, key.words, key.remote, key.ports,
			       (uint8_t)key.protocol, (uint8_t)prefix);
	at = key.home & gateway.mask64;
	found->flow = bpf_map_lookup_elem(&flows64, &at);
	found->at = at;
	if (!found->flow)
		return GW_PASS_NO_FLOW;
	found->tag = GW_READ_ONCE(found->flow->tag);
	if (XLAT_LIKELY(gw_is_flow64(found->flow, &key, found->tag)))
		return GW_OK;
	if (found->tag == FLOW_EMPTY)
		return GW_PASS_NO_FLOW;
	rare = gw_rare();
	if (!rare)
		return GW_PASS_NO_FLOW;
	rare->key = key;
	at = gw_probe64(&rare->key);
	found->flow = bpf_map_lookup_elem(&flows64, &at);
	found->at = at;
	if (!found->flow)
		return GW_PASS_NO_FLOW;
	found->tag = GW_READ_ONCE(found->flow->tag);
	return gw_is_flow64(found->flow, &rare->key, found->tag) ? GW_OK : GW_PASS_STALE;
}

GW_FN enum gw_pass gw_find46(const struct gateway_config *config, const uint8_t *ip,
			     const struct xlat_view *v, struct gw_found *found)
{
	struct be32 remote = xlat_load32(ip + XLAT_IP4_SRC), pool = xlat_load32(ip + XLAT_IP4_DST);
	struct gw_key key = { .words = { remote.raw, pool.raw } };
	struct gw_rare *rare;
	uint32_t at;

	key.ports = gw_ports4(ip + XLAT_IP4_LEN, v);
	key.epoch = config->epoch;
	key.protocol = gw_flow_protocol(v);
	key.home = flow_hash46(&gateway.seed, remote, pool, key.ports, (uint8_t)key.protocol);
	at = key.home & gateway.mask46;
	found->flow = bpf_map_lookup_elem(&flows46, &at);
	found->at = at;
	if (!found->flow)
		return GW_PASS_NO_FLOW;
	found->tag = GW_READ_ONCE(found->flow->tag);
	if (XLAT_LIKELY(gw_is_flow46(found->flow, &key, found->tag)))
		return GW_OK;
	if (found->tag == FLOW_EMPTY)
		return GW_PASS_NO_FLOW;
	rare = gw_rare();
	if (!rare)
		return GW_PASS_NO_FLOW;
	rare->key = key;
	at = gw_probe46(&rare->key);
	found->flow = bpf_map_lookup_elem(&flows46, &at);
	found->at = at;
	if (!found->flow)
		return GW_PASS_NO_FLOW;
	found->tag = GW_READ_ONCE(found->flow->tag);
	return gw_is_flow46(found->flow, &rare->key, found->tag) ? GW_OK : GW_PASS_STALE;
}

/* Whether what was read from the slot since it was found is one flow. */
GW_FN bool gw_unchanged(const struct gw_found *found)
{
	gw_barrier();
	return GW_READ_ONCE(found->flow->tag) == found->tag;
}

#endif
