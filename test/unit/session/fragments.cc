// SPDX-License-Identifier: Apache-2.0
/** RFC 6146 sections 2 and 3.4: fragments in any order, floods within bounds. */
#include <algorithm>
#include <map>

#include "../../../native/fragment.h"
#include "fixture.h"

namespace {

struct Cache {
	std::map<int, uint32_t> drops;
	FragmentCache cache;
	Time now = 1000;
	FragmentDecision seen = {};

	explicit Cache(size_t memory = 1 << 20)
	    : cache({ memory, 2000 },
		    [this](enum xlat_reason why, uint32_t packets, const FragmentKey &) {
			    drops[why] += packets;
		    })
	{
	}
	static FragmentKey key(uint32_t number)
	{
		return { client(number >> 16), client(2), number, 17, 4 };
	}
	FragmentFate other(uint32_t number, const std::vector<uint8_t> &packet)
	{
		return cache.other(key(number), packet, now, seen);
	}
	std::vector<std::vector<uint8_t>> first(uint32_t number, uint16_t port)
	{
		FragmentDecision decision = {};
		decision.four.pool_port = port;
		return cache.first(key(number), decision, now);
	}
	std::vector<uint8_t> piece(uint32_t number, uint32_t offset, bool more,
				   const std::vector<uint8_t> &payload)
	{
		static const uint8_t header[] = { 'h', 'e', 'a', 'd' };
		return cache.reassemble(key(number), { offset, more, header, payload }, now);
	}
};

std::vector<uint8_t> bytes(size_t length, uint8_t value)
{
	return std::vector<uint8_t>(length, value);
}

} // namespace

CASE("gives later fragments the decision of the first")
{
	Cache c;
	EQUAL(c.first(1, 99).size(), 0);
	EQUAL(c.other(1, bytes(100, 1)), FragmentFate::TRANSLATE);
	EQUAL(c.seen.four.pool_port, 99);
	EQUAL(c.other(2, bytes(100, 1)), FragmentFate::HELD);
	c.now += 1999;
	EQUAL(c.other(1, bytes(100, 1)), FragmentFate::TRANSLATE);
	c.now += 1;
	EQUAL(c.other(1, bytes(100, 1)), FragmentFate::HELD);
}

CASE("holds early fragments and releases them in the order they came")
{
	Cache c;
	for (uint8_t i = 1; i <= 3; i++)
		EQUAL(c.other(1, bytes(100, i)), FragmentFate::HELD);
	auto waiting = c.first(1, 99);
	EQUAL(waiting.size(), 3);
	for (uint8_t i = 0; i < 3; i++)
		EQUAL(waiting[i][0], i + 1);
	EQUAL(c.other(1, bytes(100, 4)), FragmentFate::TRANSLATE);
	EQUAL(c.drops.size(), 0);
}

CASE("drops and counts fragments whose first one never comes, after FRAGMENT_MIN")
{
	Cache c;
	c.other(1, bytes(100, 1));
	c.other(1, bytes(100, 2));
	c.now += 1999;
	c.cache.tick(c.now);
	EQUAL(c.drops[XLAT_FRAGMENT_TIMEOUT], 0);
	c.now += 1;
	c.cache.tick(c.now);
	EQUAL(c.drops[XLAT_FRAGMENT_TIMEOUT], 2);
	EQUAL(c.cache.memory(), 0);
	EQUAL(c.first(1, 9).size(), 0);
}

CASE("keeps a flood of first-less fragments within its budget, drops the oldest and counts each")
{
	Cache c(64 << 10);
	c.first(1'000'000, 77);
	unsigned held = 0;
	for (uint32_t i = 0; i < 5000; i++) {
		held += c.other(i, bytes(1400, 1)) == FragmentFate::HELD;
		CHECK(c.cache.memory() <= 64 << 10);
	}
	EQUAL(held, 5000);
	CHECK(c.drops[XLAT_FRAGMENT_MEMORY] > 4900);
	EQUAL(c.other(1'000'000, bytes(10, 1)), FragmentFate::TRANSLATE);
	EQUAL(c.first(4999, 1).size(), 1);
	EQUAL(c.first(0, 1).size(), 0);
	c.now += 2000;
	c.cache.tick(c.now);
	EQUAL(c.drops[XLAT_FRAGMENT_MEMORY] + c.drops[XLAT_FRAGMENT_TIMEOUT], 4999);
	EQUAL(c.cache.memory(), 0);
}

CASE("drops a fragment that is larger than the whole budget")
{
	Cache c(1024);
	EQUAL(c.other(1, bytes(2000, 1)), FragmentFate::DROPPED);
	EQUAL(c.drops[XLAT_FRAGMENT_MEMORY], 1);
	CHECK(c.cache.memory() <= 1024);
}

