// SPDX-License-Identifier: Apache-2.0
/*
 * mutate SEED COUNT < commands: spoils the packets of the vectors at random and runs them through
 * the core. The sanitizers see what it reads and writes. Beyond that, whatever comes out must
 * parse, be as long as promised, and have a right checksum exactly if what went in had one, by a
 * sum that is slow and written anew.
 */
#include "check.h"
#include "packet.h"

struct seed {
	uint8_t *block;
	uint32_t len;
};

static uint64_t state;
static const char *failure;

static uint32_t chance(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static void expect(bool holds, const char *what)
{
	if (!holds && !failure)
		failure = what;
}

/* Lengths, types and offsets lie in the first bytes; there most of the harm is done. */
static void spoil(uint8_t *p, uint32_t len)
{
	static const uint8_t telling[] = { 0,  1,  4,  5,  6,  8,   17,	 20, 40,
					   43, 44, 58, 60, 64, 127, 128, 255 };
	uint32_t n = chance(4);

	while (n-- && len) {
		uint32_t at = chance(chance(4) ? (len < 100 ? len : 100) : len);

		p[at] = chance(2) ? telling[chance(sizeof(telling))] : (uint8_t)chance(256);
	}
}

static void repair(uint8_t *p, uint32_t len)
{
	uint32_t header = len ? (p[0] & 15u) * 4 : 0;

	if (len < 20 || p[0] >> 4 != 4)
		return;
	if (chance(2))
		xlat_store16(p + XLAT_IP4_TOTAL, xlat_be16(len));
	p[XLAT_IP4_CHECKSUM] = p[XLAT_IP4_CHECKSUM + 1] = 0;
	if (header >= 20 && header <= len)
		xlat_store16(p + XLAT_IP4_CHECKSUM, xlat_be16(~slow_sum(p, header, 0) & 0xffff));
}

static enum xlat_reason plan(const uint8_t *p, const struct xlat_view *v, struct xlat_edit *edit)
{
	static const struct xlat_tuple6 to6 = {
		{ { 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 33 } },
		{ { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 } },
		{ 80 },
		{ 1234 },
		0
	};
	static const struct xlat_tuple4 to4 = {
		{ { 0x406433c6 } }, { { 0x210200c0 } }, { 40000 }, { 80 }, 0
	};
	struct xlat_params params;

	xlat_params_init(&params);
	params.amend_udp_zero = chance(2);
	params.copy_traffic_class = chance(2);
	params.tos = (uint8_t)(chance(2) ? 0x28 : 0);
	params.hop_adjust = (int8_t)(1 - (int)chance(3));
	params.lowest_ipv6_mtu = chance(2) ? 1280 : 1500;
	params.mss = chance(2) ? 536 : 0;
	return v->family == 6 ? xlat_plan64(p, v, &to4, &to4, &params, edit)
			      : xlat_plan46(p, v, &to6, &to6, &params, edit);
}

/* Returns whether the packet was translated. */
static bool once(const struct seed *seed)
{
	uint32_t len = chance(3) ? seed->len : chance(seed->len + 1);
	uint8_t *block = (uint8_t *)malloc(XLAT_HEADROOM + len), *p = block + XLAT_HEADROOM;
	struct xlat_view v;
	struct xlat_edit edit;
	enum xlat_reason why;
	int was;

	memcpy(block, seed->block, XLAT_HEADROOM + len);
	spoil(p, len);
	repair(p, len);
	why = xlat_parse(p, len, &v);
	if (!why || why == XLAT_ROUTING_HEADER || why == XLAT_SOURCE_ROUTE)
		check_answer(p, &v);
	if (!why) {
		was = verdict(p, &v);
		why = plan(p, &v, &edit);
	}
	if (!why) {
		p = xlat_apply(p, &edit);
		expect(p >= block && p + edit.length <= block + XLAT_HEADROOM + len,
		       "outside of the headroom");
		check_output(p, &edit, &v, was);
		if (edit.fragment_mtu)
			check_fragments(p, &edit);
	}
	free(block);
	return !why;
}

int main(int argc, char **argv)
{
	static struct seed seeds[2048];
	uint32_t count = argc > 2 ? (uint32_t)atoi(argv[2]) : 0, used = 0, translated = 0, i;
	char *line = NULL;
	size_t room = 0;

	while (used < 2048 && getline(&line, &room, stdin) > 0) {
		seeds[used].block = read_packet(line, &seeds[used].len);
		used++;
	}
	free(line);
	state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	for (i = 0; i < count && used && !failure; i++)
		translated += once(&seeds[chance(used)]);
	if (failure)
		printf("packet %u: %s\n", i - 1, failure);
	else
		printf("%u of %u translated\n", translated, count);
	for (i = 0; i < used; i++)
		free(seeds[i].block);
	return failure ? 1 : 0;
}
