// SPDX-License-Identifier: Apache-2.0
#include "session_held.h"

#include <algorithm>

namespace sixgate {

HeldSyns::HeldSyns()
{
	for (unsigned i = 1; i <= CAPACITY; i++)
		entries_[i].chain = i < CAPACITY ? (uint16_t)(i + 1) : 0;
	free_ = 1;
	entries_[0].older = entries_[0].newer = 0;
}

unsigned HeldSyns::bucket(uint32_t remote, uint16_t port, uint32_t salt)
{
	uint64_t key = ((uint64_t)remote << 16 | port) + ((uint64_t)salt << 20);
	return (unsigned)((key * 0x9e3779b97f4a7c15 * (salt | 1)) >> 54);
}

bool HeldSyns::hold(const Tuple4 &tuple, const Facts &facts, uint32_t expiry, uint32_t salt)
{
	std::lock_guard guard(lock_);
	uint16_t &head = buckets_[bucket(tuple.remote, tuple.remote_port, salt)];
	for (uint16_t at = head; at; at = entries_[at].chain)
		if (!memcmp(&entries_[at].tuple, &tuple, sizeof(tuple)))
			return true;
	if (!free_)
		return false;
	uint16_t at = free_;
	Entry &entry = entries_[at];
	free_ = entry.chain;
	entry.tuple = tuple;
	entry.expiry = expiry;
	entry.length =
		(uint8_t)std::min<uint32_t>(facts.packet ? facts.packet_length : 0, HELD_BYTES);
	if (entry.length)
		memcpy(entry.packet, facts.packet, entry.length);
	entry.chain = head;
	head = at;
	entry.newer = 0;
	entry.older = entries_[0].older;
	entries_[entry.older].newer = at;
	entries_[0].older = at;
	count_.fetch_add(1, std::memory_order_relaxed);
	return true;
}

void HeldSyns::remove(uint16_t at, uint32_t salt)
{
	Entry &entry = entries_[at];
	uint16_t *link = &buckets_[bucket(entry.tuple.remote, entry.tuple.remote_port, salt)];
	while (*link != at)
		link = &entries_[*link].chain;
	*link = entry.chain;
	entries_[entry.older].newer = entry.newer;
	entries_[entry.newer].older = entry.older;
	entry.chain = free_;
	free_ = at;
	count_.fetch_sub(1, std::memory_order_relaxed);
}

bool HeldSyns::expire(uint32_t tick, uint32_t salt, Event &event)
{
	std::lock_guard guard(lock_);
	uint16_t at = entries_[0].newer;
	if (!at || tick < entries_[at].expiry)
		return false;
	const Entry &entry = entries_[at];
	event.kind = Event::SYN_EXPIRED;
	event.four = entry.tuple;
	event.six = {};
	event.session = {};
	event.packet_length = entry.length;
	memcpy(event.packet, entry.packet, entry.length);
	remove(at, salt);
	return true;
}

} // namespace sixgate
