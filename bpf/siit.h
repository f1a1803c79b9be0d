/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses without state (RFC 7757 3.3): see tables.h for what the tries hold. */
#ifndef GATEWAY_SIIT_H
#define GATEWAY_SIIT_H

#include "../native/xlat/rfc6052.h"
#include "nexthop.h"

GW_FN uint32_t gw_suffix_mask(uint32_t length4)
{
	return length4 < 32 ? 0xffffffff >> length4 : 0;
}

/* How far the IPv4 suffix stands from the end of the IPv6 address, which has room for it. */
GW_FN uint32_t gw_padding(uint32_t length6, uint32_t length4)
{
	return (96 + length4 - length6) & 127;
}

/* RFC 7757 3.3.2: what follows the IPv4 suffix in the IPv6 address is ignored. */
GW_FN uint32_t gw_suffix6(const struct xlat_ip6 *six, uint32_t padding)
{
	uint64_t high = xlat_ip6_half(six, 0), low = xlat_ip6_half(six, 1);

	if (padding >= 64)
		return (uint32_t)(high >> (padding & 63));
	return (uint32_t)(low >> padding | (padding > 32 ? high << (64 - padding) : 0));
}

GW_FN void gw_add_suffix(struct xlat_ip6 *six, uint64_t suffix, uint32_t padding)
{
	uint64_t high = xlat_ip6_half(six, 0), low = xlat_ip6_half(six, 1);

	if (padding >= 64) {
		high |= suffix << (padding & 63);
	} else {
		low |= suffix << padding;
		high |= padding > 32 ? suffix >> (64 - padding) : 0;
	}
	xlat_ip6_set_half(six, 0, high);
	xlat_ip6_set_half(six, 1, low);
}

/* The IPv4 address of an IPv6 one; `prefix` says whether it is by RFC 6052. */
GW_FN bool gw_to4(void *trie, const struct xlat_ip6 *six, struct xlat_ip4 *four, bool *prefix)
{
	struct siit6_key key = { .length = 128 };
	struct siit6_value *value;
	uint32_t suffix;

	__builtin_memcpy(key.address, six->b, 16);
	value = bpf_map_lookup_elem(trie, &key);
	if (!value || value->kind == SIIT_BARRIER)
		return false;
	*prefix = value->kind == SIIT_PREFIX;
	if (*prefix)
		return xlat_extract(six, value->length6, four);
	suffix = gw_suffix6(six, gw_padding(value->length6, value->length4));
	four->addr.raw = value->ipv4.raw | xlat_be32(suffix & gw_suffix_mask(value->length4)).raw;
	return true;
}

/* What siit4 has for an IPv4 address; `barrier` where it may not be translated here. */
GW_FN struct siit4_value *gw_find4(void *trie, struct xlat_ip4 four, bool *barrier)
{
	struct siit4_key key = { .length = 32, .address = four.addr };
	struct siit4_value *value = bpf_map_lookup_elem(trie, &key);

	*barrier = value && value->kind == SIIT_BARRIER;
	return value;
}

/* The IPv6 address of an IPv4 one (RFC 7757 3.3.1: what follows the suffix is zero). */
GW_FN bool gw_to6(void *trie, const struct gateway_config *config, struct xlat_ip4 four,
		  struct xlat_ip6 *six)
{
	bool barrier;
	struct siit4_value *value = gw_find4(trie, four, &barrier);
	uint32_t suffix;

	if (barrier)
		return false;
	if (!value) {
		*six = xlat_load_ip6(config->siit.base);
		*six = xlat_embed(six, config->siit.length, four);
		return config->flags & GATEWAY_SIIT_PREFIX;
	}
	__builtin_memcpy(six->b, value->ipv6, 16);
	suffix = xlat_ip4_host(four) & gw_suffix_mask(value->length4);
	gw_add_suffix(six, suffix, gw_padding(value->length6, value->length4));
	return true;
}

/*
 * The IPv4 ends of a packet; 0 where they are not for the fast path. A destination by the prefix
 * that has a mapping is a hairpin (RFC 7757 4.2).
 */
GW_GLOBAL int gw_siit64(uint32_t active, struct gw_ends *ends)
{
	void *trie6 = bpf_map_lookup_elem(&siit6, &active);
	void *trie4 = bpf_map_lookup_elem(&siit4, &active);
	bool by_prefix, barrier;

	if (!trie6 || !trie4 || !ends)
		return 0;
	if (!gw_to4(trie6, &ends->six.src, &ends->four.src, &by_prefix))
		return 0;
	gw_find4(trie4, ends->four.src, &barrier);
	if (barrier || !gw_to4(trie6, &ends->six.dst, &ends->four.dst, &by_prefix))
		return 0;
	return !(gw_find4(trie4, ends->four.dst, &barrier) && by_prefix) && !barrier;
}

/* The IPv6 ends of a packet. */
GW_GLOBAL int gw_siit46(uint32_t active, struct gw_ends *ends)
{
	const struct gateway_config *config = &gateway.config[active & 1];
	void *trie4 = bpf_map_lookup_elem(&siit4, &active);

	return trie4 && ends && gw_to6(trie4, config, ends->four.src, &ends->six.src) &&
	       gw_to6(trie4, config, ends->four.dst, &ends->six.dst);
}

#endif
