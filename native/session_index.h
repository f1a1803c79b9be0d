// SPDX-License-Identifier: Apache-2.0
/**
 * A hash index of record numbers in buckets of one cache line: 8 tags, 8 records. Buckets overflow
 * into the next one; a bucket with a free slot ends the search. The tag alone names the home bucket
 * (its high bits), so growing never looks at a record. Tables lie in one arena, so that huge pages
 * serve small shards too.
 */
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

namespace sixgate {

/**
 * Address space for index tables, handed out first fit in pages; never unmapped, so a stale read
 * is safe.
 */
class Arena {
public:
	static constexpr size_t PAGE = 4096;
	bool reserve(size_t bytes);
	~Arena();
	void *allocate(size_t bytes);
	void release(void *table, size_t bytes);
	/** Bytes below the highest page ever handed out. */
	size_t resident() const;

private:
	mutable std::mutex lock_;
	uint8_t *base_ = nullptr;
	size_t pages_ = 0, high_ = 0;
	std::vector<uint64_t> used_;

	bool taken(size_t page) const { return used_[page / 64] >> (page % 64) & 1; }
	void mark(size_t first, size_t count, bool value);
};

class Index {
public:
	static constexpr unsigned SLOTS = 8;

	struct alignas(64) Bucket {
		uint32_t tag[SLOTS];
		/** 0 is free; the used slots come first. */
		uint32_t record[SLOTS];
		bool full() const { return record[SLOTS - 1] != 0; }
	};

	void attach(Arena &arena) { arena_ = &arena; }
	size_t size() const { return size_; }
	uint32_t buckets() const { return count_; }
	const Bucket &bucket(uint32_t number) const { return table_[number]; }

	template <typename Match> uint32_t find(uint32_t tag, Match match) const
	{
		if (!count_)
			return 0;
		for (uint32_t at = home(tag, count_), seen = 0; seen < count_;
		     seen++, at = next(at)) {
			const Bucket &b = table_[at];
			for (unsigned i = 0; i < SLOTS; i++)
				if (b.tag[i] == tag && b.record[i] && match(b.record[i]))
					return b.record[i];
			if (!b.full())
				return 0;
		}
		return 0;
	}

	/** Makes sure that the next insert cannot fail. */
	bool room() { return size_ < limit_ || grow(); }

	void insert(uint32_t tag, uint32_t record)
	{
		place(table_, count_, tag, record);
		size_++;
	}

	void erase(uint32_t tag, uint32_t record);
	/** Points an entry at another record of the same key. */
	void replace(uint32_t tag, uint32_t from, uint32_t to);
	void clear();

	/**
	 * Without the lock. grow() publishes the larger table before its count, and the count is
	 * read first: the bucket is within some table. What it holds may be another's by now, so
	 * use it to prefetch only.
	 */
	void prefetch(uint32_t tag) const
	{
		if (const Bucket *b = peek(tag))
			__builtin_prefetch(b);
	}

	/** As prefetch(): a record that may be the one, or 0. */
	uint32_t guess(uint32_t tag) const
	{
		const Bucket *b = peek(tag);
		for (unsigned i = 0; b && i < SLOTS; i++)
			if (__atomic_load_n(&b->tag[i], __ATOMIC_RELAXED) == tag)
				return __atomic_load_n(&b->record[i], __ATOMIC_RELAXED);
		return 0;
	}

private:
	Arena *arena_ = nullptr;
	Bucket *table_ = nullptr;
	uint32_t count_ = 0;
	size_t size_ = 0, limit_ = 0;

	const Bucket *peek(uint32_t tag) const
	{
		uint32_t count = __atomic_load_n(&count_, __ATOMIC_ACQUIRE);
		const Bucket *table = __atomic_load_n(&table_, __ATOMIC_RELAXED);
		return count && table ? table + home(tag, count) : nullptr;
	}
	static uint32_t home(uint32_t tag, uint32_t count)
	{
		return (uint32_t)((uint64_t)tag * count >> 32);
	}
	uint32_t next(uint32_t at) const { return at + 1 == count_ ? 0 : at + 1; }
	uint32_t distance(uint32_t from, uint32_t to) const
	{
		return to >= from ? to - from : to + count_ - from;
	}
	static void place(Bucket *table, uint32_t count, uint32_t tag, uint32_t record);
	static void compact(Bucket &b, unsigned slot);
	bool grow();
};

} // namespace sixgate
