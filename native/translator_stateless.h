// SPDX-License-Identifier: Apache-2.0
/* Addresses without state: explicit mappings first, then one RFC 6052 prefix (RFC 7757 3.2). */
#pragma once

#include <optional>

#include "eam.h"
#include "xlat/addr.h"
#include "xlat/rfc6052.h"

namespace sixgate {

struct Stateless {
	Eam map;
	std::optional<Prefix6> prefix;
	bool amend_udp_zero = false;

	bool enabled() const { return prefix || !map.empty(); }

	bool to4(const xlat_ip6 &six, xlat_ip4 &four) const
	{
		Ip6 address;
		uint32_t host;
		std::memcpy(address.bytes, six.b, 16);
		if (!map.to4(address, host))
			return under_prefix(six) && xlat_extract(&six, prefix->length, &four);
		four = xlat_ip4_of(host);
		return true;
	}

	/* Without `mapped` the prefix alone, as one half of a hairpin needs it (RFC 7757 4.2). */
	bool to6(xlat_ip4 four, bool mapped, xlat_ip6 &six) const
	{
		Ip6 address;
		if (mapped && map.to6(xlat_ip4_host(four), address)) {
			std::memcpy(six.b, address.bytes, 16);
			return true;
		}
		if (!prefix)
			return false;
		xlat_ip6 base;
		std::memcpy(base.b, prefix->address.bytes, 16);
		six = xlat_embed(&base, prefix->length, four);
		return true;
	}

	bool under_prefix(const xlat_ip6 &six) const
	{
		xlat_ip6 base;
		if (!prefix)
			return false;
		std::memcpy(base.b, prefix->address.bytes, 16);
		return xlat_under_prefix(&six, &base, prefix->length);
	}
};

} // namespace sixgate
