// SPDX-License-Identifier: Apache-2.0
/** The ports of one pool address. */
#include <bit>

#include "pool.h"

namespace sixgate {

namespace {

/** Word and bit of a port: shard, then parity, then the bits above. */
unsigned word_of(uint16_t port)
{
	return (unsigned)((port >> 1) & 63) * 16 + (unsigned)(port & 1) * 8 + (port >> 13);
}

uint64_t bit_of(uint16_t port)
{
	return 1ull << ((port >> 7) & 63);
}

} // namespace

bool PoolAddress::own(Protocol protocol, uint16_t port)
{
	unsigned index = protocol_index(protocol);
	if (ports->taken[index][word_of(port)].fetch_or(bit_of(port), std::memory_order_acq_rel) &
	    bit_of(port))
		return false;
	used[index].fetch_add(1, std::memory_order_relaxed);
	return true;
}

void PoolAddress::disown(Protocol protocol, uint16_t port)
{
	unsigned index = protocol_index(protocol);
	ports->borrower[index][port].store(0, std::memory_order_relaxed);
	ports->taken[index][word_of(port)].fetch_and(~bit_of(port), std::memory_order_acq_rel);
	used[index].fetch_sub(1, std::memory_order_relaxed);
}

bool PoolAddress::owned(Protocol protocol, uint16_t port) const
{
	return ports->taken[protocol_index(protocol)][word_of(port)].load(
		       std::memory_order_relaxed) &
	       bit_of(port);
}

namespace {

/** The ports of a shard and parity are base + 128 k; these k lie in a range. */
struct Span {
	int base, first, last;

	Span(unsigned shard, unsigned parity, PortRange range) : base((int)(shard << 1 | parity))
	{
		first = range.first <= base ? 0 : (range.first - base + 127) / 128;
		last = range.last < base ? -1 : (range.last - base) / 128;
		if (base == 0 && first == 0)
			first = 1; /* port 0 */
	}

	/** Those in the given word of eight. */
	uint64_t mask(int word) const
	{
		if (word < first / 64 || word > last / 64)
			return 0;
		uint64_t mask = ~0ull;
		if (word == first / 64)
			mask &= ~0ull << (first % 64);
		if (word == last / 64)
			mask &= ~0ull >> (63 - last % 64);
		return mask;
	}
};

} // namespace

uint16_t PoolAddress::take(Protocol protocol, unsigned shard, unsigned parity, PortRange range,
			   uint64_t random)
{
	unsigned index = protocol_index(protocol);
	Span span(shard, parity, range);
	if (span.first > span.last)
		return 0;
	int start = span.first + (int)(random % (uint64_t)(span.last - span.first + 1));
	std::atomic<uint64_t> *words = ports->taken[index] + shard * 16 + parity * 8;
	/* The word of `start` is looked at twice: above it first, below it last. */
	for (int step = 0; step <= 8; step++) {
		int word = (start / 64 + step) % 8;
		uint64_t usable = span.mask(word);
		if (step == 0)
			usable &= ~0ull << (start % 64);
		if (step == 8)
			usable &= ~(~0ull << (start % 64));
		if (!usable)
			continue;
		uint64_t free = ~words[word].load(std::memory_order_relaxed) & usable;
		for (; free; free &= free - 1) {
			uint64_t bit = free & -free;
			if (words[word].fetch_or(bit, std::memory_order_acq_rel) & bit)
				continue;
			used[index].fetch_add(1, std::memory_order_relaxed);
			return (uint16_t)(span.base + (word * 64 + std::countr_zero(bit)) * 128);
		}
	}
	return 0;
}

uint16_t PoolAddress::draw(Protocol protocol, unsigned parity, PortRange range, uint64_t random)
{
	unsigned first = range.first + ((range.first & 1u) != parity);
	if (first > range.last)
		return 0;
	uint64_t count = (range.last - first) / 2 + 1;
	for (unsigned again = 0; again < 6; again++, random >>= 8) {
		uint16_t port = (uint16_t)(first + 2 * (random % count));
		if (!owned(protocol, port) && own(protocol, port))
			return port;
	}
	return 0;
}

uint32_t PoolAddress::count(Protocol protocol, PortRange range) const
{
	unsigned index = protocol_index(protocol);
	uint32_t all = used[index].load(std::memory_order_relaxed);
	if (!all || (exclusive && !extra[index]))
		return all;
	uint32_t sum = 0;
	for (unsigned row = 0; row < SHARDS * 2; row++) {
		Span span(row >> 1, row & 1, range);
		for (int word = 0; word < 8 && span.first <= span.last; word++) {
			uint64_t taken = ports->taken[index][row * 8 + (unsigned)word].load(
				std::memory_order_relaxed);
			sum += (uint32_t)std::popcount(taken & span.mask(word));
		}
	}
	return sum;
}

} // namespace sixgate
