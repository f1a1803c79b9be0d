// SPDX-License-Identifier: Apache-2.0
/* Explicit address mappings (RFC 7757), looked up by the longest prefix on either side. */
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "session.h"

namespace sixgate {

struct EamEntry {
	Prefix6 six;
	Prefix4 four;
};

/* Longest-prefix lookup: for each length that occurs its sorted prefixes, the longest first. */
template <typename Key> class PrefixTable {
public:
	static constexpr unsigned BITS = sizeof(Key) * 8;

	void add(Key address, unsigned length, uint32_t value)
	{
		auto at = std::find_if(levels_.begin(), levels_.end(),
				       [&](const Level &one) { return one.length <= length; });
		if (at == levels_.end() || at->length != length)
			at = levels_.insert(at, Level{length, {}});
		at->rows.push_back({network(address, length), value});
	}

	void sort()
	{
		for (Level &level : levels_)
			std::sort(level.rows.begin(), level.rows.end(),
				  [](const Row &a, const Row &b) { return a.key < b.key; });
	}

	/* The value of the longest prefix that holds the address, or null. */
	const uint32_t *find(Key address) const
	{
		for (const Level &level : levels_) {
			Key key = network(address, level.length);
			auto row = std::lower_bound(level.rows.begin(), level.rows.end(), key,
						    [](const Row &one, const Key &wanted) {
							    return one.key < wanted;
						    });
			if (row != level.rows.end() && row->key == key)
				return &row->value;
		}
		return nullptr;
	}

private:
	struct Row {
		Key key;
		uint32_t value;
	};
	struct Level {
		unsigned length;
		std::vector<Row> rows;
	};

	static Key network(Key address, unsigned length)
	{
		return length ? address >> (BITS - length) : Key{0};
	}

	std::vector<Level> levels_;
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
