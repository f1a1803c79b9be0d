// SPDX-License-Identifier: Apache-2.0
/*
 * The last packets lost for each reason, for whoever asks why. Nothing here is touched by a packet
 * that gets through, and a flood writes at most LOST_KEPT packets in LOST_WINDOW: memory and time
 * are bounded by the table of reasons, not by the traffic.
 */
#pragma once

#include <mutex>
#include <vector>

#include "fragment.h"
#include "session.h"
#include "xlat/reason.h"
#include "xlat/types.h"

namespace sixgate {

/* How far a packet came: the stages of translator_packet.cc, in their order. */
enum class Step : uint8_t { PARSE, POLICY, SESSION, TRANSLATE, ROUTE };
const char *step_name(Step step);
/* The step that loses packets for this reason. */
Step step_of(xlat_reason why);

/* A packet as its headers have it, from bytes that were never judged. */
struct PacketSummary {
	uint8_t family = 0; /* 4 or 6; 0: neither, and nothing below but length is known */
	uint8_t protocol = 0;
	bool has_ports = false; /* an ICMP query's identifier is both */
	uint16_t source_port = 0, destination_port = 0;
	uint32_t length = 0;
	/* IPv4 in the first four bytes. */
	uint8_t source[16] = {}, destination[16] = {};
};
/* CLOCK_REALTIME in milliseconds: for those who read, never for the timers. */
uint64_t real_time();
PacketSummary summarize(const uint8_t *data, uint32_t length);

struct LostPacket {
	uint64_t time = 0; /* CLOCK_REALTIME, milliseconds */
	PacketSummary packet;
};

constexpr unsigned LOST_KEPT = 8;
constexpr Time LOST_WINDOW = 100;

class LostLog {
public:
	void note(xlat_reason why, Time now, const uint8_t *data, uint32_t length)
	{
		if (due(why, now))
			keep(why, summarize(data, length));
	}
	/* Of a datagram whose fragments are gone: the addresses are left. */
	void note(xlat_reason why, Time now, const FragmentKey &key);
	/* Adds what is kept for one reason. */
	void read(xlat_reason why, std::vector<LostPacket> &into) const;

private:
	struct Ring {
		Time window = 0;
		unsigned in_window = 0; /* the writer's own, like window */
		uint64_t count = 0;
		LostPacket last[LOST_KEPT];
	};

	bool due(xlat_reason why, Time now);
	void keep(xlat_reason why, const PacketSummary &packet);

	mutable std::mutex lock_; /* count and last */
	Ring rings_[XLAT_REASON_COUNT];
};

} // namespace sixgate
