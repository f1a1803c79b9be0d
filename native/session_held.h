// SPDX-License-Identifier: Apache-2.0
/**
 * Unsolicited IPv4 SYNs that wait for the client's own (RFC 6146 section 3.5.2.2, simultaneous
 * open): V4 INIT entries of which no client is known yet. Bounded, so a stranger's SYNs cost this
 * table and nothing else.
 */
#pragma once

#include <atomic>
#include <mutex>

#include "session.h"

namespace sixgate {

class HeldSyns {
public:
	static constexpr unsigned CAPACITY = 1024;

	struct Entry {
		Tuple4 tuple;
		uint32_t expiry;
		uint16_t chain, older, newer;
		uint8_t length;
		uint8_t packet[HELD_BYTES];
	};

	HeldSyns();
	/** Keeps the packet, or finds that it is kept already. False when the table is full. */
	bool hold(const Tuple4 &tuple, const Facts &facts, uint32_t expiry, uint32_t salt);
	/** Gives up the first entry from that host which `accept` takes. */
	template <typename Accept>
	bool claim(uint32_t remote, uint16_t port, uint32_t salt, Accept accept)
	{
		if (!count_.load(std::memory_order_relaxed))
			return false;
		std::lock_guard guard(lock_);
		for (uint16_t at = buckets_[bucket(remote, port, salt)]; at;
		     at = entries_[at].chain) {
			Entry &entry = entries_[at];
			if (entry.tuple.remote != remote || entry.tuple.remote_port != port ||
			    !accept(entry.tuple))
				continue;
			remove(at, salt);
			return true;
		}
		return false;
	}
	/** Takes the oldest entry if it is due. */
	bool expire(uint32_t tick, uint32_t salt, Event &event);
	uint32_t size() const { return count_.load(std::memory_order_relaxed); }

private:
	std::mutex lock_;
	std::atomic<uint32_t> count_ = 0;
	uint16_t buckets_[CAPACITY] = {};
	/** Number 0 is the ring of all entries by age; free entries are chained. */
	Entry entries_[CAPACITY + 1];
	uint16_t free_;

	static unsigned bucket(uint32_t remote, uint16_t port, uint32_t salt);
	void remove(uint16_t at, uint32_t salt);
};

} // namespace sixgate
