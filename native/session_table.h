// SPDX-License-Identifier: Apache-2.0
/** The inside of SessionTable: shards, and what is done to one under its lock. */
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>

#include "flow_cache.h"
#include "pool.h"
#include "session_file.h"
#include "session_held.h"
#include "session_index.h"
#include "session_limit.h"
#include "session_log.h"
#include "session_tcp.h"

namespace sixgate {

/** A tick is 128 ms: 32 bits of them last 17 years. */
constexpr unsigned TICK_SHIFT = 7;

inline uint32_t tick_of(Time now)
{
	return (uint32_t)(now >> TICK_SHIFT);
}

/** The first tick at which `after` has passed for certain. */
inline uint32_t deadline(Time now, Time after)
{
	return tick_of(now + after + (1 << TICK_SHIFT) - 1);
}

/** Spins a little, then sleeps: an owner may have lost its processor. */
class Lock {
public:
	void lock()
	{
		for (int spin = 0; spin < 64; spin++) {
			uint32_t free = 0;
			if (state_.compare_exchange_weak(free, 1, std::memory_order_acquire))
				return;
			relax();
		}
		while (state_.exchange(2, std::memory_order_acquire))
			state_.wait(2, std::memory_order_relaxed);
	}
	void unlock()
	{
		if (state_.exchange(0, std::memory_order_release) == 2)
			state_.notify_one();
	}

private:
	std::atomic<uint32_t> state_ = 0;
	static void relax()
	{
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
};

/**
 * Two levels: 512 ticks one by one (65 s), then 256 slots of 512 ticks (4.6 h). A session is looked
 * at when its slot comes and linked anew when it was used meanwhile, so a packet never moves it.
 */
class Wheel {
public:
	void start(uint32_t tick) { cursor_ = tick; }
	void link(const Records<SessionRecord> &records, uint32_t number);
	void unlink(const Records<SessionRecord> &records, uint32_t number);
	/**
	 * The next session of a slot whose time has come, unlinked; 0 when there is none up to
	 * `tick`.
	 */
	uint32_t pop(const Records<SessionRecord> &records, uint32_t tick, unsigned &budget);

private:
	static constexpr uint32_t HEAD = 0x80000000, FINE = 512, COARSE = 256;
	uint32_t cursor_ = 0;
	uint32_t heads_[FINE + COARSE] = {};
	void push(const Records<SessionRecord> &records, uint32_t number, uint32_t slot);
};

/** Whose blocks a port is to come from, under the lock of the prefix; and what came of it. */
struct BlockOwner {
	/** Of the prefix in ClientUse; 0 has no blocks. */
	uint32_t number = 0;
	uint32_t *chain = nullptr;
	/** Of the port that was found. */
	uint32_t block = 0;
	/** It has had its blocks before: none are news, and it may have as many. */
	bool known = false;
	/** The block was free. */
	bool claimed = false;
	/** Refused because the prefix has as many as it may. */
	bool bounded = false;
};

/**
 * By outside transport address, the shard of its binding, where the port itself names another one.
 * Without a lock, and only a guess: two addresses may share a place.
 */
class ShardHints {
public:
	bool make(uint32_t bindings)
	{
		size_t places = std::bit_ceil((size_t)bindings * 2);
		mask_ = places - 1;
		/* calloc: what is not used costs nothing. */
		hints_.reset(static_cast<std::atomic<uint8_t> *>(calloc(places, 1)));
		return hints_ != nullptr;
	}
	unsigned guess(Protocol protocol, uint32_t pool, uint16_t port, unsigned home) const
	{
		if (XLAT_LIKELY(!any_.load(std::memory_order_relaxed)))
			return home;
		uint8_t hint = place(protocol, pool, port).load(std::memory_order_relaxed);
		return hint ? hint - 1u : home;
	}
	void set(Protocol protocol, uint32_t pool, uint16_t port, unsigned shard)
	{
		if (!any_.load(std::memory_order_relaxed))
			any_.store(true, std::memory_order_relaxed);
		place(protocol, pool, port).store((uint8_t)(shard + 1), std::memory_order_relaxed);
	}
	void clear(Protocol protocol, uint32_t pool, uint16_t port)
	{
		place(protocol, pool, port).store(0, std::memory_order_relaxed);
	}

private:
	struct Free {
		void operator()(void *memory) const { free(memory); }
	};
	std::unique_ptr<std::atomic<uint8_t>[], Free> hints_;
	size_t mask_ = 0;
	std::atomic<bool> any_ = false;

