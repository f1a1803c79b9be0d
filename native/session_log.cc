// SPDX-License-Identifier: Apache-2.0
#include "session_log.h"

#include <ctime>
#include <sys/mman.h>

#include "session_table.h"

namespace sixgate {

namespace {

constexpr Time SECOND = 1000;

uint64_t read_clock(clockid_t clock)
{
	timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1'000'000;
}

template <typename Number> uint8_t *put(uint8_t *at, Number number)
{
	for (size_t i = sizeof(Number); i-- > 0;)
		*at++ = (uint8_t)((uint64_t)number >> (8 * i));
	return at;
}

} // namespace

NatLog::Stamp NatLog::host_clock()
{
	return { read_clock(CLOCK_REALTIME), read_clock(CLOCK_BOOTTIME) };
}

NatLog::~NatLog()
{
	if (cells_)
		munmap(cells_, CAPACITY * sizeof(Cell));
}

bool NatLog::reserve()
{
	if (cells_)
		return true;
	void *at = mmap(nullptr, CAPACITY * sizeof(Cell), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return false;
	cells_ = static_cast<Cell *>(at);
	return true;
}

void NatLog::note(const NatRecord &record)
{
	uint64_t at = tail_.load(std::memory_order_relaxed);
	for (;;) {
		Cell &cell = cells_[at % CAPACITY];
		uint64_t turn = cell.turn.load(std::memory_order_acquire);
		uint64_t free = at / CAPACITY * 2;
		if (turn < free) {
			lost_.fetch_add(1, std::memory_order_relaxed);
			return;
		}
		if (turn > free) {
			at = tail_.load(std::memory_order_relaxed);
			continue;
		}
		if (!tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed))
			continue;
		cell.time = clock_();
		cell.record = record;
		cell.turn.store(free + 1, std::memory_order_release);
		return;
	}
}

bool NatLog::seldom(uint64_t key, Time now)
{
	std::atomic<Time> &last = last_[(key * 0x9e3779b97f4a7c15) >> 56];
	Time before = last.load(std::memory_order_relaxed);
	if (before && now < before + SECOND)
		return false;
	return last.compare_exchange_strong(before, now, std::memory_order_relaxed);
}

size_t NatLog::read(uint8_t *out, size_t capacity)
{
	size_t count = 0;
	while (cells_ && count < capacity) {
		Cell &cell = cells_[head_ % CAPACITY];
		uint64_t filled = head_ / CAPACITY * 2 + 1;
		if (cell.turn.load(std::memory_order_acquire) != filled)
			break;
		write(cell, out + count++ * RECORD_SIZE);
		cell.turn.store(filled + 1, std::memory_order_release);
		head_++;
	}
	return count;
}

/** The order of RFC 8158's templates, so that a record is exported by copying. */
void NatLog::write(const Cell &cell, uint8_t *out)
{
	const NatRecord &r = cell.record;
	out = put(out, cell.time.wall);
	out = put(out, (uint8_t)r.event);
	out = put(out, r.protocol);
	memcpy(out, r.client.bytes, 16);
	out = put(out + 16, r.client_port);
	out = put(out, r.pool);
	out = put(out, r.pool_port);
	out = put(out, r.last_port);
	out = put(out, r.remote);
	out = put(out, r.remote_port);
	out = put(out, (uint32_t)r.quota);
	out = put(out, r.value);
	out = put(out, r.began ? cell.time.wall - (cell.time.boot - r.began) : 0);
	put(out, r.client_length);
}

/* What the session table has to tell. */

void SessionTable::Impl::log_binding(const Shard &shard, NatEvent event,
				     const BindingRecord &binding)
{
	if (XLAT_LIKELY(!(shard.policy->config.logged & LOG_BINDINGS)))
		return;
	NatRecord record = { event };
	record.protocol = (uint8_t)binding.protocol;
	record.client = binding.client;
	record.client_port = binding.client_port;
	record.pool = binding.pool;
	record.pool_port = binding.pool_port;
	if (event == NatEvent::BINDING_DELETED)
		record.began = (Time)binding.created << TICK_SHIFT;
	log->note(record);
}

void SessionTable::Impl::log_session(const Shard &shard, NatEvent event,
				     const SessionRecord &session)
{
	if (XLAT_LIKELY(!(shard.policy->config.logged & LOG_SESSIONS)))
		return;
	NatRecord record = { event };
	record.protocol = (uint8_t)session.protocol;
	record.client = session.client;
	record.client_port = session.client_port;
	record.pool = session.pool;
	record.pool_port = session.pool_port;
	record.remote = session.remote;
	record.remote_port = session.remote_port;
	if (event == NatEvent::SESSION_DELETED)
		record.began = (Time)session.created << TICK_SHIFT;
	log->note(record);
}

void SessionTable::Impl::log_block(const Shard &shard, NatEvent event, const Ip6 &client,
				   uint32_t pool, PortRange ports)
{
	if (XLAT_LIKELY(!(shard.policy->config.logged & LOG_BLOCKS)))
		return;
	NatRecord record = { event };
	record.client = client;
	record.client_length = shard.policy->config.limits.prefix_length;
	record.pool = pool;
	record.pool_port = ports.first;
	record.last_port = ports.last;
	log->note(record);
}

/**
 * Exhaustion comes in bursts and is told of rarely (RFC 8158 section 5.2): of one address when the
 * client is bound to it, else of the pool.
 */
void SessionTable::Impl::log_exhausted(const Shard &shard, Protocol protocol,
				       const PoolChoice &choice, const PoolAddress *own, Time now)
{
	const Policy &policy = *shard.policy;
	if (XLAT_LIKELY(!(policy.config.logged & LOG_TROUBLE)))
		return;
	NatRecord record = { own ? NatEvent::PORTS_EXHAUSTED : NatEvent::ADDRESSES_EXHAUSTED };
	record.protocol = (uint8_t)protocol;
	if (own)
		record.pool = own->address;
	else
		while (policy.pools[record.value].get() != choice.pools.back())
			record.value++;
	if (log->seldom((uint64_t)record.pool << 32 | record.value << 8 | record.protocol, now))
		log->note(record);
}

namespace {

/** How many the client may have. */
uint32_t policy_blocks(const Policy &policy, const Ip6 &client)
{
	uint32_t most = 0;
	for (const Pool *pool : policy.choice_of(client)->pools)
		most += pool->blocks_per_client;
	return most;
}

} // namespace

/** RFC 8158 section 4.4; there is no event for a rate. */
void SessionTable::Impl::log_quota(const Shard &shard, enum xlat_reason why, const Ip6 &client,
				   Time now)
{
	const SessionConfig &config = shard.policy->config;
	if (XLAT_LIKELY(!(config.logged & LOG_TROUBLE)))
		return;
	NatRecord record = { NatEvent::QUOTA_EXCEEDED };
	record.quota = why == XLAT_TABLE_FULL ? NatQuota::SESSIONS : NatQuota::CLIENT;
	if (why == XLAT_TABLE_FULL)
		record.value = file.sessions.capacity;
	else if (why == XLAT_CLIENT_LIMIT)
		record.value = config.limits.bindings;
	else if (why == XLAT_CLIENT_BLOCKS)
		record.value = policy_blocks(*shard.policy, client);
	else if (why == XLAT_CLIENT_SESSIONS)
		record.value = config.limits.sessions;
	else
		return;
	if (record.quota == NatQuota::CLIENT)
		record.client = client;
	uint64_t key = load64(record.client.bytes) ^ load64(record.client.bytes + 8);
	if (log->seldom(key ^ (uint64_t)why << 56, now))
		log->note(record);
}

} // namespace sixgate
