// SPDX-License-Identifier: Apache-2.0
/** Where the blocks of a pool lie, and which of them is a client's by arithmetic. */
#include <algorithm>

#include "pool.h"

namespace sixgate {

uint32_t Pool::place_of(const PoolAddress &address) const
{
	auto at = std::lower_bound(addresses.begin(), addresses.end(), &address,
				   [](const PoolAddress *a, const PoolAddress *b) {
					   return a->address < b->address;
				   });
	return (uint32_t)(at - addresses.begin());
}

PortRange Pool::block(uint32_t place) const
{
	uint16_t first = (uint16_t)(range.first + place * block_size);
	return { first, (uint16_t)(first + block_size - 1) };
}

uint32_t Pool::block_number(const PoolAddress &address, uint16_t port) const
{
	uint32_t place = (uint32_t)(port - range.first) / block_size;
	return place < blocks ? first_block + place_of(address) * blocks + place : 0;
}

PortRange Pool::block_ports(uint32_t number) const
{
	return block((number - first_block) % blocks);
}

PoolAddress *Pool::block_address(uint32_t number) const
{
	return addresses[(number - first_block) / blocks];
}

namespace {

/** Bits `from` to `until` of an address, which are few enough for a number. */
uint64_t bits(const Ip6 &address, unsigned from, unsigned until)
{
	uint64_t out = 0;
	for (unsigned i = from; i < until; i++)
		out = out << 1 | (address.bytes[i / 8] >> (7 - i % 8) & 1u);
	return out;
}

} // namespace

/**
 * RFC 7422 section 2, algorithm 0 (sequential): the first client prefix gets the first block of the
 * first address, the second one that of the second address, and so on.
 */
PoolAddress *Pool::assigned(const Ip6 &client, PortRange &ports) const
{
	uint64_t before = 0, capacity = (uint64_t)blocks * addresses.size();
	for (const Prefix6 &prefix : clients) {
		if (prefix.length > client_length || client_length - prefix.length > 32)
			continue;
		if (!contains(prefix, client)) {
			before += 1ull << (client_length - prefix.length);
			continue;
		}
		uint64_t index = before + bits(client, prefix.length, client_length);
		if (index >= capacity)
			return nullptr;
		ports = block((uint32_t)(index / addresses.size()));
		return addresses[index % addresses.size()];
	}
	return nullptr;
}

bool Pool::lends(const PoolAddress *address, uint16_t port, const Ip6 &client) const
{
	if (!block_size)
		return true;
	if (!deterministic)
		return (uint32_t)(port - range.first) / block_size < blocks;
	PortRange ports;
	return assigned(client, ports) == address && ports.holds(port);
}

} // namespace sixgate