CASE("shrinks at once when its budget does")
{
	Cache c;
	for (uint32_t i = 0; i < 100; i++)
		c.other(i, bytes(1000, 1));
	c.cache.configure({ 10'000, 2000 });
	CHECK(c.cache.memory() <= 10'000);
	CHECK(c.drops[XLAT_FRAGMENT_MEMORY] > 80);
}

CASE("hands back the fragments of a datagram whose first one was dropped")
{
	Cache c;
	c.other(1, bytes(100, 1));
	c.other(1, bytes(100, 2));
	EQUAL(c.cache.withdraw(Cache::key(1)).size(), 2);
	EQUAL(c.cache.withdraw(Cache::key(1)).size(), 0);
	EQUAL(c.cache.memory(), 0);
}

CASE("reassembles a datagram from its pieces in every order")
{
	std::vector<int> order = { 0, 1, 2, 3 };
	do {
		Cache c;
		std::vector<uint8_t> whole;
		for (unsigned i = 0; i < 4; i++) {
			unsigned n = (unsigned)order[i];
			CHECK(whole.empty());
			whole = c.piece(1, n * 16, n < 3,
					bytes(n < 3 ? 16 : 5, (uint8_t)('a' + n)));
		}
		EQUAL(std::string(whole.begin(), whole.end()),
		      "head" + std::string(16, 'a') + std::string(16, 'b') + std::string(16, 'c') +
			      std::string(5, 'd'));
		EQUAL(c.cache.memory(), 0);
		EQUAL(c.drops.size(), 0);
	} while (std::next_permutation(order.begin(), order.end()));
}

CASE("sends fragments of a datagram in reassembly to the reassembly")
{
	Cache c;
	c.piece(1, 0, true, bytes(16, 1));
	EQUAL(c.other(1, bytes(100, 1)), FragmentFate::REASSEMBLE);
}

CASE("drops a datagram with overlapping pieces, and all that still comes of it (RFC 5722)")
{
	struct Bad {
		uint32_t offset;
		bool more;
		size_t length;
	};
	for (const Bad &bad : { Bad{ 8, true, 16 },
				{ 24, true, 16 },
				{ 0, true, 64 },
				{ 40, false, 8 },
				{ 48, true, 7 },
				{ 65528, false, 16 },
				{ 48, true, 0 } }) {
		Cache c;
		c.piece(1, 0, true, bytes(16, 1));
		c.piece(1, 32, true, bytes(16, 1));
		CHECK(c.piece(1, bad.offset, bad.more, bytes(bad.length, 2)).empty());
		EQUAL(c.drops[XLAT_FRAGMENT_OVERLAP], 3);
		CHECK(c.piece(1, 16, true, bytes(16, 1)).empty());
		CHECK(c.piece(1, 48, false, bytes(16, 1)).empty());
		EQUAL(c.drops[XLAT_FRAGMENT_OVERLAP], 5);
		c.now += 2000;
		c.cache.tick(c.now);
		EQUAL(c.cache.memory(), 0);
	}
}

CASE("bounds the memory of reassembly too")
{
	Cache c(64 << 10);
	for (uint32_t i = 0; i < 2000; i++) {
		c.piece(i, 0, true, bytes(1400, 1));
		CHECK(c.cache.memory() <= 64 << 10);
	}
	CHECK(c.drops[XLAT_FRAGMENT_MEMORY] > 1900);
	Cache many;
	for (uint32_t i = 0; i < 300; i++)
		many.piece(1, i * 16, true, bytes(8, 1));
	EQUAL(many.drops[XLAT_FRAGMENT_MEMORY], 257);
}

CASE("goes on putting a datagram together when its first fragment comes twice")
{
	Cache c;
	CHECK(c.cache.withdraw(Cache::key(1)).empty());
	EQUAL(c.piece(1, 0, true, bytes(8, 1)).size(), 0);
	EQUAL(c.piece(1, 8, true, bytes(8, 2)).size(), 0);
	CHECK(c.cache.withdraw(Cache::key(1)).empty());
	EQUAL(c.piece(1, 0, true, bytes(8, 1)).size(), 0);
	EQUAL(c.drops[XLAT_FRAGMENT_OVERLAP], 1);
	EQUAL(c.piece(1, 16, false, bytes(4, 3)).size(), 4 + 20);
	EQUAL(c.drops[XLAT_FRAGMENT_OVERLAP], 1);
	EQUAL(c.cache.memory(), 0);
}

CASE("counts the fragments it was putting together when the first one is of another datagram")
{
	Cache c;
	EQUAL(c.piece(1, 8, true, bytes(8, 1)).size(), 0);
	EQUAL(c.piece(1, 16, true, bytes(8, 2)).size(), 0);
	CHECK(c.first(1, 99).empty());
	EQUAL(c.drops[XLAT_FRAGMENT_OVERLAP], 2);
	EQUAL(c.other(1, bytes(100, 1)), FragmentFate::TRANSLATE);
	CHECK(c.cache.withdraw(Cache::key(1)).empty());
	EQUAL(c.cache.memory(), 0);
}
