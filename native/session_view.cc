// SPDX-License-Identifier: Apache-2.0
/**
 * What the control plane reads: a slice at a time under a shard's lock, shown after the lock is
 * given back.
 */
#include "session_table.h"

namespace sixgate {

namespace {

/** Buckets read under one hold of a lock: some tens of microseconds. */
constexpr uint32_t SLICE = 256;

bool wanted(const ViewFilter &filter, Protocol protocol, const Ip6 &client, const Ip6 *server,
	    uint32_t pool, const uint32_t *remote)
{
	if (filter.protocol && *filter.protocol != protocol)
		return false;
	if (filter.six && !contains(*filter.six, client) &&
	    !(server && contains(*filter.six, *server)))
		return false;
	return !filter.four || contains(*filter.four, pool) ||
	       (remote && contains(*filter.four, *remote));
}

/**
 * A session that moves between buckets meanwhile may be missed or seen twice: a table that lives
 * has no instant.
 */
template <typename View, typename Read> void scan(const Shard &shard, const Index Shard::*index,
						  size_t &left, Read read,
						  const std::function<void(const View &)> &visit)
{
	std::vector<View> views;
	for (uint32_t from = 0; left; from += SLICE) {
		views.clear();
		{
			std::lock_guard guard(shard.lock);
			const Index &table = shard.*index;
			if (from >= table.buckets())
				return;
			uint32_t until = std::min(from + SLICE, table.buckets());
			for (uint32_t at = from; at < until; at++)
				for (uint32_t number : table.bucket(at).record)
					if (number)
						read(shard, number, views);
		}
		for (const View &view : views) {
			if (!left)
				return;
			left--;
			visit(view);
		}
	}
}

} // namespace

void SessionTable::sessions(const ViewFilter &filter, Time now,
			    const std::function<void(const SessionView &)> &visit) const
{
	size_t left = filter.limit;
	auto read = [&](const Shard &shard, uint32_t number, std::vector<SessionView> &views) {
		SessionRecord &r = impl_->session(number);
		if (!wanted(filter, r.protocol, r.client, &r.server, r.pool, &r.remote))
			return;
		FlowActivity above = impl_->activity(shard, r);
		if (above.last)
			impl_->revive(shard, r, now);
		Time ends = (Time)r.expiry << TICK_SHIFT, began = (Time)r.created << TICK_SHIFT;
		views.push_back({ r.protocol, r.state, r.six(), r.four(),
				  ends > now ? ends - now : 0, now > began ? now - began : 0,
				  r.packets_out + above.packets_out, r.bytes_out + above.bytes_out,
				  r.packets_in + above.packets_in,
				  r.bytes_in + above.bytes_in });
	};
	for (const Shard &shard : impl_->shards)
		scan<SessionView>(shard, &Shard::six, left, read, visit);
}

void SessionTable::bindings(const ViewFilter &filter,
			    const std::function<void(const BindingView &)> &visit) const
{
	size_t left = filter.limit;
	auto read = [&](const Shard &, uint32_t number, std::vector<BindingView> &views) {
		const BindingRecord &b = impl_->binding(number);
		if (wanted(filter, b.protocol, b.client, nullptr, b.pool, nullptr))
			views.push_back({ b.protocol, b.fixed != 0, b.client, b.client_port, b.pool,
					  b.pool_port, b.sessions, b.block_first, b.block_size });
	};
	for (const Shard &shard : impl_->shards)
		scan<BindingView>(shard, &Shard::inside, left, read, visit);
}

SessionStats SessionTable::stats() const
{
	std::lock_guard guard(impl_->control);
	SessionStats out = { impl_->live.load(), 0, impl_->held.size(),
			     impl_->half_open(), impl_->evicted.load(), {} };
	for (const Shard &shard : impl_->shards) {
		std::lock_guard inner(shard.lock);
		out.bindings += shard.inside.size();
	}
	for (const auto &pool : impl_->policy->pools) {
		uint64_t addresses = pool->addresses.size();
		uint32_t width =
			pool->block_size ? pool->blocks * pool->block_size : pool->width();
		PoolUse use = { 0, addresses * width * PROTOCOLS, 0, addresses * pool->blocks };
		if (pool->lends_blocks())
			use.blocks_used = impl_->policy->use->blocks->lent(*pool);
		for (const PoolAddress *address : pool->addresses)
			for (Protocol protocol : { Protocol::TCP, Protocol::UDP, Protocol::ICMP })
				use.used += address->count(protocol, pool->range);
		out.pools.push_back(use);
	}
	return out;
}

MemoryUse SessionTable::memory() const
{
	std::lock_guard guard(impl_->control);
	MemoryUse out = { impl_->file.backed_bytes(), impl_->arena.resident() + sizeof(Impl) };
	if (impl_->policy->use)
		out.process += impl_->policy->use->resident();
	if (impl_->policy->use && impl_->policy->use->blocks)
		out.process += impl_->policy->use->blocks->resident();
	for (const auto &[number, address] : impl_->policy->addresses)
		for (unsigned i = 0; i < PROTOCOLS; i++)
			if (address->used[i].load(std::memory_order_relaxed))
				out.process += sizeof(address->ports->taken[i]);
	return out;
}

} // namespace sixgate
