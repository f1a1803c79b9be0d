// SPDX-License-Identifier: Apache-2.0
/* Explicit address mappings (RFC 7757), looked up by the longest prefix on either side. */
#pragma once

#include <cstdint>
#include <vector>

#include "prefix_table.h"
#include "session.h"

namespace sixgate {

struct EamEntry {
	Prefix6 six;
	Prefix4 four;
};

class Eam {
public:
	Eam() = default;
	explicit Eam(std::vector<EamEntry> entries);

	bool empty() const { return entries_.empty(); }
	const std::vector<EamEntry> &entries() const { return entries_; }
	bool holds4(uint32_t four) const { return table4_.find(four) != nullptr; }
	bool holds6(const Ip6 &six) const;
	/* RFC 7757 3.3.1: what follows the IPv4 suffix in the IPv6 address is zero. */
	bool to6(uint32_t four, Ip6 &six) const;
	/* RFC 7757 3.3.2: what follows the IPv4 suffix in the IPv6 address is ignored. */
	bool to4(const Ip6 &six, uint32_t &four) const;

private:
	using Wide = unsigned __int128;

	std::vector<EamEntry> entries_;
	PrefixTable<uint32_t> table4_;
	PrefixTable<Wide> table6_;
};

} // namespace sixgate
