// SPDX-License-Identifier: Apache-2.0
/*
 * Following packets live. While nobody asks, a packet pays one branch on a relaxed load where it
 * enters and one on a null pointer where it is admitted and where it leaves. While somebody does,
 * each packet carries a record of its own, and what a filter wants of it is kept until it is read,
 * TRACE_KEPT at most.
 */
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "flow_cache.h"
#include "session.h"
#include "translator_config.h"
#include "translator_lost.h"

namespace sixgate {

/* One end of a packet, in whichever family its asker knows it. */
struct TraceEnd {
	std::optional<Prefix6> six;
	std::optional<Prefix4> four;
};

struct TraceFilter {
	TraceEnd from, to;
	std::optional<Protocol> protocol;
};

/* The way of one packet. */
struct TracedPacket {
	bool dry = false; /* only to see what would happen: nothing is opened or sent */
	bool binding = false; /* dry: a binding would be made, of a port not known yet */
	uint64_t time = 0; /* CLOCK_REALTIME, milliseconds */
	PacketSummary in;
	bool admitted = false; /* it is of a session or a binding, as below */
	bool fresh = false;
	bool stateless = false; /* it went by its addresses alone, at least in one half of a hairpin */
	State state = State::CLOSED;
	xlat_reason why = XLAT_OK;
	bool answered = false; /* by an ICMP error of ours */
	uint32_t sent = 0;     /* packets that left for it, its fragments each; 0 without a reason: kept */
	PacketSummary out;     /* the first of them */

	void admit(const Verdict &verdict);
	void leave(const uint8_t *start, uint32_t length);
};

constexpr unsigned TRACES = 4;
constexpr size_t TRACE_KEPT = 256;

class Tracer {
public:
	bool on() const { return open_.load(std::memory_order_relaxed) != 0; }

	/* The number of the new trace; 0 when TRACES run. */
	uint32_t open(const TraceFilter &filter);
	void close(uint32_t number);
	/* Takes what was kept, and how many more there were; false when the trace is not open. */
	bool read(uint32_t number, std::vector<TracedPacket> &packets, uint64_t &missed);

	/* Whether a packet of the flow, in either direction, would be kept. */
	bool follows(const TranslatorConfig &config, const Flow &flow);

	/* A packet whose way is over. */
	void offer(const TranslatorConfig &config, const TracedPacket &packet);

private:
	struct Trace {
		uint32_t number = 0; /* 0: free */
		TraceFilter filter;
		std::vector<TracedPacket> kept;
		uint64_t missed = 0;
	};

	Trace *find(uint32_t number);

	alignas(64) std::atomic<uint32_t> open_{0};
	alignas(64) std::mutex lock_;
	uint32_t last_ = 0;
	Trace traces_[TRACES];
};

} // namespace sixgate