	/** The ports of a block are neighbours. */
	std::atomic<uint8_t> &place(Protocol protocol, uint32_t pool, uint16_t port) const
	{
		uint64_t seed = (uint64_t)pool << 2 | protocol_index(protocol);
		return hints_[((seed * 0x9e3779b97f4a7c15 >> 32) + port) & mask_];
	}
};

/** Who waits for the handshake of a TCP session to end. */
enum class Opener : uint8_t { NONE, CLIENT, STRANGER };
constexpr unsigned OPENERS = 2;

/** Half-open sessions, the oldest first. */
class AgeList {
public:
	void append(const Records<SessionRecord> &records, uint32_t number);
	void unlink(const Records<SessionRecord> &records, uint32_t number);
	uint32_t oldest() const { return oldest_; }
	/** Without the lock, too. */
	uint32_t size() const { return size_.load(std::memory_order_relaxed); }

private:
	uint32_t oldest_ = 0, newest_ = 0;
	std::atomic<uint32_t> size_ = 0;
};

struct alignas(64) Shard {
	mutable Lock lock;
	unsigned number = 0;
	const Policy *policy = nullptr;
	/** The policy's; null without limits. */
	ClientUse *use = nullptr;
	/** Null while every packet comes here. */
	FlowCache *flows = nullptr;
	/** Sessions by either tuple; bindings by either transport address; clients by address. */
	Index six, four, inside, outside, clients;
	/**
	 * Sessions by binding and remote address, one of each ring; kept under address-dependent
	 * filtering only.
	 */
	Index peers;
	bool peers_kept = false;
	Wheel wheel;
	AgeList half_open[OPENERS];
	uint64_t draws = 0;
};

/** A block that was lent under an earlier configuration. */
struct LentBlock {
	Ip6 client;
	uint32_t pool;
	PortRange ports;
	/** The log knows that it ended. */
	mutable bool told = false;
	auto key() const
	{
		return std::tuple(load64(client.bytes), load64(client.bytes + 8), pool, ports.first,
				  ports.last);
	}
	bool operator<(const LentBlock &other) const { return key() < other.key(); }
};

struct SessionTable::Impl {
	SessionFile file;
	Arena arena;
	HeldSyns held;
	ShardHints hints;
	Shard shards[SHARDS];
	/** Live pool addresses by BindingRecord::slot. */
	std::unique_ptr<std::atomic<PoolAddress *>[]> slots;
	std::unique_ptr<Policy> policy;
	/** Null only while nothing is logged. */
	NatLog *log = nullptr;
	/** Serialises configure() and stats(). */
	mutable std::mutex control;
	std::atomic<uint64_t> live = 0;
	/** Half-open sessions that gave way. */
	std::atomic<uint64_t> evicted = 0;
	uint64_t adopted = 0;
	/** While a configuration is replaced, if blocks are logged. */
	std::set<LentBlock> lent;
	bool noting_lent = false;
	std::string adoption;

	const Secret &secret() const { return file.header->secret; }
	SessionRecord &session(uint32_t number) const { return file.sessions[number]; }
	BindingRecord &binding(uint32_t number) const { return file.bindings[number]; }
	uint32_t salt() const { return (uint32_t)secret().index[7]; }

