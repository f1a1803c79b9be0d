/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of the core share: an input that is parameters and then a packet. */
#ifndef FUZZ_CORE_H
#define FUZZ_CORE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

/* The packet in a heap block of its own, so that the sanitizer sees every byte read beyond it. */
static inline uint8_t *own_block(const uint8_t *data, size_t size)
{
	uint8_t *block = (uint8_t *)malloc(XLAT_HEADROOM + size);

	memset(block, 0x55, XLAT_HEADROOM);
	memcpy(block + XLAT_HEADROOM, data, size);
	return block;
}

#endif
