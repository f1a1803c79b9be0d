// SPDX-License-Identifier: Apache-2.0
#include "session_block.h"

#include <sys/mman.h>

#include "session_table.h"

namespace sixgate {

std::unique_ptr<PortBlocks> PortBlocks::make(const Policy &policy)
{
	std::unique_ptr<PortBlocks> out(new PortBlocks);
	size_t records = ((size_t)policy.blocks + 1) * sizeof(PortBlock);
	out->numbers_ = policy.block_addresses;
	out->bytes_ = records + out->numbers_ * sizeof(*out->lent_);
	void *at = mmap(nullptr, out->bytes_, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return nullptr;
	out->blocks_ = static_cast<PortBlock *>(at);
	out->lent_ = reinterpret_cast<std::atomic<uint16_t> *>(static_cast<uint8_t *>(at) + records);
	return out;
}

PortBlocks::~PortBlocks()
{
	if (blocks_)
		munmap(blocks_, bytes_);
}

std::atomic<uint16_t> &PortBlocks::count(const Pool &pool, const PoolAddress &address) const
{
	return lent_[pool.first_address + pool.place_of(address)];
}

bool PortBlocks::full(const Pool &pool, const PoolAddress &address) const
{
	return count(pool, address).load(std::memory_order_relaxed) >= pool.blocks;
}

bool PortBlocks::claim(const Pool &pool, const PoolAddress &address, uint32_t number,
		       uint32_t owner)
{
	uint32_t free = 0;
	PortBlock &block = blocks_[number];
	if (block.owner.load(std::memory_order_relaxed) ||
	    !block.owner.compare_exchange_strong(free, owner, std::memory_order_acq_rel))
		return false;
	count(pool, address).fetch_add(1, std::memory_order_relaxed);
	return true;
}

uint32_t PortBlocks::claim_any(const Pool &pool, const PoolAddress &address, PortRange ports,
			       uint32_t owner, uint64_t random)
{
	PortRange part = pool.range.cut(ports);
	if (part.empty() || full(pool, address))
		return 0;
	/* A block belongs to the range in which it begins. */
	uint32_t from = (part.first - pool.range.first + pool.block_size - 1u) / pool.block_size;
	uint32_t until =
		std::min((part.last - pool.range.first) / pool.block_size + 1u, pool.blocks);
	if (from >= until)
		return 0;
	uint32_t base = pool.first_block + pool.place_of(address) * pool.blocks;
	uint32_t start = (uint32_t)(random % (until - from));
	for (uint32_t i = 0; i < until - from; i++) {
		uint32_t number = base + from + (start + i) % (until - from);
		if (claim(pool, address, number, owner))
			return number;
	}
	return 0;
}

void PortBlocks::release(const Pool &pool, const PoolAddress &address, uint32_t number)
{
	count(pool, address).fetch_sub(1, std::memory_order_relaxed);
	blocks_[number].owner.store(0, std::memory_order_release);
}

uint64_t PortBlocks::lent(const Pool &pool) const
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < pool.addresses.size(); i++)
		sum += lent_[pool.first_address + i].load(std::memory_order_relaxed);
	return sum;
}

uint64_t PortBlocks::resident() const
{
	uint64_t pages = 1;
	for (size_t i = 0; i < numbers_; i++)
		pages += lent_[i].load(std::memory_order_relaxed);
	return std::min<uint64_t>(pages * 4096, bytes_);
}

/* What the session table does with them, under the lock of a shard. */