	/* session.cc: the packet's way */
	Verdict outbound(const Tuple6 &tuple, const Facts &facts, Time now);
	/** `instead`: a stranger's session has just made room for this one. */
	Verdict inbound(const Tuple4 &tuple, const Facts &facts, Time now, bool instead);
	Verdict open64(Shard &shard, const Tuple6 &tuple, const Facts &facts, Time now);
	Verdict open46(Shard &shard, uint32_t bound, const Tuple4 &tuple, const Facts &facts,
		       Time now, bool instead);
	Verdict bound64(const Shard &shard, Protocol protocol, const Tuple6 &tuple) const;
	Verdict bound46(const Shard &shard, Protocol protocol, const Tuple4 &tuple) const;
	Verdict hold(const Policy &policy, const Tuple4 &tuple, const Facts &facts, Time now);
	/** The shard in which the binding is likely to be. */
	unsigned shard46(Protocol protocol, const Tuple4 &tuple) const
	{
		return hints.guess(protocol, tuple.pool, tuple.pool_port,
				   shard_of_port(tuple.pool_port));
	}
	/** The shard that lent the port elsewhere, by the port's own shard, or SHARDS. */
	unsigned borrower(const Shard &shard, Protocol protocol, const Tuple4 &tuple) const;
	uint32_t find64(const Shard &shard, Protocol protocol, const Tuple6 &tuple) const;
	uint32_t find46(const Shard &shard, Protocol protocol, const Tuple4 &tuple) const;
	Verdict verdict(uint32_t number) const;
	bool dead(const Shard &shard, SessionRecord &record, Time now) const;
	void advance(Shard &shard, uint32_t number, bool from_v6, const Facts &facts, Time now);

	/* session_flow.cc: sessions whose packets pass above */
	void remember(Shard &shard, SessionRecord &record, bool from_v6) const;
	void install_flow(Shard &shard, SessionRecord &record) const;
	void forget(Shard &shard, SessionRecord &record) const;
	FlowActivity activity(const Shard &shard, const SessionRecord &record) const;
	bool revive(const Shard &shard, SessionRecord &record, Time now) const;
	void attach(FlowCache *flows, Time now);

	/* session_state.cc: records, indexes and timers, under the shard's lock */
	enum xlat_reason open_session(Shard &shard, const Tuple6 &six, const Tuple4 &four,
				      uint32_t bound, Protocol protocol, State state, Time lifetime,
				      Time now, uint32_t &number);
	void link_session(Shard &shard, uint32_t number);
	void recount(Shard &shard);
	void end_session(Shard &shard, uint32_t number);
	uint32_t find_inside(const Shard &shard, Protocol protocol, const Ip6 &client,
			     uint16_t port) const;
	uint32_t find_outside(const Shard &shard, Protocol protocol, uint32_t pool,
			      uint16_t port) const;
	void place_binding(Shard &shard, uint32_t number, const BindingRecord &fields);
	void link_binding(Shard &shard, uint32_t number);
	void end_binding(Shard &shard, uint32_t number);
	uint32_t client_head(const Shard &shard, const Ip6 &client) const;
	void peer_link(Shard &shard, uint32_t number);
	void peer_unlink(Shard &shard, uint32_t number);
	uint32_t find_peer(const Shard &shard, Protocol protocol, uint32_t pool, uint16_t port,
			   uint32_t remote) const;
	void keep_peers(Shard &shard, bool keep);
	TickResult tick(unsigned number, Time now, unsigned budget, Event *events, size_t capacity);
	bool expire(Shard &shard, uint32_t number, Time now, Event &event);
	uint64_t draw(Shard &shard)
	{
		return siphash13(secret().random, (uint64_t)shard.number << 56 | shard.draws++);
	}

	/* session_room.cc: room for newcomers, at the cost of half-open sessions */
	void open_half(Shard &shard, uint32_t number, Opener opener);
	void open_whole(Shard &shard, uint32_t number);
	/** Ends one half-open session of any shard: no lock may be held. False when there is none. */
	bool make_room(bool stranger);
	/** Likewise, and its port is one that this client may have. */
	bool free_port(const Ip6 &client);
	template <typename Fits> bool evict(Opener opener, Fits fits);
	uint64_t half_open() const;

