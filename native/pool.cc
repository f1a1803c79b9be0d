// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>

namespace sixgate {

namespace {

constexpr size_t MAX_ADDRESSES = 65536;
/** What the binding table has beyond one binding a session. */
constexpr size_t MAX_STATICS = 16384;

uint64_t inside_key(Protocol protocol, const Ip6 &client, uint16_t port)
{
	return load64(client.bytes) * 0x9e3779b97f4a7c15 ^ load64(client.bytes + 8) ^
	       ((uint64_t)port << 8 | (uint64_t)protocol) << 32;
}

uint64_t outside_key(Protocol protocol, uint32_t address, uint16_t port)
{
	return (uint64_t)address << 32 | (uint64_t)port << 8 | (uint64_t)protocol;
}

bool same(const StaticConfig &a, const StaticConfig &b)
{
	return a.protocol == b.protocol && a.inside == b.inside && a.inside_port == b.inside_port &&
	       a.outside == b.outside && a.outside_port == b.outside_port;
}

bool same(const Prefix6 &a, const Prefix6 &b)
{
	return a.length == b.length && a.address == b.address;
}

bool same(const Prefix4 &a, const Prefix4 &b)
{
	return a.length == b.length && a.address == b.address;
}

bool same(const PoolConfig &a, const PoolConfig &b);

template <typename T> bool same(const std::vector<T> &a, const std::vector<T> &b)
{
	return std::equal(a.begin(), a.end(), b.begin(), b.end(),
			  [](const T &x, const T &y) { return same(x, y); });
}

bool same(const PoolConfig &a, const PoolConfig &b)
{
	return a.first_port == b.first_port && a.last_port == b.last_port &&
	       a.block_size == b.block_size && a.blocks_per_client == b.blocks_per_client &&
	       a.deterministic == b.deterministic && same(a.addresses, b.addresses) &&
	       same(a.clients, b.clients);
}

} // namespace

bool contains(const Prefix6 &prefix, const Ip6 &address)
{
	unsigned whole = prefix.length / 8, rest = prefix.length % 8;
	if (memcmp(prefix.address.bytes, address.bytes, whole))
		return false;
	return !rest || !((prefix.address.bytes[whole] ^ address.bytes[whole]) >> (8 - rest));
}

Ip6 masked(const Ip6 &address, uint8_t length)
{
	Ip6 out = address;
	for (unsigned i = 0; i < 16; i++) {
		unsigned bits = (unsigned)std::clamp((int)length - (int)i * 8, 0, 8);
		out.bytes[i] &= (uint8_t)(0xff00 >> bits);
	}
	return out;
}

bool contains(const Prefix4 &prefix, uint32_t address)
{
	return !prefix.length || !((prefix.address ^ address) >> (32 - prefix.length));
}

Ip6 embed_ipv4(const Prefix6 &prefix, uint32_t address)
{
	Ip6 out = prefix.address;
	unsigned at = prefix.length / 8;
	memset(out.bytes + at, 0, 16 - at);
	for (int shift = 24; shift >= 0; shift -= 8, at++) {
		at += at == 8;
		out.bytes[at] = (uint8_t)(address >> shift);
	}
	return out;
}

uint32_t extract_ipv4(const Prefix6 &prefix, const Ip6 &address)
{
	unsigned at = prefix.length / 8;
	uint32_t out = 0;
	for (int i = 0; i < 4; i++, at++) {
		at += at == 8;
		out = out << 8 | address.bytes[at];
	}
	return out;
}

bool Pool::holds(const PoolAddress *address) const
{
	auto before = [](const PoolAddress *a, const PoolAddress *b) {
		return a->address < b->address;
	};
	return std::binary_search(addresses.begin(), addresses.end(), address, before);
}

const Pool *PoolChoice::lender(const PoolAddress *address, uint16_t port, const Ip6 &client) const
{
	for (const Pool *pool : pools)
		if (pool->range.holds(port) && pool->holds(address) &&
		    pool->lends(address, port, client))
			return pool;
	return nullptr;
}

const Prefix6 *Policy::prefix_of(const Ip6 &server) const
{
	const Prefix6 *best = nullptr;
	for (const Prefix6 &prefix : config.prefixes)
		if (contains(prefix, server) && (!best || prefix.length > best->length))
			best = &prefix;
	return best;
}

const PoolChoice *Policy::choice_of(const Ip6 &client) const
{
	for (const PoolChoice &choice : choices)
		if (contains(choice.clients, client))
			return &choice;
	return nullptr;
}

PoolAddress *Policy::address_of(uint32_t address) const
{
	auto found = addresses.find(address);
	return found == addresses.end() ? nullptr : found->second.get();
}

const StaticConfig *Policy::static_inside(Protocol protocol, const Ip6 &client, uint16_t port) const
{
	if (inside_.empty())
		return nullptr;
	auto [from, to] = inside_.equal_range(inside_key(protocol, client, port));
	for (; from != to; ++from) {
		const StaticConfig &entry = config.statics[from->second];
		if (entry.protocol == protocol && entry.inside_port == port &&
		    entry.inside == client)
			return &entry;
	}
	return nullptr;
}

const StaticConfig *Policy::static_outside(Protocol protocol, uint32_t address, uint16_t port) const
{
	if (outside_.empty())
		return nullptr;
	auto found = outside_.find(outside_key(protocol, address, port));
	return found == outside_.end() ? nullptr : &config.statics[found->second];
}

bool Policy::allows(Protocol protocol, const Ip6 &client, uint16_t client_port, uint32_t pool,
		    uint16_t pool_port) const
{
	const StaticConfig *inside = static_inside(protocol, client, client_port);
	if (inside)
		return inside->outside == pool && inside->outside_port == pool_port;
	if (static_outside(protocol, pool, pool_port))
		return false;
	const PoolChoice *choice = choice_of(client);
	const PoolAddress *address = address_of(pool);
	return choice && address && choice->lender(address, pool_port, client);
}

bool Policy::lends(const PoolAddress *address, uint16_t port) const
{
	for (const auto &pool : pools)
		if (pool->range.holds(port) && pool->holds(address))
			return true;
	return false;
}

void Policy::settle() const
{
	std::unordered_map<const PoolAddress *, const Pool *> lender;
	for (const auto &pool : pools)
		for (const PoolAddress *address : pool->addresses) {
			auto [at, first] = lender.try_emplace(address, pool.get());
			if (!first)
				at->second = nullptr;
		}
	for (const auto &[number, address] : addresses) {
		address->exclusive = lender[address.get()] != nullptr;
		for (auto &extra : address->extra)
			extra = 0;
	}
	for (const StaticConfig &entry : config.statics) {
		PoolAddress *address = address_of(entry.outside);
		const Pool *pool = lender[address];
		if (!pool || !pool->range.holds(entry.outside_port))
			address->extra[protocol_index(entry.protocol)]++;
		address->own(entry.protocol, entry.outside_port);
	}
}

bool Policy::same_scope(const Policy &other) const
{
	return same(config.prefixes, other.config.prefixes) &&
	       same(config.pools, other.config.pools) &&
	       same(config.statics, other.config.statics) && use == other.use;
}

bool Policy::same_blocks(const Policy &other) const
{
	return !blocks && !other.blocks ? true : same(config.pools, other.config.pools);
}

const Pool *Policy::pool_of_block(uint32_t number) const
{
	for (const auto &pool : pools)
		if (pool->lends_blocks() && number >= pool->first_block &&
		    number - pool->first_block < pool->blocks * pool->addresses.size())
			return pool.get();
	return nullptr;
}

void Policy::shape(Pool &made, const PoolConfig &pool)
{
	if (!pool.block_size)
		return;
	made.block_size = pool.block_size;
	made.blocks_per_client = pool.blocks_per_client;
	made.deterministic = pool.deterministic;
	made.client_length = config.limits.prefix_length;
	made.blocks = made.width() / pool.block_size;
	if (made.deterministic)
		return;
	made.first_block = blocks + 1;
	made.first_address = block_addresses;
	blocks += made.blocks * (uint32_t)made.addresses.size();
	block_addresses += (uint32_t)made.addresses.size();
}

bool Policy::add_pool(const PoolConfig &pool, const Policy *old, std::string &error)
{
	auto made = std::make_unique<Pool>();
	made->range = { pool.first_port, pool.last_port };
	if (!pool.first_port || pool.first_port > pool.last_port) {
		error = "a pool's port range is empty or holds port 0";
		return false;
	}
	if (pool.block_size && (pool.block_size < MIN_BLOCK || pool.block_size > made->width())) {
		error = "a block of ports is smaller than 64 ports, or larger than its pool";
		return false;
	}
	for (const Prefix4 &prefix : pool.addresses) {
		uint64_t count = 1ull << (32 - prefix.length);
		for (uint64_t i = 0; i < count; i++) {
			if (addresses.size() >= MAX_ADDRESSES) {
				error = "the pools hold more than 65536 addresses";
				return false;
			}
			uint32_t number = prefix.address + (uint32_t)i;
			auto &entry = addresses[number];
			if (!entry && old && old->address_of(number))
				entry = old->addresses.at(number);
			if (!entry) {
				entry = std::make_shared<PoolAddress>();
				entry->address = number;
			}
			made->addresses.push_back(entry.get());
		}
	}
	std::sort(
		made->addresses.begin(), made->addresses.end(),
		[](const PoolAddress *a, const PoolAddress *b) { return a->address < b->address; });
	made->addresses.erase(std::unique(made->addresses.begin(), made->addresses.end()),
			      made->addresses.end());
	made->clients = pool.clients;
	if (made->clients.empty())
		made->clients.push_back({ {}, 0 });
	shape(*made, pool);
	for (const Prefix6 &prefix : made->clients) {
		auto at =
			std::find_if(choices.begin(), choices.end(), [&](const PoolChoice &choice) {
				return same(choice.clients, prefix);
			});
		if (at == choices.end())
			at = choices.insert(choices.end(), { prefix, {} });
		at->pools.push_back(made.get());
		at->blocks = at->blocks || made->lends_blocks();
	}
	pools.push_back(std::move(made));
	return true;
}

bool Policy::add_statics(std::string &error)
{
	if (config.statics.size() > MAX_STATICS) {
		error = "there are more than 16384 static bindings";
		return false;
	}
	for (uint32_t i = 0; i < config.statics.size(); i++) {
		const StaticConfig &entry = config.statics[i];
		PoolAddress *address = address_of(entry.outside);
		if (!address) {
			error = "a static binding's outside address is in no pool";
			return false;
		}
		if (static_outside(entry.protocol, entry.outside, entry.outside_port) ||
		    static_inside(entry.protocol, entry.inside, entry.inside_port)) {
			error = "two static bindings share an inside or an outside transport "
				"address";
			return false;
		}
		outside_.emplace(outside_key(entry.protocol, entry.outside, entry.outside_port), i);
		inside_.emplace(inside_key(entry.protocol, entry.inside, entry.inside_port), i);
	}
	return true;
}

/** One mapping for all new addresses; pages come to life with the first port of each. */
bool Policy::back(std::vector<PoolAddress *> &fresh, std::string &error)
{
	if (fresh.empty())
		return true;
	size_t bytes = fresh.size() * sizeof(PoolAddress::Ports);
	void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) {
		error = std::string("no memory for the ports of the pools: ") + strerror(errno);
		return false;
	}
	std::shared_ptr<void> memory(at, [bytes](void *mapping) { munmap(mapping, bytes); });
	auto *ports = static_cast<PoolAddress::Ports *>(at);
	for (PoolAddress *address : fresh) {
		address->ports = ports++;
		address->memory = memory;
	}
	return true;
}

