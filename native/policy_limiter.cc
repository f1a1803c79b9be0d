// SPDX-License-Identifier: Apache-2.0
#include "policy_limiter.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <sys/mman.h>

namespace sixgate {
namespace {

static_assert(sizeof(struct limiter) == 64);

constexpr uint64_t PARTS = 1024;

uint64_t load(const uint64_t &word)
{
	return __atomic_load_n(&word, __ATOMIC_RELAXED);
}

void store(uint64_t &word, uint64_t value)
{
	__atomic_store_n(&word, value, __ATOMIC_RELAXED);
}

uint64_t mask_of(unsigned bits)
{
	uint64_t mask = bits >= 64 ? ~0ull : bits ? ~0ull << (64 - bits) : 0;
	return std::endian::native == std::endian::little ? __builtin_bswap64(mask) : mask;
}

/* How much of what it may take a limiter has taken, in parts of PARTS. */
uint64_t spent(const struct limiter &one, uint64_t now)
{
	uint64_t state = load(one.state), taken;
	if (one.kind == LIMITER_QUOTA)
		taken = state >> 48 == ((now + one.phase) / one.price & 0xffff) ?
				state & LIMITER_USED :
				0;
	else
		taken = state > now ? state - now : 0;
	return std::min(taken / (one.depth / PARTS + 1), PARTS);
}

uint64_t state_of(const LimiterRule &rule, uint64_t parts, uint64_t now)
{
	uint64_t taken = (rule.depth / PARTS + 1) * parts;
	if (parts == 0)
		return 0;
	if (rule.kind == LIMITER_QUOTA)
		return ((now + rule.phase) / rule.price & 0xffff) << 48 | taken;
	return now + taken;
}

bool is_of(const struct limiter &one, const LimiterRule &rule, const uint64_t client[2])
{
	return load(one.client[0]) == client[0] && load(one.client[1]) == client[1] &&
	       __atomic_load_n(&one.node, __ATOMIC_RELAXED) == rule.node;
}

/* A rule that changed meets limiters that stay, with what they have taken. */
void bring(struct limiter &one, const LimiterRule &rule)
{
	if (load(one.price) == rule.price && load(one.depth) == rule.depth &&
	    load(one.phase) == rule.phase)
		return;
	store(one.price, rule.price);
	store(one.depth, rule.depth);
	store(one.phase, rule.phase);
}

} // namespace

uint64_t limiter_clock()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
	       static_cast<uint64_t>(now.tv_nsec);
}

/* Its pages are there when they are used. */
LimiterTable::LimiterTable(uint64_t seed) : seed_(seed)
{
	void *memory = mmap(nullptr, PLACES * sizeof(struct limiter), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		std::abort();
	places_ = static_cast<struct limiter *>(memory);
}

LimiterTable::~LimiterTable()
{
	munmap(places_, PLACES * sizeof(struct limiter));
}

struct limiter &LimiterTable::find(const LimiterRule &rule, const Ip6 &client, uint64_t now)
{
	uint64_t key[2];
	std::memcpy(key, client.bytes, sizeof(key));
	key[0] &= mask_of(rule.prefix_length);
	key[1] &= mask_of(rule.prefix_length > 64 ? rule.prefix_length - 64u : 0);
	uint64_t hash = (key[0] ^ seed_) * 0x9e3779b97f4a7c15;
	hash = (hash ^ (hash >> 32) ^ key[1] ^ rule.node) * 0xd6e8feb86659fd93;
	hash ^= hash >> 32;
	struct limiter *set = places_ + (hash & (PLACES / WAYS - 1)) * WAYS;
	for (unsigned way = 0; way < WAYS; way++) {
		struct limiter &one = set[way];
		uint32_t tag = __atomic_load_n(&one.tag, __ATOMIC_ACQUIRE);
		if (tag == LIMITER_EMPTY)
			break; /* places fill in order */
		if (!is_of(one, rule, key))
			continue;
		bring(one, rule);
		return one;
	}
	return replace(set, rule, key, now);
}

/*
 * A packet that found the place before pays in it nonetheless: for once, another's. The tag tells
 * those who remember the place.
 */
struct limiter &LimiterTable::replace(struct limiter *set, const LimiterRule &rule,
				      const uint64_t client[2], uint64_t now)
{
	std::lock_guard guard(lock_);
	struct limiter *victim = nullptr;
	uint64_t least = UINT64_MAX;
	for (unsigned way = 0; way < WAYS; way++) {
		struct limiter &one = set[way];
		if (one.tag != LIMITER_EMPTY && is_of(one, rule, client))
			return one; /* another thread was first */
		uint64_t parts = one.tag == LIMITER_EMPTY ? 0 : spent(one, now);
		if (parts >= least)
			continue;
		least = parts;
		victim = &one;
		if (one.tag == LIMITER_EMPTY)
			break;
	}
	uint32_t next = victim->tag + 2;
	__atomic_store_n(&victim->tag, victim->tag | 1, __ATOMIC_RELEASE);
	store(victim->client[0], client[0]);
	store(victim->client[1], client[1]);
	__atomic_store_n(&victim->node, rule.node, __ATOMIC_RELAXED);
	__atomic_store_n(&victim->kind, static_cast<uint32_t>(rule.kind), __ATOMIC_RELAXED);
	bring(*victim, rule);
	store(victim->state, state_of(rule, least, now));
	__atomic_store_n(&victim->tag, next ? next : 2, __ATOMIC_RELEASE);
	return *victim;
}

uint32_t LimiterTable::count(uint32_t node) const
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < PLACES; i++)
		sum += places_[i].tag != LIMITER_EMPTY && places_[i].node == node;
	return sum;
}

} // namespace sixgate
