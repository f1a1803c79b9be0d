// SPDX-License-Identifier: Apache-2.0
/**
 * The mapped file of session and binding records: layout, allocation, and what makes it adoptable.
 * Records refer to each other by number. Only what identifies and measures a flow matters to a
 * successor; links, and everything that is found by searching, it makes anew.
 */
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "session_hash.h"

namespace sixgate {

struct alignas(64) SessionRecord {
	/* one cache line: all that translating a packet of a known flow needs */
	Ip6 client, server;
	uint32_t pool, remote;
	uint16_t client_port, pool_port, remote_port, delta;
	uint32_t binding;
	/** Ticks. */
	uint32_t expiry;
	Protocol protocol;
	State state;
	/** Opener, while the handshake lasts. Not an enum: a damaged file may hold any byte. */
	uint8_t half_open;
	/** FLOW_ bits: whether its packets pass above, in the flow cache, and what it takes. */
	uint8_t flow;
	/** Written last, cleared first: a digest of the identity, never 0. */
	uint32_t commit;
	/* second line */
	uint64_t packets_out, bytes_out, packets_in, bytes_in;
	uint32_t created, generation;
	/** Timer wheel; `next` also links free records. */
	uint32_t next, prev;
	/** Neighbours among the half-open sessions. */
	uint32_t older, newer;
	/**
	 * Ring of the sessions of one binding with one remote, under address-dependent filtering.
	 */
	uint32_t peer_next, peer_prev;

	Tuple6 six() const { return { client, server, client_port, remote_port }; }
	Tuple4 four() const { return { pool, remote, pool_port, remote_port }; }
	uint32_t digest() const;
};
static_assert(sizeof(SessionRecord) == 128);

struct alignas(64) BindingRecord {
	Ip6 client;
	uint32_t pool;
	uint16_t client_port, pool_port;
	Protocol protocol;
	/** Not a bool: a damaged file may hold any byte. */
	uint8_t fixed;
	/** Place of the pool address in this process. */
	uint16_t slot;
	uint32_t sessions;
	/** The client's bindings; `next` also links free records. */
	uint32_t next, prev;
	uint32_t created, commit;
	/** The client's entry in ClientUse of this process, or 0. */
	uint32_t use;
	/** The block of ports it was made in, 0 without one; and that block's number, or 0. */
	uint16_t block_first, block_size;
	uint32_t block;
	/** Of the client prefix that had the block. */
	uint8_t block_owner;
	uint8_t spare[3];

	uint32_t digest() const;
};
static_assert(sizeof(BindingRecord) == 64);

constexpr uint64_t FILE_MAGIC = 0x3436'6574'6167'7869; /* "ixgate64" */
constexpr uint32_t FILE_VERSION = 1;

struct FileHeader {
	uint64_t magic;
	uint32_t version;
	uint32_t capacity, bindings_capacity;
	char boot_id[40];
	uint64_t netns_inode;
	uint64_t config_hash;
	Secret secret;
	/** Records below these numbers have storage. */
	uint32_t sessions_backed, bindings_backed;
};
static_assert(sizeof(FileHeader) <= 4096);

/** Records of one kind: free ones are linked, those above `backed` have no storage yet. */
template <typename Record> class Records {
public:
	Record *base = nullptr;
	uint32_t capacity = 0;

	Record &operator[](uint32_t number) const { return base[number]; }
	/** Up to `want` records, as numbers; fewer when the table or the disk is full. */
	unsigned take(uint32_t *numbers, unsigned want);
	void give(const uint32_t *numbers, unsigned count);
	/**
	 * Commit word: before it is set all else is written, and after it is cleared nothing is
	 * trusted.
	 */
	void commit(Record &record)
	{
		__atomic_store_n(&record.commit, record.digest(), __ATOMIC_RELEASE);
	}
	void retract(Record &record)
	{
		__atomic_store_n(&record.commit, 0u, __ATOMIC_RELAXED);
		/* A successor reads after this process is gone: only the compiler could reorder. */
		std::atomic_signal_fence(std::memory_order_seq_cst);
	}
	bool valid(const Record &record) const
	{
		return record.commit && record.commit == record.digest();
	}

	/** Set once by the file. */
	int fd = -1;
	uint64_t offset = 0;
	uint32_t *backed = nullptr;

private:
	std::mutex lock_;
	uint32_t free_ = 0;
	bool extend();
};

class SessionFile {
public:
	~SessionFile();
	/**
	 * False with `error`: another writer, or no file. Else `refused` says why old content was
	 * not kept.
	 */
	bool open(const SessionOptions &options, std::string &error, std::string &refused);
	uint64_t backed_bytes() const;

	FileHeader *header = nullptr;
	Records<SessionRecord> sessions;
	Records<BindingRecord> bindings;
	/** There was a file of ours, fit to adopt. */
	bool adoptable = false;

private:
	int fd_ = -1;
	void *map_ = nullptr;
	uint64_t size_ = 0;

	bool lock(const std::string &path, std::string &error);
	std::string refusal(const SessionOptions &options, uint32_t bindings, uint64_t found) const;
	bool create(const SessionOptions &options, uint32_t bindings, std::string &error);
};

} // namespace sixgate
