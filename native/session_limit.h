// SPDX-License-Identifier: Apache-2.0
/**
 * What each client prefix holds: for the limits per client (RFC 6888 REQ-4 and REQ-5), and its
 * blocks of ports. A client's
 * shard follows from its whole address, so one prefix is spread over all shards: its numbers are in
 * one table that the shards share, and the shards stay as they are (a /64 is often a whole site,
 * which must not end up on one processor). Only opening and ending comes here; a packet of a known
 * session does not.
 *
 * An entry lives as long as its prefix has a binding, so there are never more entries than
 * bindings. The rate needs no longer memory: a session lives a second at least, and after a second
 * without new ones the whole burst is there again.
 */
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "session_block.h"

namespace sixgate {

class ClientUse {
public:
	/** `bindings` is how many there can be. Null when there is no address space. */
	static std::shared_ptr<ClientUse> make(uint32_t bindings, uint8_t prefix_length,
					       const Secret &secret);
	~ClientUse();
	uint8_t prefix_length() const { return prefix_length_; }
	uint64_t resident() const;

	/** A binding comes or goes; static ones are the operator's and not counted as the client's.
	 * The number names the prefix until its last binding left. */
	uint32_t join(const Ip6 &client, bool fixed, uint32_t sessions = 0);
	void leave(uint32_t number, bool fixed);
	/** A binding became static. */
	void fix(uint32_t number);
	/** Calls `visit` with the head of the prefix's chain of blocks, under the prefix's lock. */
	template <typename Visit> auto with_blocks(uint32_t number, Visit visit)
	{
		Entry &entry = entries_[number];
		std::lock_guard guard(locks_[bucket_of(entry.prefix) % LOCKS]);
		return visit(entry.first_block);
	}
	const Ip6 &name_of(uint32_t number) const { return entries_[number].prefix; }
	/** The number of the client's prefix, or 0 when it holds nothing. */
	uint32_t look_up(const Ip6 &client);
	/** Null when no pool lends blocks. */
	std::unique_ptr<PortBlocks> blocks;

	void session_begins(uint32_t number) { entries_[number].sessions++; }
	void session_ends(uint32_t number) { entries_[number].sessions--; }

	/** What is to be opened, and whether it may be; holds its place until settle(). */
	struct Request {
		bool binding = false;
		/** Opened by an IPv4 host: with a rate of its own, and never the last eighth. */
		bool stranger = false;
		/** Refused: the client was told a moment ago. */
		bool told = false;
		uint32_t number = 0;
	};
	enum xlat_reason admit(const Ip6 &client, const Limits &limits, Time now, Request &request);
	void settle(const Request &request);

private:
	struct alignas(64) Entry {
		Ip6 prefix;
		std::atomic<uint32_t> sessions;
		uint32_t bindings, holders;
		/** Of the bucket, or of the free entries. */
		uint32_t next;
		/** When the sessions opened so far are paid for, in microseconds: ours, strangers'.
		 */
		uint64_t paid[2];
		Time told;
		uint32_t first_block;
	};
	static constexpr unsigned LOCKS = 64;

	ClientUse(uint8_t prefix_length, const Secret &secret)
		: prefix_length_(prefix_length), secret_(secret)
	{
	}
	Ip6 prefix_of(const Ip6 &client) const { return masked(client, prefix_length_); }
	uint32_t bucket_of(const Ip6 &prefix) const;
	uint32_t find(uint32_t bucket, const Ip6 &prefix);
	void release(uint32_t bucket, uint32_t number);
	enum xlat_reason judge(Entry &entry, const Limits &limits, Time now, Request &request);

	const uint8_t prefix_length_;
	const Secret secret_;
	std::mutex locks_[LOCKS];
	/** Entry 0 counts for prefixes that found no place. */
	Entry *entries_ = nullptr;
	uint32_t *buckets_ = nullptr;
	uint32_t capacity_ = 0, mask_ = 0;
	size_t bytes_ = 0;
	std::mutex free_lock_;
	uint32_t free_ = 0;
	std::atomic<uint32_t> high_ = 1;
};

} // namespace sixgate
