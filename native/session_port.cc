// SPDX-License-Identifier: Apache-2.0
/** Which address and port a new binding gets (RFC 6146 section 3.5.1.1, RFC 4787, RFC 6056). */
#include "session_table.h"

namespace sixgate {

/** That of its prefix's blocks, else of its own bindings. */
PoolAddress *SessionTable::Impl::paired(const Shard &shard, const PoolChoice &choice,
					const Ip6 &client, const BlockOwner &owner) const
{
	if (owner.chain && *owner.chain) {
		const Pool *pool = shard.policy->pool_of_block(*owner.chain);
		PoolAddress *address = pool->block_address(*owner.chain);
		for (const Pool *one : choice.pools)
			if (one->holds(address))
				return address;
	}
	unsigned seen = 0;
	for (uint32_t at = client_head(shard, client); at && seen < 16;
	     at = binding(at).next, seen++) {
		PoolAddress *address = slots[binding(at).slot].load(std::memory_order_relaxed);
		for (const Pool *pool : choice.pools)
			if (pool->holds(address))
				return address;
	}
	return nullptr;
}

/**
 * Own shard before borrowing; parity is kept as long as the address has such a port at all (RFC
 * 4787 REQ-4).
 */
uint16_t SessionTable::Impl::pick_class(Shard &shard, Protocol protocol, PoolAddress &address,
					PortRange range, unsigned parity, bool block)
{
	if (range.empty())
		return 0;
	uint64_t random = draw(shard);
	if (uint16_t port = block ? address.draw(protocol, parity, range, random) : 0)
		return port;
	for (unsigned step = 0; step < SHARDS; step++) {
		unsigned from = step ? (shard.number + (unsigned)(random >> 58) + step) % SHARDS
				     : shard.number;
		uint16_t port = address.take(protocol, from, parity, range, random & 0xffffffff);
		if (port)
			return port;
	}
	return address.take(protocol, (shard.number + (unsigned)(random >> 58)) % SHARDS, parity,
			    range, random);
}

/** The range 0-1023 and the parity are kept where possible (RFC 6146 section 3.5.1.1). */
uint16_t SessionTable::Impl::pick_port(Shard &shard, Protocol protocol, PoolAddress &address,
				       PortRange range, uint16_t wanted, bool block)
{
	PortRange low = { range.first, std::min<uint16_t>(range.last, 1023) };
	PortRange high = { std::max<uint16_t>(range.first, 1024), range.last };
	const PortRange order[2] = { wanted < 1024 ? low : high, wanted < 1024 ? high : low };
	for (const PortRange &part : order)
		for (unsigned flip = 0; flip < 2; flip++)
			for (unsigned again = 0; again < 4; again++) {
				uint16_t port = pick_class(shard, protocol, address, part,
							   (wanted & 1u) ^ flip, block);
				if (!port)
					break;
				/*
				 * A static binding's port that was free for a moment while the
				 * configuration changed.
				 */
				if (!shard.policy->static_outside(protocol, address.address, port))
					return port;
			}
	return 0;
}

uint16_t SessionTable::Impl::pick_in_pool(Shard &shard, Protocol protocol, const Pool &pool,
					  PoolAddress &address, uint16_t wanted, BlockOwner &owner)
{
	unsigned index = protocol_index(protocol);
	uint32_t used = address.used[index].load(std::memory_order_relaxed);
	if (address.exclusive && used >= pool.width() + address.extra[index])
		return 0;
	if (pool.lends_blocks())
		return take_in_blocks(shard, protocol, pool, address, owner, wanted);
	return pick_port(shard, protocol, address, pool.range, wanted, false);
}

/**
 * RFC 7422 section 2: the ports that follow from the client as long as there are such; what other
 * pools of the choice have is the dynamic pool.
 */
enum xlat_reason SessionTable::Impl::pick(Shard &shard, Protocol protocol, const PoolChoice &choice,
					  const Ip6 &client, uint16_t wanted, Time now,
					  PoolAddress *&address, uint16_t &port, BlockOwner &owner)
{
	auto attempt = [&](const Pool &pool, PoolAddress *candidate) {
		address = candidate;
		port = pick_in_pool(shard, protocol, pool, *candidate, wanted, owner);
		return port != 0;
	};
	PoolAddress *own = paired(shard, choice, client, owner);
	for (const Pool *pool : choice.pools) {
		PortRange ports;
		address = pool->deterministic ? pool->assigned(client, ports) : nullptr;
		port = address ? pick_port(shard, protocol, *address, ports, wanted, true) : 0;
		if (port)
			return XLAT_OK;
		own = address ? address : own;
	}
	for (const Pool *pool : choice.pools) {
		unsigned index = protocol_index(protocol);
		if (pool->deterministic)
			continue;
		if (own) {
			if (pool->holds(own) && attempt(*pool, own))
				return XLAT_OK;
			continue;
		}
		size_t count = pool->addresses.size(), start = draw(shard) % count;
		if (count > 64 && now < pool->full_until[index].load(std::memory_order_relaxed))
			continue;
		for (size_t i = 0; i < count; i++)
			if (attempt(*pool, pool->addresses[(start + i) % count]))
				return XLAT_OK;
		if (count > 64)
			pool->full_until[index].store(now + 10, std::memory_order_relaxed);
	}
	log_exhausted(shard, protocol, choice, own, now);
	return owner.bounded ? XLAT_CLIENT_BLOCKS : XLAT_NO_PORT;
}

/** The port of a waiting SYN from there, when the client may have it (simultaneous open). */
bool SessionTable::Impl::claim_held(Shard &shard, const PoolChoice &choice, const Tuple6 &six,
				    uint32_t remote, PoolAddress *&address, uint16_t &port,
				    BlockOwner &owner)
{
	const PoolAddress *pair = paired(shard, choice, six.client, owner);
	return held.claim(remote, six.server_port, salt(), [&](const Tuple4 &waiting) {
		address = shard.policy->address_of(waiting.pool);
		port = waiting.pool_port;
		if (!address || (pair && pair != address))
			return false;
		const Pool *pool = choice.lender(address, port, six.client);
		if (!pool || !address->own(Protocol::TCP, port))
			return false;
		if (!pool->lends_blocks() ||
		    join_block(shard, Protocol::TCP, *pool, *address, port, owner))
			return true;
		address->disown(Protocol::TCP, port);
		return false;
	});
}

enum xlat_reason SessionTable::Impl::open_binding(Shard &shard, Protocol protocol,
						  const Tuple6 &six, uint32_t remote, Time now,
						  uint32_t &number, bool &simultaneous)
{
	const Policy &policy = *shard.policy;
	if (!shard.inside.room() || !shard.outside.room() || !shard.clients.room())
		return XLAT_TABLE_FULL;
	const StaticConfig *fixed = policy.static_inside(protocol, six.client, six.client_port);
	PoolAddress *address = fixed ? policy.address_of(fixed->outside) : nullptr;
	uint16_t port = fixed ? fixed->outside_port : 0;
	const PoolChoice *choice = fixed ? nullptr : policy.choice_of(six.client);
	if (!fixed && !choice)
		return XLAT_NO_POOL;
	if (!file.bindings.take(&number, 1))
		return XLAT_TABLE_FULL;
	BlockOwner owner = { shard.use ? shard.use->join(six.client, fixed) : 0 };
	auto find = [&] {
		simultaneous = protocol == Protocol::TCP &&
			       claim_held(shard, *choice, six, remote, address, port, owner);
		return simultaneous ? XLAT_OK
				    : pick(shard, protocol, *choice, six.client, six.client_port,
					   now, address, port, owner);
	};
	enum xlat_reason why = XLAT_OK;
	if (fixed)
		address->own(protocol, port);
	else if (!choice->blocks)
		why = find();
	else if (!owner.number)
		why = XLAT_TABLE_FULL;
	else
		why = shard.use->with_blocks(owner.number, [&](uint32_t &chain) {
			owner.chain = &chain;
			return find();
		});
	if (why != XLAT_OK) {
		if (shard.use)
			shard.use->leave(owner.number, fixed);
		file.bindings.give(&number, 1);
		return why;
	}
	BindingRecord fields = {};
	fields.client = six.client;
	fields.client_port = six.client_port;
	fields.pool = address->address;
	fields.pool_port = port;
	fields.protocol = protocol;
	fields.fixed = fixed != nullptr;
	fields.slot = address->slot;
	fields.created = tick_of(now);
	fields.use = owner.number;
	note_block(shard, owner.block, fields);
	place_binding(shard, number, fields);
	log_binding(shard, NatEvent::BINDING_CREATED, fields);
	return XLAT_OK;
}

} // namespace sixgate
