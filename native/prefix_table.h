// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sixgate {

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

} // namespace sixgate
