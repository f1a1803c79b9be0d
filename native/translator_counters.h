// SPDX-License-Identifier: Apache-2.0
/* Counters of one packet thread: written by it alone, read by anyone, on cache lines of their own.
 */
#pragma once

#include <atomic>
#include <cstdint>

#include "xlat/reason.h"

namespace sixgate {

/* A counter with one writer: a plain add, which readers see whole. */
class Counter {
public:
	void add(uint64_t n)
	{
		value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
	}
	void reset() { value_.store(0, std::memory_order_relaxed); }
	uint64_t read() const { return value_.load(std::memory_order_relaxed); }

private:
	std::atomic<uint64_t> value_{0};
};

/* What one translator moved, in each direction. */
struct Moved {
	Counter packets64, bytes64, packets46, bytes46;

	void add64(uint32_t packets, uint32_t bytes)
	{
		packets64.add(packets);
		bytes64.add(bytes);
	}
	void add46(uint32_t packets, uint32_t bytes)
	{
		packets46.add(packets);
		bytes46.add(bytes);
	}
};

struct alignas(64) Counters {
	Moved stateful, stateless;
	Counter stateless_drops; /* of those below, what stateless translation refused */
	alignas(64) Counter drops[XLAT_REASON_COUNT];
};

} // namespace sixgate
