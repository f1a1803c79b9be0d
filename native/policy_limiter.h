// SPDX-License-Identifier: Apache-2.0
/*
 * The limiters of the policy in a table of fixed size, whatever clients there are. A client has its
 * place in one set of eight; when all are taken the one that has spent least gives way, and the
 * newcomer begins as spent as it was: nobody gets more by filling the table.
 */
#pragma once

#include <cstdint>
#include <mutex>

#include "session.h"
#include "xlat/limiter.h"

namespace sixgate {

/* What a node allows the clients under one prefix. */
struct LimiterRule {
	uint32_t node = 0; /* the same as long as the node stays */
	limiter_kind kind = LIMITER_BYTES;
	uint64_t price = 1, depth = 0, phase = 0;
	uint8_t prefix_length = 64;
};

class LimiterTable {
public:
	static constexpr uint32_t PLACES = 1u << 16;

	explicit LimiterTable(uint64_t seed);
	~LimiterTable();
	LimiterTable(const LimiterTable &) = delete;

	/* That of the client's prefix; there is always one. */
	struct limiter &find(const LimiterRule &rule, const Ip6 &client, uint64_t now);
	/* Clients that have one under this node. */
	uint32_t count(uint32_t node) const;

private:
	static constexpr uint32_t WAYS = 8;

	struct limiter &replace(struct limiter *set, const LimiterRule &rule,
				const uint64_t client[2], uint64_t now);

	const uint64_t seed_;
	struct limiter *places_;
	std::mutex lock_; /* of what comes and goes; what is there changes without it */
};

/* The clock of the limiters: CLOCK_MONOTONIC_COARSE in ns. */
uint64_t limiter_clock();

} // namespace sixgate
