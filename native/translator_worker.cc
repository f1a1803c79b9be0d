// SPDX-License-Identifier: Apache-2.0
/* The loop of a packet thread: drain the queue, run the timers, sleep. */
#include "translator_worker.h"

#include <cerrno>
#include <chrono>
#include <ctime>

#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

namespace sixgate {
namespace {

/* Packets between two looks at the clock, the configuration and the timers. */
constexpr unsigned BATCH = 64;
constexpr Time TICK_INTERVAL = 250;
constexpr unsigned TICK_BUDGET = 1024;
constexpr size_t TICK_EVENTS = 16;

/*
 * Bulk TCP comes in bursts a few microseconds apart, and a wake-up takes as long: after a super-packet the thread
 * stays awake for a moment. Small packets are better left to gather.
 */
constexpr unsigned BULK_DRAINS = 64;
constexpr uint32_t BULK_LENGTH = 4096;
constexpr auto LINGER = std::chrono::microseconds(50);
constexpr int PAUSES = 20;

inline void pause()
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	asm volatile("yield");
#endif
}

} // namespace

Time boot_time()
{
	timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return static_cast<Time>(now.tv_sec) * 1000 + static_cast<Time>(now.tv_nsec) / 1000000;
}

Worker::Worker(Shared &shared, unsigned index, int queue, int wake)
    : shared_(shared), index_(index), queue_(queue), wake_(wake),
      memory_(new uint8_t[PACKET_HEADROOM + PACKET_MAX]),
      answer_memory_(new uint8_t[PACKET_HEADROOM + XLAT_ANSWER_MAX]),
      buffer_(memory_.get() + PACKET_HEADROOM)
{
	if (getrandom(&ip4_id_, sizeof(ip4_id_), GRND_NONBLOCK) != sizeof(ip4_id_))
		ip4_id_ = static_cast<uint16_t>(shared.seed >> (index % 48));
	now_ = boot_time();
	refresh();
}

std::shared_ptr<const ClientTable> Worker::clients() const
{
	std::lock_guard guard(clients_lock_);
	return clients_;
}

/* A packet is translated by one configuration: it is looked at between packets only. */
void Worker::refresh()
{
	uint64_t generation = shared_.generation.load(std::memory_order_acquire);
	if (generation == generation_)
		return;
	{
		std::lock_guard guard(shared_.lock);
		config_ = shared_.config;
		paths_.refresh(shared_.routes);
	}
	generation_ = generation;
	if (clients_ && accounting_ == config_->accounting)
		return;
	accounting_ = config_->accounting;
	auto table = std::make_shared<ClientTable>(accounting_.clients, accounting_.prefix_length,
						   shared_.seed);
	std::lock_guard guard(clients_lock_);
	clients_ = std::move(table);
}

unsigned Worker::drain()
{
	unsigned count = 0;
	for (; count < BATCH; count++) {
		uint8_t *frame = buffer_ - sizeof(VnetHeader);
		ssize_t length = read(queue_, frame, PACKET_MAX + sizeof(VnetHeader));
		if (length < static_cast<ssize_t>(sizeof(VnetHeader)))
			break;
		if (length > BULK_LENGTH)
			bulk_ = BULK_DRAINS;
		VnetHeader vnet;
		std::memcpy(&vnet, frame, sizeof(vnet));
		receive(buffer_, static_cast<uint32_t>(length) - sizeof(VnetHeader), vnet);
	}
	return count;
}

void Worker::handle(const Event &event)
{
	if (event.kind == Event::PROBE) {
		uint8_t *out = answer_memory_.get() + PACKET_HEADROOM;
		xlat_tuple6 flow = inward6(event.six, false, 0);
		emit(out, xlat_tcp_probe6(&flow, out), VnetHeader{});
		return;
	}
	Packet packet{};
	packet.data = buffer_;
	packet.length = event.packet_length;
	std::memcpy(buffer_, event.packet, event.packet_length);
	/* As inside an ICMP error: the packet was cut to what is kept of it. */
	if (xlat_parse_at(packet.data, 0, packet.length, true, &packet.view) == XLAT_OK)
		refuse(packet, XLAT_SYN_HELD_EXPIRED);
	else
		drop(packet, XLAT_SYN_HELD_EXPIRED);
}

/* Runs the timers of this thread's shards; returns when they are due again. */
Time Worker::tick()
{
	if (now_ < next_tick_)
		return next_tick_ - now_;
	bool more = false;
	for (unsigned shard = index_; shard < SHARDS; shard += shared_.workers) {
		Event events[TICK_EVENTS];
		TickResult result =
			shared_.table.tick(shard, now_, TICK_BUDGET, events, TICK_EVENTS);
		for (size_t i = 0; i < result.events; i++)
			handle(events[i]);
		more |= result.more;
	}
	if (index_ == 0)
		shared_.fragments.tick(now_);
	next_tick_ = more ? now_ : now_ + TICK_INTERVAL;
	return next_tick_ - now_;
}

/* True when more came while the thread stayed awake for it. */
bool Worker::linger()
{
	if (!bulk_)
		return false;
	bulk_--;
	auto end = std::chrono::steady_clock::now() + LINGER;
	pollfd watched = {queue_, POLLIN, 0};
	do {
		for (int i = 0; i < PAUSES; i++)
			pause();
		if (poll(&watched, 1, 0) != 0)
			return true;
	} while (std::chrono::steady_clock::now() < end);
	return false;
}

Time Worker::turn()
{
	now_ = boot_time();
	refresh();
	unsigned count = drain();
	Time wait = tick();
	return count == BATCH || (wait && count && linger()) ? 0 : wait;
}

void Worker::run(std::stop_token stop)
{
	pollfd watched[2] = {{queue_, POLLIN, 0}, {wake_, POLLIN, 0}};
	while (!stop.stop_requested()) {
		Time wait = turn();
		if (wait == 0)
			continue;
		poll(watched, 2, static_cast<int>(wait));
		/* A device that was deleted is readable for ever: look for the stop only. */
		if (watched[0].revents & (POLLERR | POLLHUP | POLLNVAL))
			poll(watched + 1, 1, static_cast<int>(TICK_INTERVAL));
	}
}

} // namespace sixgate
