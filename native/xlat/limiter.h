/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * How much one client may send and receive under one node of the policy: one cache line, shared by
 * all packet threads and programs, without a lock. Who cannot take pays nothing.
 */
#ifndef XLAT_LIMITER_H
#define XLAT_LIMITER_H

#include "reason.h"
#include "types.h"

enum limiter_kind { LIMITER_BYTES, LIMITER_PACKETS, LIMITER_QUOTA };

/* Of a limiter's price: so many bits stand behind the point. */
#define LIMITER_POINT 16
/* Of a quota's state: the bytes; the period's number stands above them. */
#define LIMITER_USED ((1ull << 48) - 1)
/* Who loses so many races takes without looking. */
#define LIMITER_TRIES 4

/*
 * `state` is the one word that packets change. Of a rate it is the time at which all is paid that
 * was taken, so that zero is a client who never came; of a quota the period and its bytes.
 */
struct limiter {
	uint64_t state;
	uint64_t price; /* rate: ns of a byte or packet, with its point; quota: ns of a period */
	uint64_t depth; /* rate: ns that the time above may be ahead; quota: bytes of a period */
	uint64_t phase; /* quota: to be added to the clock, so that periods begin when they shall */
	uint64_t client[2]; /* its prefix, as in memory */
	uint32_t tag;	    /* LIMITER_EMPTY, or even, and another for each that has had this place */
	uint32_t node;	    /* whose node this is */
	uint32_t kind;	    /* enum limiter_kind */
	uint32_t reserved;
};

enum { LIMITER_EMPTY = 0 };

/* In what `state` counts. A super-packet is as many packets as it has segments. */
XLAT_FN uint64_t limiter_cost(const struct limiter *limiter, uint32_t packets, uint32_t bytes)
{
	if (limiter->kind == LIMITER_QUOTA)
		return bytes;
	return (limiter->kind == LIMITER_PACKETS ? packets : bytes) * limiter->price >>
	       LIMITER_POINT;
}

/*
 * A packet passes when what was taken before it is paid but for the burst, whatever its own size: a
 * super-packet may be larger than a small burst.
 */
XLAT_FN bool limiter_rate(const struct limiter *limiter, uint64_t state, uint64_t now,
			  uint64_t cost, uint64_t *next)
{
	uint64_t paid = state > now ? state : now;

	*next = paid + cost;
	return paid - now <= limiter->depth;
}

XLAT_FN bool limiter_quota(const struct limiter *limiter, uint64_t state, uint64_t now,
			   uint64_t cost, uint64_t *next)
{
	uint64_t period = (now + limiter->phase) / limiter->price & 0xffff;
	uint64_t used = state >> 48 == period ? state & LIMITER_USED : 0;

	*next = period << 48 | (used + cost);
	return used + cost <= limiter->depth;
}

/* `now` is the monotonic clock, in ns. */
XLAT_FN enum xlat_reason limiter_take(struct limiter *limiter, uint64_t now, uint32_t packets,
				      uint32_t bytes)
{
	uint64_t cost = limiter_cost(limiter, packets, bytes);
	int i;

	for (i = 0; i < LIMITER_TRIES; i++) {
		uint64_t state = *(volatile uint64_t *)&limiter->state, next;

		if (limiter->kind == LIMITER_QUOTA) {
			if (!limiter_quota(limiter, state, now, cost, &next))
				return XLAT_POLICY_QUOTA;
		} else if (!limiter_rate(limiter, state, now, cost, &next)) {
			return XLAT_POLICY_RATE;
		}
		if (__atomic_compare_exchange_n(&limiter->state, &state, next, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return XLAT_OK;
	}
	/* The others have just brought the state up to now. */
	__atomic_fetch_add(&limiter->state, cost, __ATOMIC_RELAXED);
	return XLAT_OK;
}

/* Of a packet that took and was lost to another limiter. */
XLAT_FN void limiter_give(struct limiter *limiter, uint32_t packets, uint32_t bytes)
{
	__atomic_fetch_add(&limiter->state, 0 - limiter_cost(limiter, packets, bytes),
			   __ATOMIC_RELAXED);
}

#endif
