// SPDX-License-Identifier: Apache-2.0
/*
 * Packets and bytes per client prefix in a table of fixed size. A client has its place in one of
 * two buckets; when both are full the smallest gives way, and the newcomer inherits its weight but
 * not its numbers (the space-saving rule of Metwally et al.): who sends much stays, and no number
 * shown is too large.
 *
 * One thread writes, any thread reads: an entry's sequence is odd while it changes hands.
 */
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>

#include "session.h"
#include "translator_counters.h"

namespace sixgate {

enum class Direction { OUT, IN };

struct ClientTotals {
	Ip6 client;
	uint64_t packets_out = 0, bytes_out = 0, packets_in = 0, bytes_in = 0;
};

class ClientTable {
public:
	ClientTable(uint32_t clients, uint8_t prefix_length, uint64_t seed) : seed_(seed)
	{
		/*
		 * Twice the places: with two choices each, a bucket overflows only when nearly all
		 * are taken.
		 */
		buckets_ = std::bit_ceil((clients * 2 + WAYS - 1) / WAYS);
		entries_ = std::make_unique<Entry[]>(static_cast<size_t>(buckets_) * WAYS);
		for (unsigned i = 0; i < 2; i++) {
			unsigned bits = prefix_length > 64 * i ? prefix_length - 64u * i : 0;
			uint64_t mask = bits >= 64 ? ~0ull : bits ? ~0ull << (64 - bits) : 0;
			mask_[i] = std::endian::native == std::endian::little
					   ? __builtin_bswap64(mask)
					   : mask;
		}
	}

	void count(const Ip6 &client, Direction direction, uint64_t packets, uint64_t bytes)
	{
		Entry &entry = find(client);
		unsigned at = direction == Direction::OUT ? 0 : 1;
		entry.packets[at].add(packets);
		entry.bytes[at].add(bytes);
	}

	template <typename Visit> void visit(Visit visit) const
	{
		for (size_t i = 0; i < static_cast<size_t>(buckets_) * WAYS; i++) {
			ClientTotals totals;
			if (entries_[i].read(totals))
				visit(totals);
		}
	}

private:
	static constexpr unsigned WAYS = 8;

	struct alignas(64) Entry {
		std::atomic<uint64_t> key[2]{};
		Counter packets[2], bytes[2];
		uint64_t inherited = 0;
		std::atomic<uint32_t> sequence{0}; /* 0: never used */

		uint64_t weight() const
		{
			return inherited + packets[0].read() + packets[1].read();
		}
		bool read(ClientTotals &totals) const;
		void take(const uint64_t wanted[2]);
	};

	Entry &find(const Ip6 &client);

	std::unique_ptr<Entry[]> entries_;
	uint32_t buckets_;
	uint64_t mask_[2];
	uint64_t seed_;
};

inline bool ClientTable::Entry::read(ClientTotals &totals) const
{
	for (int attempt = 0; attempt < 16; attempt++) {
		uint32_t before = sequence.load(std::memory_order_acquire);
		if (before == 0)
			return false;
		uint64_t address[2] = {key[0].load(std::memory_order_relaxed),
				       key[1].load(std::memory_order_relaxed)};
		std::memcpy(totals.client.bytes, address, 16);
		totals.packets_out = packets[0].read();
		totals.bytes_out = bytes[0].read();
		totals.packets_in = packets[1].read();
		totals.bytes_in = bytes[1].read();
		std::atomic_thread_fence(std::memory_order_acquire);
		if (!(before & 1) && sequence.load(std::memory_order_relaxed) == before)
			return true;
	}
	return false;
}

inline void ClientTable::Entry::take(const uint64_t wanted[2])
{
	uint32_t before = sequence.load(std::memory_order_relaxed);
	uint64_t weight_before = weight();

	sequence.store(before | 1, std::memory_order_relaxed);
	std::atomic_thread_fence(std::memory_order_release);
	for (unsigned i = 0; i < 2; i++) {
		key[i].store(wanted[i], std::memory_order_relaxed);
		packets[i].reset();
		bytes[i].reset();
	}
	inherited = weight_before;
	sequence.store((before | 1) + 1, std::memory_order_release);
}

inline ClientTable::Entry &ClientTable::find(const Ip6 &client)
{
	uint64_t key[2];
	std::memcpy(key, client.bytes, 16);
	key[0] &= mask_[0];
	key[1] &= mask_[1];
	uint64_t hash = (key[0] ^ seed_) * 0x9e3779b97f4a7c15;
	hash = (hash ^ (hash >> 32) ^ key[1]) * 0xd6e8feb86659fd93;
	hash ^= hash >> 32;
	Entry *victim = nullptr;
	uint64_t least = UINT64_MAX;
	for (uint32_t bucket : {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)}) {
		Entry *entry = &entries_[static_cast<size_t>(bucket & (buckets_ - 1)) * WAYS];
		for (unsigned way = 0; way < WAYS; way++, entry++) {
			bool used = entry->sequence.load(std::memory_order_relaxed) != 0;
			if (used && entry->key[0].load(std::memory_order_relaxed) == key[0] &&
			    entry->key[1].load(std::memory_order_relaxed) == key[1])
				return *entry;
			uint64_t weight = used ? entry->weight() + 1 : 0;
			if (weight < least) {
				least = weight;
				victim = entry;
			}
			if (!used)
				break; /* places fill in order */
		}
	}
	victim->take(key);
	return *victim;
}

} // namespace sixgate
