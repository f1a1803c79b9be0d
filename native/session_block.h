// SPDX-License-Identifier: Apache-2.0
/**
 * Blocks of ports (RFC 6888 REQ-14): a client prefix gets its ports a block at a time, and one line
 * of the log for a block says what else took a line for each binding.
 *
 * A block is adjacent ports of one address, as those expect who read the log or ask by port. Its
 * ports therefore belong to all shards, and what they are lent for is found by the guess of
 * ShardHints. A block is lent from the first binding in it to the last one; the chain of a prefix's
 * blocks, and what they count, is under the lock of the prefix (ClientUse).
 */
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "pool.h"

namespace sixgate {

struct PortBlock {
	/** Number of the prefix in ClientUse; 0 is free. */
	std::atomic<uint32_t> owner;
	/** Of the prefix's blocks. */
	uint32_t next;
	/** Ports that bindings have, of each protocol and parity. */
	uint16_t used[PROTOCOLS][2];

	bool idle() const
	{
		for (const auto &protocol : used)
			if (protocol[0] || protocol[1])
				return false;
		return true;
	}
};

class PortBlocks {
public:
	/** The blocks of all pools of a configuration. Null when there is no address space. */
	static std::unique_ptr<PortBlocks> make(const Policy &policy);
	~PortBlocks();
	PortBlocks(const PortBlocks &) = delete;

	PortBlock &operator[](uint32_t number) { return blocks_[number]; }
	/** Lends a free block of the address that lies within `ports`, or 0. */
	uint32_t claim_any(const Pool &pool, const PoolAddress &address, PortRange ports,
			   uint32_t owner, uint64_t random);
	bool claim(const Pool &pool, const PoolAddress &address, uint32_t number, uint32_t owner);
	void release(const Pool &pool, const PoolAddress &address, uint32_t number);
	bool full(const Pool &pool, const PoolAddress &address) const;
	/** Blocks of the pool that are lent. */
	uint64_t lent(const Pool &pool) const;
	uint64_t resident() const;

private:
	PortBlocks() = default;
	std::atomic<uint16_t> &count(const Pool &pool, const PoolAddress &address) const;

	PortBlock *blocks_ = nullptr;
	/** By pool and address, how many are lent. */
	std::atomic<uint16_t> *lent_ = nullptr;
	size_t bytes_ = 0, numbers_ = 0;
};

} // namespace sixgate
