// SPDX-License-Identifier: Apache-2.0
#include "session_limit.h"

#include <algorithm>
#include <bit>
#include <new>
#include <sys/mman.h>

namespace sixgate {

namespace {

constexpr uint64_t SECOND = 1'000'000;
/** One prefix gets at most twenty errors a second, so that the others get theirs. */
constexpr Time TELL_AGAIN = 50;

/** GCRA (ITU-T I.371): `rate` a second, a second's worth at once. */
bool pay(uint64_t &paid, uint32_t rate, Time now)
{
	uint64_t at = now * 1000, until = std::max(paid, at) + SECOND / rate;
	if (until > at + SECOND)
		return false;
	paid = until;
	return true;
}

} // namespace

std::shared_ptr<ClientUse> ClientUse::make(uint32_t bindings, uint8_t prefix_length,
					   const Secret &secret)
{
	std::shared_ptr<ClientUse> use(new ClientUse(prefix_length, secret));
	/* Beyond the bindings: one place each for requests that are not settled yet. */
	use->capacity_ = bindings + 1024;
	uint32_t buckets = std::bit_ceil(use->capacity_);
	use->mask_ = buckets - 1;
	size_t entries = (size_t)use->capacity_ * sizeof(Entry);
	use->bytes_ = entries + (size_t)buckets * sizeof(uint32_t);
	void *at = mmap(nullptr, use->bytes_, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return nullptr;
	use->entries_ = static_cast<Entry *>(at);
	use->buckets_ = reinterpret_cast<uint32_t *>(static_cast<uint8_t *>(at) + entries);
	return use;
}

ClientUse::~ClientUse()
{
	if (entries_)
		munmap(entries_, bytes_);
}

uint64_t ClientUse::resident() const
{
	return (uint64_t)high_ * sizeof(Entry) +
	       std::min<uint64_t>((uint64_t)high_ * 4096, ((uint64_t)mask_ + 1) * sizeof(uint32_t));
}

uint32_t ClientUse::bucket_of(const Ip6 &prefix) const
{
	return tag_inside(secret_, 0, prefix, 1) & mask_;
}

/** The entry of the prefix, made if need be; 0 when there is no place. Under the bucket's lock. */
uint32_t ClientUse::find(uint32_t bucket, const Ip6 &prefix)
{
	for (uint32_t at = buckets_[bucket]; at; at = entries_[at].next)
		if (entries_[at].prefix == prefix)
			return at;
	uint32_t number;
	{
		std::lock_guard guard(free_lock_);
		number = free_ ? free_ : high_ < capacity_ ? high_++ : 0;
		if (number && number == free_)
			free_ = entries_[number].next;
	}
	if (!number)
		return 0;
	Entry &entry = *new (&entries_[number]) Entry{};
	entry.prefix = prefix;
	entry.next = buckets_[bucket];
	buckets_[bucket] = number;
	return number;
}

uint32_t ClientUse::look_up(const Ip6 &client)
{
	Ip6 prefix = prefix_of(client);
	uint32_t bucket = bucket_of(prefix);
	std::lock_guard guard(locks_[bucket % LOCKS]);
	uint32_t at = buckets_[bucket];
	while (at && !(entries_[at].prefix == prefix))
		at = entries_[at].next;
	return at;
}

void ClientUse::release(uint32_t bucket, uint32_t number)
{
	Entry &entry = entries_[number];
	if (--entry.holders)
		return;
	uint32_t *link = &buckets_[bucket];
	while (*link != number)
		link = &entries_[*link].next;
	*link = entry.next;
	std::lock_guard guard(free_lock_);
	entry.next = free_;
	free_ = number;
}

uint32_t ClientUse::join(const Ip6 &client, bool fixed, uint32_t sessions)
{
	Ip6 prefix = prefix_of(client);
	uint32_t bucket = bucket_of(prefix);
	std::lock_guard guard(locks_[bucket % LOCKS]);
	uint32_t number = find(bucket, prefix);
	if (!number)
		return 0;
	Entry &entry = entries_[number];
	entry.holders++;
	entry.bindings += !fixed;
	entry.sessions += sessions;
	return number;
}

void ClientUse::leave(uint32_t number, bool fixed)
{
	if (!number)
		return;
	uint32_t bucket = bucket_of(entries_[number].prefix);
	std::lock_guard guard(locks_[bucket % LOCKS]);
	entries_[number].bindings -= !fixed;
	release(bucket, number);
}

void ClientUse::fix(uint32_t number)
{
	if (!number)
		return;
	std::lock_guard guard(locks_[bucket_of(entries_[number].prefix) % LOCKS]);
	entries_[number].bindings--;
}

enum xlat_reason ClientUse::judge(Entry &entry, const Limits &limits, Time now, Request &request)
{
	if (request.binding && limits.bindings && entry.bindings >= limits.bindings)
		return XLAT_CLIENT_LIMIT;
	uint32_t most = limits.sessions;
	if (request.stranger)
		most -= most / 8;
	if (limits.sessions && entry.sessions.load(std::memory_order_relaxed) >= most)
		return XLAT_CLIENT_SESSIONS;
	if (limits.rate && !pay(entry.paid[request.stranger], limits.rate, now))
		return XLAT_CLIENT_RATE;
	return XLAT_OK;
}

enum xlat_reason ClientUse::admit(const Ip6 &client, const Limits &limits, Time now,
				  Request &request)
{
	Ip6 prefix = prefix_of(client);
	uint32_t bucket = bucket_of(prefix);
	std::lock_guard guard(locks_[bucket % LOCKS]);
	uint32_t number = find(bucket, prefix);
	if (!number)
		return XLAT_OK;
	Entry &entry = entries_[number];
	entry.holders++;
	enum xlat_reason why = judge(entry, limits, now, request);
	if (why != XLAT_OK) {
		request.told = entry.told && now < entry.told + TELL_AGAIN;
		if (!request.told)
			entry.told = now;
		release(bucket, number);
		return why;
	}
	entry.bindings += request.binding;
	entry.sessions++;
	request.number = number;
	return XLAT_OK;
}

void ClientUse::settle(const Request &request)
{
	if (!request.number)
		return;
	entries_[request.number].sessions--;
	leave(request.number, !request.binding);
}

} // namespace sixgate
