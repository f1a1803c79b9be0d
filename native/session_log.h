// SPDX-License-Identifier: Apache-2.0
/**
 * Who had which outside transport address, and when (RFC 6888 section 4, RFC 8158). Packet threads
 * note events under the lock of their shard, one thread reads them. A full log loses events and
 * counts them; it never waits, and what is not logged costs one test of a word that is at hand.
 *
 * One ring for all shards: the release of a port is noted before it is free and its next owner
 * after that, so they are read in this order whichever threads noted them.
 */
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "session.h"

namespace sixgate {

/** natEvent, RFC 8158 section 4.3. */
enum class NatEvent : uint8_t {
	ADDRESSES_EXHAUSTED = 3,
	SESSION_CREATED = 6,
	SESSION_DELETED = 7,
	BINDING_CREATED = 10,
	BINDING_DELETED = 11,
	PORTS_EXHAUSTED = 12,
	QUOTA_EXCEEDED = 13,
	BLOCK_ALLOCATED = 16,
	BLOCK_RELEASED = 17,
};

/** natQuotaExceededEvent, RFC 8158 section 4.4. */
enum class NatQuota : uint8_t { NONE = 0, SESSIONS = 1, CLIENT = 3 };

struct NatRecord {
	NatEvent event;
	/** IP protocol number; 0 where the event is about all of them. */
	uint8_t protocol = 0;
	NatQuota quota = NatQuota::NONE;
	uint16_t client_port = 0;
	/** Of a block the first and the last port; else the last one is 0. */
	uint16_t pool_port = 0, last_port = 0;
	uint16_t remote_port = 0;
	uint32_t pool = 0, remote = 0;
	/** The limit that was reached, or the pool that has no address left. */
	uint32_t value = 0;
	/** A client, or the prefix of what counts as one client. */
	Ip6 client = {};
	uint8_t client_length = 128;
	/** When what ends began; 0 for what begins. */
	Time began = 0;
};

class NatLog {
public:
	static constexpr uint32_t CAPACITY = 1 << 16;
	/** A record as read() writes it, in network byte order (src/binding-log/record.ts). */
	static constexpr size_t RECORD_SIZE = 59;

	/** Milliseconds of the wall clock, and as SessionTable counts. */
	struct Stamp {
		uint64_t wall;
		Time boot;
	};
	using Clock = Stamp (*)();
	explicit NatLog(Clock clock = host_clock) : clock_(clock) {}
	~NatLog();
	NatLog(const NatLog &) = delete;

	/** Before the first note(). False when there is no memory. */
	bool reserve();
	void note(const NatRecord &record);
	/** At most one true a second for a key: what a flood causes is noted now and then. */
	bool seldom(uint64_t key, Time now);

	/** By one thread: up to `capacity` records, the oldest first; how many there were. */
	size_t read(uint8_t *out, size_t capacity);
	/** Events noted, and events for which there was no room. */
	uint64_t noted() const { return tail_.load(std::memory_order_relaxed); }
	uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

private:
	struct alignas(64) Cell {
		/** Twice the lap when free, one more when filled; memory that is zero is free. */
		std::atomic<uint64_t> turn;
		Stamp time;
		NatRecord record;
	};
	static constexpr unsigned SELDOM = 256;

	static Stamp host_clock();
	static void write(const Cell &cell, uint8_t *out);

	const Clock clock_;
	Cell *cells_ = nullptr;
	alignas(64) std::atomic<uint64_t> tail_ = 0;
	alignas(64) std::atomic<uint64_t> lost_ = 0;
	uint64_t head_ = 0;
	std::atomic<Time> last_[SELDOM] = {};
};

} // namespace sixgate
