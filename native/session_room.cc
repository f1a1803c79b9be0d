// SPDX-License-Identifier: Apache-2.0
/**
 * Room for newcomers when the table or a pool is full (RFC 6146 section 5.3). Who forges SYNs
 * cannot end a handshake, so half-open sessions give way: those that strangers opened first, and
 * of the shard with most of them the oldest. So a flood displaces itself, while a handshake of a
 * client elsewhere has the time that the size of the table allows. What was established stays.
 */
#include "session_table.h"

namespace sixgate {

namespace {

/** Sessions looked at for one whose port helps. */
constexpr unsigned SEEN = 32;

} // namespace

void AgeList::append(const Records<SessionRecord> &records, uint32_t number)
{
	SessionRecord &record = records[number];
	record.older = newest_;
	record.newer = 0;
	(newest_ ? records[newest_].newer : oldest_) = number;
	newest_ = number;
	size_.fetch_add(1, std::memory_order_relaxed);
}

void AgeList::unlink(const Records<SessionRecord> &records, uint32_t number)
{
	const SessionRecord &record = records[number];
	(record.older ? records[record.older].newer : oldest_) = record.newer;
	(record.newer ? records[record.newer].older : newest_) = record.older;
	size_.fetch_sub(1, std::memory_order_relaxed);
}

void SessionTable::Impl::open_half(Shard &shard, uint32_t number, Opener opener)
{
	session(number).half_open = (uint8_t)opener;
	shard.half_open[(unsigned)opener - 1].append(file.sessions, number);
}

void SessionTable::Impl::open_whole(Shard &shard, uint32_t number)
{
	SessionRecord &record = session(number);
	shard.half_open[record.half_open - 1].unlink(file.sessions, number);
	record.half_open = 0;
}

uint64_t SessionTable::Impl::half_open() const
{
	uint64_t count = 0;
	for (const Shard &shard : shards)
		for (const AgeList &list : shard.half_open)
			count += list.size();
	return count;
}

/** The oldest that fits of the longest list, which is chosen without locks: near enough. */
template <typename Fits> bool SessionTable::Impl::evict(Opener opener, Fits fits)
{
	auto list = [&](Shard &shard) -> AgeList & {
		return shard.half_open[(unsigned)opener - 1];
	};
	Shard *longest = std::max_element(
		shards, shards + SHARDS,
		[&](Shard &a, Shard &b) { return list(a).size() < list(b).size(); });
	if (!list(*longest).size())
		return false;
	std::lock_guard guard(longest->lock);
	uint32_t number = list(*longest).oldest();
	for (unsigned seen = 0; number && seen < SEEN; seen++, number = session(number).newer) {
		if (!fits(*longest, session(number)))
			continue;
		end_session(*longest, number);
		evicted.fetch_add(1, std::memory_order_relaxed);
		return true;
	}
	return false;
}

bool SessionTable::Impl::make_room(bool stranger)
{
	auto any = [](const Shard &, const SessionRecord &) { return true; };
	return evict(Opener::STRANGER, any) || (!stranger && evict(Opener::CLIENT, any));
}

bool SessionTable::Impl::free_port(const Ip6 &client)
{
	Shard &home = shards[client_shard(secret(), client)];
	uint32_t own = 0;
	{
		std::lock_guard guard(home.lock);
		const PoolChoice *choice = home.policy->choice_of(client);
		if (PoolAddress *address = choice ? paired(home, *choice, client, {}) : nullptr)
			own = address->address;
	}
	auto helps = [&](const Shard &shard, const SessionRecord &record) {
		const BindingRecord &b = binding(record.binding);
		if (b.fixed || b.sessions != 1 || (own && own != b.pool))
			return false;
		const PoolChoice *choice = shard.policy->choice_of(client);
		const PoolAddress *address = shard.policy->address_of(b.pool);
		const Pool *pool =
			choice && address ? choice->lender(address, b.pool_port, client) : nullptr;
		/* A port of a block helps only the client that has the block. */
		return pool && !pool->block_size;
	};
	return evict(Opener::CLIENT, helps);
}

} // namespace sixgate