/** From the range that the port wanted is of, as long as the client has such a block. */
uint16_t SessionTable::Impl::take_in_blocks(Shard &shard, Protocol protocol, const Pool &pool,
					    PoolAddress &address, BlockOwner &owner,
					    uint16_t wanted)
{
	PortBlocks &blocks = *shard.use->blocks;
	unsigned index = protocol_index(protocol), have = 0;
	bool mixed = pool.range.first < 1024 && pool.range.last >= 1024;
	for (unsigned pass = 0; pass <= mixed; pass++) {
		have = 0;
		for (uint32_t at = *owner.chain; at; at = blocks[at].next) {
			PortBlock &block = blocks[at];
			if (at < pool.first_block ||
			    at - pool.first_block >= pool.blocks * pool.addresses.size())
				continue;
			have++;
			PortRange ports = pool.block_ports(at);
			if (mixed && !pass && (ports.first < 1024) != (wanted < 1024))
				continue;
			/* Those of two clients that a configuration made one may be of two. */
			if (pool.block_address(at) != &address ||
			    block.used[index][0] + block.used[index][1] >= pool.block_size)
				continue;
			uint16_t port = pick_port(shard, protocol, address, ports, wanted, true);
			if (!port)
				continue;
			block.used[index][port & 1]++;
			owner.block = at;
			return port;
		}
	}
	if (pool.blocks_per_client && have >= pool.blocks_per_client) {
		owner.bounded = true;
		return 0;
	}
	return take_new_block(shard, protocol, pool, address, owner, wanted);
}

uint16_t SessionTable::Impl::take_new_block(Shard &shard, Protocol protocol, const Pool &pool,
					    PoolAddress &address, BlockOwner &owner,
					    uint16_t wanted)
{
	PortBlocks &blocks = *shard.use->blocks;
	const PortRange low = { 0, 1023 }, high = { 1024, 65535 };
	uint64_t random = draw(shard);
	uint32_t number = blocks.claim_any(pool, address, wanted < 1024 ? low : high, owner.number,
					   random);
	if (!number)
		number = blocks.claim_any(pool, address, wanted < 1024 ? high : low, owner.number,
					  random);
	if (!number)
		return 0;
	PortRange ports = pool.block_ports(number);
	uint16_t port = pick_port(shard, protocol, address, ports, wanted, true);
	/* Static bindings have every port of it. */
	if (!port) {
		blocks.release(pool, address, number);
		return 0;
	}
	blocks[number].used[protocol_index(protocol)][port & 1]++;
	owner.block = number;
	lend_block(shard, pool, address, number, owner);
	return port;
}

void SessionTable::Impl::lend_block(Shard &shard, const Pool &pool, const PoolAddress &address,
				    uint32_t number, BlockOwner &owner)
{
	(*shard.use->blocks)[number].next = *owner.chain;
	owner.claimed = true;
	*owner.chain = number;
	if (!owner.known)
		log_block(shard, NatEvent::BLOCK_ALLOCATED, shard.use->name_of(owner.number),
			  address.address, pool.block_ports(number));
}

/** The block of a port that is chosen already: the client's own one, or a free one for it. */
bool SessionTable::Impl::join_block(Shard &shard, Protocol protocol, const Pool &pool,
				    PoolAddress &address, uint16_t port, BlockOwner &owner)
{
	PortBlocks &blocks = *shard.use->blocks;
	uint32_t number = pool.block_number(address, port);
	if (!number)
		return false;
	PortBlock &block = blocks[number];
	if (block.owner.load(std::memory_order_acquire) != owner.number) {
		if ((!owner.known && *owner.chain) ||
		    !blocks.claim(pool, address, number, owner.number))
			return false;
		lend_block(shard, pool, address, number, owner);
	}
	block.used[protocol_index(protocol)][port & 1]++;
	owner.block = number;
	return true;
}

void SessionTable::Impl::note_block(const Shard &shard, uint32_t number,
				    BindingRecord &record) const
{
	if (!number)
		return;
	const Pool *pool = shard.policy->pool_of_block(number);
	record.block = number;
	record.block_first = pool->block_ports(number).first;
	record.block_size = pool->block_size;
	record.block_owner = shard.use->prefix_length();
}

