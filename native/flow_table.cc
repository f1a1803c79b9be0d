// SPDX-License-Identifier: Apache-2.0
#include "flow_table.h"

#include <cerrno>
#include <cstring>
#include <ctime>

#include <sys/mman.h>

namespace sixgate {

namespace {

constexpr unsigned WORD = 64;

uint64_t clock_ns(clockid_t clock)
{
	timespec now;
	clock_gettime(clock, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
	       static_cast<uint64_t>(now.tv_nsec);
}

uint32_t tag_of(const struct flow &slot)
{
	return __atomic_load_n(&slot.tag, __ATOMIC_ACQUIRE);
}

bool under(const struct gateway_prefix &prefix, const Ip6 &address)
{
	for (unsigned i = 0; i < sizeof(address.bytes); i++)
		if ((address.bytes[i] & prefix.mask[i]) != prefix.base[i])
			return false;
	return true;
}

/* The keys of flows64 and flows46; a slot in use compares like any other. */
bool same64(const struct flow &a, const struct flow &b)
{
	return std::memcmp(a.client, b.client, sizeof(a.client)) == 0 &&
	       a.remote.raw == b.remote.raw && a.client_port.raw == b.client_port.raw &&
	       a.remote_port.raw == b.remote_port.raw && a.protocol == b.protocol &&
	       a.prefix == b.prefix;
}

bool same46(const struct flow &a, const struct flow &b)
{
	return a.remote.raw == b.remote.raw && a.pool.raw == b.pool.raw &&
	       a.remote_port.raw == b.remote_port.raw && a.pool_port.raw == b.pool_port.raw &&
	       a.protocol == b.protocol;
}

/* Everything but the prefix, which only the configuration knows. */
struct flow key_of(const Flow &flow)
{
	struct flow key = {};
	std::memcpy(key.client, flow.six.client.bytes, sizeof(key.client));
	key.remote = xlat_be32(flow.four.remote);
	key.pool = xlat_be32(flow.four.pool);
	key.client_port = xlat_be16(flow.six.client_port);
	key.remote_port = xlat_be16(flow.four.remote_port);
	key.pool_port = xlat_be16(flow.four.pool_port);
	key.protocol = static_cast<uint8_t>(flow.protocol);
	return key;
}

} // namespace

MappedArray::~MappedArray()
{
	if (data_)
		munmap(data_, bytes_);
}

bool MappedArray::open(int fd, size_t bytes, std::string &error)
{
	void *data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED) {
		error = std::string("a BPF map cannot be mapped: ") + std::strerror(errno);
		return false;
	}
	data_ = data;
	bytes_ = bytes;
	return true;
}

bool FlowTable::open(int fd64, int fd46, struct gateway *gateway, std::string &error)
{
	gateway_ = gateway;
	six_.mask = gateway->mask64;
	four_.mask = gateway->mask46;
	struct {
		Half &half;
		int fd;
	} both[] = {{six_, fd64}, {four_, fd46}};
	for (auto &[half, fd] : both) {
		size_t slots = static_cast<size_t>(half.mask) + 1;
		if (!half.map.open(fd, slots * sizeof(struct flow), error))
			return false;
		half.slots = static_cast<struct flow *>(half.map.data());
		half.ours.assign((slots + WORD - 1) / WORD, 0);
		/* A slot's next tag is to be one that no reader can have seen in it. */
		for (size_t at = 0; at < slots; at++)
			if (tag_of(half.slots[at]) >= next_tag_)
				next_tag_ = tag_of(half.slots[at]) + 1;
		if (&half == &four_)
			for (size_t at = 0; at < slots; at++)
				flows_ += tag_of(half.slots[at]) >= FLOW_FIRST_TAG;
	}
	return true;
}

bool FlowTable::holds(const Flow &flow) const
{
	std::lock_guard guard(lock_);
	uint32_t active = __atomic_load_n(&gateway_->active, __ATOMIC_ACQUIRE) & 1;
	uint32_t six, four;
	return find(flow, six, four) && six != NONE &&
	       four_.slots[four].epoch == gateway_->config[active].epoch;
}

uint32_t FlowTable::find64(const struct flow &key) const
{
	uint32_t home = flow_home64(gateway_, &key);
	for (uint32_t i = 0; i < FLOW_PROBES; i++) {
		uint32_t at = (home + i) & six_.mask;
		if (six_.slots[at].tag >= FLOW_FIRST_TAG && same64(six_.slots[at], key))
			return at;
	}
	return NONE;
}

uint32_t FlowTable::find46(const struct flow &key) const
{
	uint32_t home = flow_home46(gateway_, &key);
	for (uint32_t i = 0; i < FLOW_PROBES; i++) {
		uint32_t at = (home + i) & four_.mask;
		if (four_.slots[at].tag >= FLOW_FIRST_TAG && same46(four_.slots[at], key))
			return at;
	}
	return NONE;
}

/* By the IPv4 side: its slot knows the prefix that the flow was installed under. */
bool FlowTable::find(const Flow &flow, uint32_t &six, uint32_t &four) const
{
	struct flow key = key_of(flow);
	four = find46(key);
	if (four == NONE)
		return false;
	key.prefix = four_.slots[four].prefix;
	six = find64(key);
	return true;
}

uint32_t FlowTable::free_slot(const Half &half, uint32_t home) const
{
	for (uint32_t i = 0; i < FLOW_PROBES; i++) {
		uint32_t at = (home + i) & half.mask;
		if (half.slots[at].tag < FLOW_BUSY)
			return at;
	}
	return NONE;
}

void FlowTable::fill(Half &half, uint32_t at, const struct flow &from)
{
	struct flow &slot = half.slots[at];
	__atomic_store_n(&slot.tag, static_cast<uint32_t>(FLOW_BUSY), __ATOMIC_RELAXED);
	std::atomic_thread_fence(std::memory_order_release);
	std::memcpy(reinterpret_cast<char *>(&slot) + sizeof(slot.tag),
		    reinterpret_cast<const char *>(&from) + sizeof(from.tag),
		    sizeof(from) - sizeof(from.tag));
	__atomic_store_n(&slot.tag, next_tag_, __ATOMIC_RELEASE);
	if (++next_tag_ < FLOW_FIRST_TAG)
		next_tag_ = FLOW_FIRST_TAG;
	half.ours[at / WORD] |= 1ull << at % WORD;
}

/* Nobody looks beyond an empty slot, so a chain of dead ones before it is emptied with it. */
void FlowTable::clear(Half &half, uint32_t at)
{
	bool last = half.slots[(at + 1) & half.mask].tag == FLOW_EMPTY;
	__atomic_store_n(&half.slots[at].tag,
			 static_cast<uint32_t>(last ? FLOW_EMPTY : FLOW_DEAD), __ATOMIC_RELEASE);
	half.ours[at / WORD] &= ~(1ull << at % WORD);
	for (uint32_t i = 1; last && i < FLOW_PROBES; i++) {
		struct flow &before = half.slots[(at - i) & half.mask];
		if (before.tag != FLOW_DEAD)
			return;
		__atomic_store_n(&before.tag, static_cast<uint32_t>(FLOW_EMPTY), __ATOMIC_RELEASE);
	}
}

void FlowTable::follow(std::shared_ptr<const RouteView> routes)
{
	std::lock_guard guard(lock_);
	paths_.refresh(std::move(routes));
	routed_ = true;
}

uint16_t FlowTable::mtu4_of(const Flow &flow)
{
	if (!routed_)
		return 0;
	uint32_t mtu = paths_.bound4(xlat_ip4_of(flow.four.pool), xlat_ip4_of(flow.four.remote));
	return static_cast<uint16_t>(std::min<uint32_t>(mtu, UINT16_MAX));
}

uint16_t FlowTable::mtu6_of(const Flow &flow)
{
	if (!routed_)
		return 0;
	xlat_ip6 server, client;
	std::memcpy(server.b, flow.six.server.bytes, sizeof(server.b));
	std::memcpy(client.b, flow.six.client.bytes, sizeof(client.b));
	return static_cast<uint16_t>(
		std::min<uint32_t>(paths_.bound6(server, client), UINT16_MAX));
}

bool FlowTable::install(const Flow &flow)
{
	struct flow slot = key_of(flow);
	uint32_t active = __atomic_load_n(&gateway_->active, __ATOMIC_ACQUIRE) & 1;
	const struct gateway_config &config = gateway_->config[active];
	uint32_t prefixes = std::min<uint32_t>(config.prefixes, GATEWAY_PREFIXES);
	while (slot.prefix < prefixes && !under(config.prefix[slot.prefix], flow.six.server))
		slot.prefix++;
	if (slot.prefix == prefixes)
		return false;
	/* First: what the flow is judged by afterwards is of this configuration, or newer. */
	slot.epoch = config.epoch;
	if (excluded_ && excluded_(flow))
		return false;
	slot.last_seen = flow_clock(clock_ns(CLOCK_MONOTONIC_COARSE));

	std::lock_guard guard(lock_);
	uint32_t six = free_slot(six_, flow_home64(gateway_, &slot));
	uint32_t four = free_slot(four_, flow_home46(gateway_, &slot));
	if (six == NONE || four == NONE) {
		refused_++;
		return false;
	}
	slot.delta = flow.delta;
	slot.mtu = mtu4_of(flow);
	fill(six_, six, slot);
	if (flow.protocol != Protocol::ICMP)
		slot.delta = static_cast<uint16_t>(~flow.delta);
	slot.mtu = mtu6_of(flow);
	fill(four_, four, slot);
	flows_++;
	return true;
}

FlowActivity FlowTable::activity(uint32_t six, uint32_t four) const
{
	FlowActivity out;
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	uint32_t clock = flow_clock(clock_ns(CLOCK_MONOTONIC_COARSE)), age = UINT32_MAX;
	const struct flow *slot = &four_.slots[four];
	out.packets_in = slot->packets;
	out.bytes_in = slot->bytes;
	age = clock - __atomic_load_n(&slot->last_seen, __ATOMIC_RELAXED);
	if (six != NONE) {
		slot = &six_.slots[six];
		out.packets_out = slot->packets;
		out.bytes_out = slot->bytes;
		age = std::min(age, clock - __atomic_load_n(&slot->last_seen, __ATOMIC_RELAXED));
	}
	/* A program on another processor may be a tick of the coarse clock ahead. */
	uint64_t ago = age > INT32_MAX ? 0 : static_cast<uint64_t>(age) << 20;
	out.last = (now > ago ? now - ago : 1) / 1'000'000;
	return out;
}

FlowActivity FlowTable::remove(const Flow &flow)
{
	std::lock_guard guard(lock_);
	uint32_t six, four;
	if (!find(flow, six, four))
		return {};
	clear(four_, four);
	if (six != NONE)
		clear(six_, six);
	flows_--;
	/* Cleared first: what a packet in flight still adds is not seen twice. */
	FlowActivity out = activity(six, four);
	if (gone_) {
		gone_->count(flow.six.client, Direction::OUT, out.packets_out, out.bytes_out);
		gone_->count(flow.six.client, Direction::IN, out.packets_in, out.bytes_in);
	}
	return out;
}

bool FlowTable::read(const Flow &flow, FlowActivity &out) const
{
	std::lock_guard guard(lock_);
	uint32_t six, four;
	if (!find(flow, six, four))
		return false;
	out = activity(six, four);
	return true;
}

uint64_t FlowTable::sweep()
{
	std::lock_guard guard(lock_);
	uint64_t swept = 0;
	for (Half *half : {&six_, &four_})
		for (uint64_t at = half->mask + 1ull; at-- > 0;)
			if (half->slots[at].tag >= FLOW_BUSY &&
			    !(half->ours[at / WORD] >> at % WORD & 1)) {
				flows_ -= half == &four_ && half->slots[at].tag >= FLOW_FIRST_TAG;
				clear(*half, static_cast<uint32_t>(at));
				swept++;
			}
	return swept;
}

void FlowTable::account(uint32_t clients, uint8_t prefix_length, uint64_t seed)
{
	std::lock_guard guard(lock_);
	if (gone_ && clients == clients_ && prefix_length == prefix_length_)
		return;
	clients_ = clients;
	prefix_length_ = prefix_length;
	seed_ = seed;
	gone_ = std::make_unique<ClientTable>(clients, prefix_length, seed);
}

void FlowTable::clients(const std::function<void(const ClientTotals &)> &visit) const
{
	if (!gone_)
		return;
	ClientTable live(clients_, prefix_length_, seed_);
	struct {
		const Half &half;
		Direction way;
	} both[] = {{six_, Direction::OUT}, {four_, Direction::IN}};
	for (const auto &[half, way] : both)
		for (uint64_t at = 0; at <= half.mask; at++) {
			const struct flow &slot = half.slots[at];
			if (slot.tag < FLOW_FIRST_TAG || !slot.packets)
				continue;
			Ip6 client;
			std::memcpy(client.bytes, slot.client, sizeof(client.bytes));
			live.count(client, way, slot.packets, slot.bytes);
		}
	live.visit(visit);
	std::lock_guard guard(lock_);
	gone_->visit(visit);
}

FlowUse FlowTable::use() const
{
	std::lock_guard guard(lock_);
	return {flows_, four_.mask + 1ull, refused_};
}

} // namespace sixgate
