// SPDX-License-Identifier: Apache-2.0
/* What the packet threads read of the configuration: one immutable value, replaced whole. */
#pragma once

#include <cstdint>
#include <vector>

#include "fragment.h"
#include "policy.h"
#include "pool.h"
#include "session.h"
#include "translator_stateless.h"
#include "xlat/addr.h"
#include "xlat/types.h"

namespace sixgate {

struct AccountingConfig {
	uint8_t prefix_length = 128;
	uint32_t clients = 4096;
	bool operator==(const AccountingConfig &) const = default;
};

struct TranslatorConfig {
	SessionConfig session;
	Stateless stateless;
	bool allow_non_global = false;
	bool copy_traffic_class = true;
	uint8_t tos = 0; /* of IPv4 packets when it is not copied */
	uint32_t lowest_ipv6_mtu = 1280;
	/* The most a SYN of either direction may announce; 0 for as it is. */
	uint16_t mss_clamp = 0;
	/* As much as the routes of both ends carry, instead. */
	bool mss_auto = false;
	/* Errors about refused packets, a second and thread; 0 sends none. */
	uint32_t icmp_error_rate = 1000;
	/* Tell the IPv6 source of an error that leaves from one of these (RFC 6791 4). */
	bool icmp_origin = true;
	std::vector<uint32_t> icmp_source4;
	std::vector<Ip6> icmp_source6;
	FragmentOptions fragments;
	AccountingConfig accounting;
	std::vector<PolicyNode> policy;
	/* The nodes above, compiled by the translator. */
	std::shared_ptr<const PolicyChain> chain = std::make_shared<const PolicyChain>();
};

/* The IPv4 address inside `address`, by the longest prefix that holds it; null when none does. */
inline const Prefix6 *find_prefix(const SessionConfig &config, const xlat_ip6 &address,
				  xlat_ip4 &inside)
{
	const Prefix6 *best = nullptr;
	for (const Prefix6 &prefix : config.prefixes) {
		xlat_ip6 base;
		std::memcpy(base.b, prefix.address.bytes, 16);
		if (best && best->length >= prefix.length)
			continue;
		if (prefix.length == 96 ? std::memcmp(address.b, base.b, 12) == 0
					: xlat_under_prefix(&address, &base, prefix.length))
			best = &prefix;
	}
	return best && xlat_extract(&address, best->length, &inside) ? best : nullptr;
}

/* Whether a pool lends this address out. Pools are few: no lock, no table. */
inline bool is_pool_address(const SessionConfig &config, uint32_t address)
{
	for (const PoolConfig &pool : config.pools)
		for (const Prefix4 &prefix : pool.addresses)
			if (contains(prefix, address))
				return true;
	return false;
}

/* Whether a pool or a static binding uses this port of a pool address. */
inline bool is_pool_port(const SessionConfig &config, Protocol protocol, uint32_t address,
			 uint16_t port)
{
	for (const PoolConfig &pool : config.pools)
		if (port >= pool.first_port && port <= pool.last_port)
			for (const Prefix4 &prefix : pool.addresses)
				if (contains(prefix, address))
					return true;
	for (const StaticConfig &entry : config.statics)
		if (entry.outside == address && entry.outside_port == port &&
		    entry.protocol == protocol)
			return true;
	return false;
}

} // namespace sixgate