	/* session_port.cc: the address and port of a new binding */
	enum xlat_reason open_binding(Shard &shard, Protocol protocol, const Tuple6 &six,
				      uint32_t remote, Time now, uint32_t &number,
				      bool &simultaneous);
	/** The address that the client has already (pooling paired, RFC 4787 REQ-2), or null. */
	PoolAddress *paired(const Shard &shard, const PoolChoice &choice, const Ip6 &client,
			    const BlockOwner &owner) const;
	bool claim_held(Shard &shard, const PoolChoice &choice, const Tuple6 &six, uint32_t remote,
			PoolAddress *&address, uint16_t &port, BlockOwner &owner);
	enum xlat_reason pick(Shard &shard, Protocol protocol, const PoolChoice &choice,
			      const Ip6 &client, uint16_t wanted, Time now, PoolAddress *&address,
			      uint16_t &port, BlockOwner &owner);
	uint16_t pick_in_pool(Shard &shard, Protocol protocol, const Pool &pool,
			      PoolAddress &address, uint16_t wanted, BlockOwner &owner);
	/** `block`: the range is one block, of which any port is as good for the shard. */
	uint16_t pick_port(Shard &shard, Protocol protocol, PoolAddress &address, PortRange range,
			   uint16_t wanted, bool block);
	uint16_t pick_class(Shard &shard, Protocol protocol, PoolAddress &address, PortRange range,
			    unsigned parity, bool block);

	/* session_block.cc: the blocks of ports of a client prefix */
	uint16_t take_in_blocks(Shard &shard, Protocol protocol, const Pool &pool,
				PoolAddress &address, BlockOwner &owner, uint16_t wanted);
	uint16_t take_new_block(Shard &shard, Protocol protocol, const Pool &pool,
				PoolAddress &address, BlockOwner &owner, uint16_t wanted);
	bool join_block(Shard &shard, Protocol protocol, const Pool &pool, PoolAddress &address,
			uint16_t port, BlockOwner &owner);
	void lend_block(Shard &shard, const Pool &pool, const PoolAddress &address, uint32_t number,
			BlockOwner &owner);
	void note_block(const Shard &shard, uint32_t number, BindingRecord &record) const;
	void leave_block(Shard &shard, BindingRecord &record);
	bool rejoin_block(Shard &shard, BindingRecord &record);

	/* session_log.cc: what the log of bindings is told, under the shard's lock */
	void log_binding(const Shard &shard, NatEvent event, const BindingRecord &binding);
	void log_session(const Shard &shard, NatEvent event, const SessionRecord &session);
	void log_block(const Shard &shard, NatEvent event, const Ip6 &client, uint32_t pool,
		       PortRange ports);
	void log_exhausted(const Shard &shard, Protocol protocol, const PoolChoice &choice,
			   const PoolAddress *own, Time now);
	void log_quota(const Shard &shard, enum xlat_reason why, const Ip6 &client, Time now);

	/* session_control.cc: opening, adoption, configuration */
	bool open(const SessionOptions &options, Time now, std::string &error);
	void adopt(Time now);
	bool adopt_binding(uint32_t number);
	bool adopt_session(uint32_t number, Time now);
	ConfigureResult configure(const SessionConfig &config, Time now);
	uint64_t purge(Shard &shard);
	void fix_binding(Shard &shard, BindingRecord &record);
	bool allowed(const Policy &policy, const SessionRecord &record) const;
	/** What the limits and the log of the configuration need, taken over if it fits. */
	bool equip(Policy &fresh, std::string &error) const;
	void open_static(Shard &shard, const StaticConfig &entry, Time now);
	/** Remembers, and then logs the end of those that are not lent any more. */
	void note_lent(const BindingRecord &record);
	void log_renamed(const Shard &shard, const BindingRecord &record, uint8_t length);
	void log_ended_blocks();
	/** Hands the policy to the packet threads, shard by shard, then ends what it forbids. */
	uint64_t install(std::unique_ptr<Policy> fresh, Time now);
};

} // namespace sixgate
