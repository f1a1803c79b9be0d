// SPDX-License-Identifier: Apache-2.0
/**
 * Pool addresses, their ports, and the configuration as the packet path reads it. A port has one
 * owner: a bit that is tested and set, in a map laid out so that the 1024 ports of a shard are 16
 * adjacent words.
 */
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "session_hash.h"

namespace sixgate {

constexpr unsigned PROTOCOLS = 3;

inline unsigned protocol_index(Protocol protocol)
{
	return protocol == Protocol::TCP ? 0 : protocol == Protocol::UDP ? 1 : 2;
}

/**
 * RFC 6052 section 2.2; the suffix is zero when an address is made and ignored when one is read.
 */
Ip6 embed_ipv4(const Prefix6 &prefix, uint32_t address);
uint32_t extract_ipv4(const Prefix6 &prefix, const Ip6 &address);
bool contains(const Prefix6 &prefix, const Ip6 &address);
Ip6 masked(const Ip6 &address, uint8_t length);
bool contains(const Prefix4 &prefix, uint32_t address);

struct PortRange {
	uint16_t first, last;
	bool holds(uint16_t port) const { return port >= first && port <= last; }
	bool empty() const { return first > last; }
	bool operator==(const PortRange &) const = default;
	PortRange cut(PortRange other) const
	{
		return { std::max(first, other.first), std::min(last, other.last) };
	}
};

class PoolAddress {
public:
	static constexpr unsigned WORDS = 1024;
	/**
	 * Ownership bits and, for each port, the shard that borrowed it (0: its own, else shard +
	 * 1).
	 */
	struct Ports {
		std::atomic<uint64_t> taken[PROTOCOLS][WORDS];
		std::atomic<uint8_t> borrower[PROTOCOLS][65536];
	};

	uint32_t address = 0;
	uint16_t slot = 0;
	/** Only one pool lends from it: a count alone can then say that it is full. */
	std::atomic<bool> exclusive = false;
	/** Static ports outside the range of that pool. */
	std::atomic<uint32_t> extra[PROTOCOLS] = {};
	std::atomic<uint32_t> used[PROTOCOLS] = {};
	Ports *ports = nullptr;
	/** Keeps the mapping that `ports` points into. */
	std::shared_ptr<void> memory;

	bool own(Protocol protocol, uint16_t port);
	void disown(Protocol protocol, uint16_t port);
	bool owned(Protocol protocol, uint16_t port) const;
	/** A free port of the range, at one of a few random places; 0 when those are taken. */
	uint16_t draw(Protocol protocol, unsigned parity, PortRange range, uint64_t random);
	/** A free port of that shard and range, from a random place on; 0 when there is none. */
	uint16_t take(Protocol protocol, unsigned shard, unsigned parity, PortRange range,
		      uint64_t random);
	/** Ports of the range that are owned. */
	uint32_t count(Protocol protocol, PortRange range) const;
};

struct Pool {
	std::vector<PoolAddress *> addresses;
	PortRange range;
	/** As PoolConfig says. What follows up to width() is of blocks only. */
	uint16_t block_size = 0, blocks_per_client = 0;
	bool deterministic = false;
	uint8_t client_length = 0;
	std::vector<Prefix6> clients;
	/** Blocks of an address, and in PortBlocks the numbers of the first block and address. */
	uint32_t blocks = 0, first_block = 0, first_address = 0;

	uint32_t width() const { return (uint32_t)(range.last - range.first + 1); }
	bool holds(const PoolAddress *address) const;
	/** Whether blocks are lent and taken back. */
	bool lends_blocks() const { return block_size && !deterministic; }
	/** Its place among the addresses, which has it. */
	uint32_t place_of(const PoolAddress &address) const;
	PortRange block(uint32_t place) const;
	/** The number of the block of that port, or 0 when it is of no whole one. */
	uint32_t block_number(const PoolAddress &address, uint16_t port) const;
	/** What that block is. */
	PortRange block_ports(uint32_t number) const;
	PoolAddress *block_address(uint32_t number) const;
	/** Address and ports of a client, by arithmetic (src/deterministic.ts); null for none. */
	PoolAddress *assigned(const Ip6 &client, PortRange &ports) const;
	/** Whether that client may have that port of the address, which is in the pool. */
	bool lends(const PoolAddress *address, uint16_t port, const Ip6 &client) const;
	/** Large pools only: no search before this time, since the last one found nothing. */
	mutable std::atomic<Time> full_until[PROTOCOLS] = {};
};

/** What a client may borrow from. */
struct PoolChoice {
	Prefix6 clients;
	std::vector<const Pool *> pools;
	/** Some of them lend blocks. */
	bool blocks = false;
	/** The pool of this choice that lends that port to that client, or null. */
	const Pool *lender(const PoolAddress *address, uint16_t port, const Ip6 &client) const;
};

/** One configuration, immutable once the packet threads see it. */
class Policy {
public:
	/**
	 * Null with `error` set when the configuration is impossible. Reuses the addresses of
	 * `old`.
	 */
	static std::unique_ptr<Policy> build(const SessionConfig &config, const Policy *old,
					     std::string &error);

	SessionConfig config;
	std::vector<std::unique_ptr<Pool>> pools;
	std::vector<PoolChoice> choices;
	std::unordered_map<uint32_t, std::shared_ptr<PoolAddress>> addresses;
	/** Null without limits and blocks. */
	std::shared_ptr<class ClientUse> use;
	/** Numbers that PortBlocks gives out; 0 when no pool lends blocks. */
	uint32_t blocks = 0, block_addresses = 0;

	/** The prefix that holds the address, or null. */
	const Prefix6 *prefix_of(const Ip6 &server) const;
	const PoolChoice *choice_of(const Ip6 &client) const;
	PoolAddress *address_of(uint32_t address) const;
	const StaticConfig *static_inside(Protocol protocol, const Ip6 &client,
					  uint16_t port) const;
	const StaticConfig *static_outside(Protocol protocol, uint32_t address,
					   uint16_t port) const;
	/** Whether a binding of that shape may exist, and as a static one or not. */
	bool allows(Protocol protocol, const Ip6 &client, uint16_t client_port, uint32_t pool,
		    uint16_t pool_port) const;
	/**
	 * Marks the addresses, old ones too, as this configuration uses them, and takes the static
	 * ports.
	 */
	void settle() const;
	/** Some pool lends that port of the address. */
	bool lends(const PoolAddress *address, uint16_t port) const;
	/** Pools, prefixes and static bindings are the same: nothing needs to end. */
	bool same_scope(const Policy &other) const;
	/** The blocks have the same numbers. */
	bool same_blocks(const Policy &other) const;
	/** The pool that lends that block, by its number. */
	const Pool *pool_of_block(uint32_t number) const;

private:
	std::unordered_map<uint64_t, uint32_t> outside_;
	std::unordered_multimap<uint64_t, uint32_t> inside_;
	bool add_pool(const PoolConfig &pool, const Policy *old, std::string &error);
	void shape(Pool &made, const PoolConfig &pool);
	bool add_statics(std::string &error);
	bool back(std::vector<PoolAddress *> &fresh, std::string &error);
};

} // namespace sixgate