void SessionTable::Impl::leave_block(Shard &shard, BindingRecord &record)
{
	if (!record.block)
		return;
	const Pool &pool = *shard.policy->pool_of_block(record.block);
	PoolAddress &address = *pool.block_address(record.block);
	PortBlocks &blocks = *shard.use->blocks;
	PortBlock &block = blocks[record.block];
	shard.use->with_blocks(record.use, [&](uint32_t &chain) {
		block.used[protocol_index(record.protocol)][record.pool_port & 1]--;
		if (!block.idle())
			return;
		uint32_t *link = &chain;
		while (*link != record.block)
			link = &blocks[*link].next;
		*link = block.next;
		log_block(shard, NatEvent::BLOCK_RELEASED, shard.use->name_of(record.use),
			  address.address, pool.block_ports(record.block));
		blocks.release(pool, address, record.block);
	});
	record.block = 0;
}

void SessionTable::Impl::note_lent(const BindingRecord &record)
{
	if (noting_lent && record.block_size)
		lent.insert({ masked(record.client, record.block_owner), record.pool,
			      { record.block_first,
				(uint16_t)(record.block_first + record.block_size - 1) } });
}

/** What one client is has changed, and with it whose the block is. */
void SessionTable::Impl::log_renamed(const Shard &shard, const BindingRecord &record,
				     uint8_t length)
{
	PortRange ports = { record.block_first,
			    (uint16_t)(record.block_first + record.block_size - 1) };
	auto before = lent.find({ masked(record.client, length), record.pool, ports });
	if (before == lent.end())
		return;
	before->told = true;
	log_block(shard, NatEvent::BLOCK_RELEASED, before->client, record.pool, ports);
	log_block(shard, NatEvent::BLOCK_ALLOCATED, masked(record.client, record.block_owner),
		  record.pool, ports);
}

void SessionTable::Impl::log_ended_blocks()
{
	auto goes_on = [&](const LentBlock &block) {
		PoolAddress *address = policy->address_of(block.pool);
		for (const auto &pool : policy->pools) {
			if (!address || !pool->lends_blocks() || !pool->holds(address) ||
			    !pool->range.holds(block.ports.first))
				continue;
			uint32_t number = pool->block_number(*address, block.ports.first);
			if (!number || !(pool->block_ports(number) == block.ports))
				return false;
			uint32_t owner = policy->use->look_up(block.client);
			return owner && (*policy->use->blocks)[number].owner == owner;
		}
		return false;
	};
	for (const LentBlock &block : lent)
		if (!block.told && !goes_on(block))
			log_block(shards[0], NatEvent::BLOCK_RELEASED, block.client, block.pool,
				  block.ports);
	lent.clear();
}

/** A binding that was made under another configuration, or by a predecessor. */
bool SessionTable::Impl::rejoin_block(Shard &shard, BindingRecord &record)
{
	uint16_t first = record.block_first, size = record.block_size;
	record.block = 0;
	record.block_first = record.block_size = 0;
	if (!shard.policy->blocks)
		return true;
	const PoolChoice *choice = shard.policy->choice_of(record.client);
	PoolAddress *address = shard.policy->address_of(record.pool);
	const Pool *pool = record.fixed || !choice || !address ?
				   nullptr :
				   choice->lender(address, record.pool_port, record.client);
	if (!pool || !pool->lends_blocks())
		return true;
	uint32_t number = pool->block_number(*address, record.pool_port);
	if (!number || !record.use || size != pool->block_size ||
	    first != pool->block_ports(number).first)
		return false;
	return shard.use->with_blocks(record.use, [&](uint32_t &chain) {
		BlockOwner owner = { record.use, &chain };
		owner.known = true;
		if (!join_block(shard, record.protocol, *pool, *address, record.pool_port, owner))
			return false;
		uint8_t length = record.block_owner;
		note_block(shard, number, record);
		if (owner.claimed && length != record.block_owner)
			log_renamed(shard, record, length);
		return true;
	});
}

} // namespace sixgate
