// SPDX-License-Identifier: Apache-2.0
#include "session_index.h"

#include <sys/mman.h>

namespace sixgate {

bool Arena::reserve(size_t bytes)
{
	constexpr size_t huge = 2 << 20;
	pages_ = (bytes + huge - 1) / huge * huge / PAGE;
	void *at = mmap(nullptr, pages_ * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return false;
	base_ = static_cast<uint8_t *>(at);
	madvise(base_, pages_ * PAGE, MADV_HUGEPAGE);
	used_.assign((pages_ + 63) / 64, 0);
	return true;
}

Arena::~Arena()
{
	if (base_)
		munmap(base_, pages_ * PAGE);
}

void Arena::mark(size_t first, size_t count, bool value)
{
	for (size_t page = first; page < first + count; page++) {
		uint64_t bit = 1ull << (page % 64);
		used_[page / 64] = value ? used_[page / 64] | bit : used_[page / 64] & ~bit;
	}
}

void *Arena::allocate(size_t bytes)
{
	std::lock_guard guard(lock_);
	size_t want = (bytes + PAGE - 1) / PAGE, run = 0;
	for (size_t page = 0; page < pages_; page++) {
		if (page % 64 == 0 && used_[page / 64] == ~0ull) {
			run = 0;
			page += 63;
			continue;
		}
		run = taken(page) ? 0 : run + 1;
		if (run < want)
			continue;
		size_t first = page + 1 - want;
		mark(first, want, true);
		high_ = high_ > page + 1 ? high_ : page + 1;
		return base_ + first * PAGE;
	}
	return nullptr;
}

void Arena::release(void *table, size_t bytes)
{
	std::lock_guard guard(lock_);
	mark((static_cast<uint8_t *>(table) - base_) / PAGE, (bytes + PAGE - 1) / PAGE, false);
}

size_t Arena::resident() const
{
	std::lock_guard guard(lock_);
	return high_ * PAGE;
}

void Index::place(Bucket *table, uint32_t count, uint32_t tag, uint32_t record)
{
	uint32_t at = home(tag, count);
	while (table[at].full())
		at = at + 1 == count ? 0 : at + 1;
	Bucket &b = table[at];
	unsigned slot = 0;
	while (b.record[slot])
		slot++;
	b.tag[slot] = tag;
	b.record[slot] = record;
}

/** Fills the hole from the end, so that the used slots stay first. */
void Index::compact(Bucket &b, unsigned slot)
{
	unsigned last = SLOTS - 1;
	while (!b.record[last])
		last--;
	b.tag[slot] = b.tag[last];
	b.record[slot] = b.record[last];
	b.tag[last] = 0;
	b.record[last] = 0;
}

/**
 * Buckets up to the first one with a free slot may hold entries that came past the hole; one of
 * them moves in.
 */
void Index::erase(uint32_t tag, uint32_t record)
{
	uint32_t hole = home(tag, count_);
	unsigned slot = 0;
	for (;; hole = next(hole)) {
		for (slot = 0; slot < SLOTS && table_[hole].record[slot] != record; slot++)
			;
		if (slot < SLOTS)
			break;
	}
	bool overflowed = table_[hole].full();
	compact(table_[hole], slot);
	size_--;
	for (uint32_t at = next(hole); overflowed && at != hole; at = next(at)) {
		Bucket &b = table_[at];
		bool full = b.full();
		for (slot = 0; slot < SLOTS; slot++) {
			if (!b.record[slot] ||
			    distance(home(b.tag[slot], count_), at) < distance(hole, at))
				continue;
			Bucket &to = table_[hole];
			to.tag[SLOTS - 1] = b.tag[slot];
			to.record[SLOTS - 1] = b.record[slot];
			compact(b, slot);
			hole = at;
			break;
		}
		overflowed = full;
	}
}

void Index::replace(uint32_t tag, uint32_t from, uint32_t to)
{
	for (uint32_t at = home(tag, count_);; at = next(at))
		for (unsigned i = 0; i < SLOTS; i++)
			if (table_[at].record[i] == from) {
				table_[at].record[i] = to;
				return;
			}
}

/** Large tables grow by a quarter, which keeps the load between 66 and 82 %. */
bool Index::grow()
{
	uint32_t count = count_ ? count_ + (count_ < 1024 ? count_ / 2 : count_ / 4)
				: Arena::PAGE / sizeof(Bucket);
	auto *table = static_cast<Bucket *>(arena_->allocate((size_t)count * sizeof(Bucket)));
	if (!table)
		return false;
	memset(static_cast<void *>(table), 0, (size_t)count * sizeof(Bucket));
	for (uint32_t at = 0; at < count_; at++)
		for (unsigned i = 0; i < SLOTS && table_[at].record[i]; i++)
			place(table, count, table_[at].tag[i], table_[at].record[i]);
	Bucket *old = table_;
	__atomic_store_n(&table_, table, __ATOMIC_RELAXED);
	if (old)
		arena_->release(old, (size_t)count_ * sizeof(Bucket));
	__atomic_store_n(&count_, count, __ATOMIC_RELEASE);
	limit_ = (size_t)count * SLOTS * 82 / 100;
	return true;
}

void Index::clear()
{
	if (table_)
		arena_->release(table_, (size_t)count_ * sizeof(Bucket));
	__atomic_store_n(&table_, (Bucket *)nullptr, __ATOMIC_RELAXED);
	__atomic_store_n(&count_, 0u, __ATOMIC_RELEASE);
	size_ = limit_ = 0;
}

} // namespace sixgate