std::unique_ptr<Policy> Policy::build(const SessionConfig &config, const Policy *old,
				      std::string &error)
{
	auto policy = std::make_unique<Policy>();
	policy->config = config;
	if (config.prefixes.empty() && !config.pools.empty()) {
		error = "there is no translation prefix";
		return nullptr;
	}
	for (const PoolConfig &pool : config.pools)
		if (!policy->add_pool(pool, old, error))
			return nullptr;
	if (!policy->add_statics(error))
		return nullptr;
	std::stable_sort(policy->choices.begin(), policy->choices.end(),
			 [](const PoolChoice &a, const PoolChoice &b) {
				 return a.clients.length > b.clients.length;
			 });
	std::vector<PoolAddress *> fresh;
	std::vector<bool> slots(MAX_ADDRESSES);
	if (old)
		for (auto &[number, address] : old->addresses)
			slots[address->slot] = true;
	size_t slot = 0;
	for (auto &[number, address] : policy->addresses) {
		if (address->ports)
			continue;
		while (slot < MAX_ADDRESSES && slots[slot])
			slot++;
		if (slot == MAX_ADDRESSES) {
			error = "old and new pools together hold more than 65536 addresses";
			return nullptr;
		}
		slots[slot] = true;
		address->slot = (uint16_t)slot;
		fresh.push_back(address.get());
	}
	if (!policy->back(fresh, error))
		return nullptr;
	return policy;
}

} // namespace sixgate
