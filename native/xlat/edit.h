/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * A translation as data: what to take off the front of the packet, what to put there, which words
 * behind it to replace. A plan makes it, a host applies it the way its packets are stored.
 */
#ifndef XLAT_EDIT_H
#define XLAT_EDIT_H

#include "checksum.h"
#include "types.h"

/* Bytes that must be free in front of a packet that is translated in place. */
#define XLAT_HEADROOM 64
/* IPv6 header, ICMPv6 header, inner IPv6 header with its Fragment header. */
#define XLAT_FRONT_MAX 96
#define XLAT_PATCH_MAX 4
/*
 * More than RFC 4884 lets an original datagram have in 1280 bytes: bounds the loops of
 * xlat_splice().
 */
#define XLAT_KEEP_MAX 1280

struct xlat_patch {
	uint16_t at; /* offset in the finished packet */
	struct be16 value;
};

/*
 * The finished packet is front, then the old packet from byte `strip` on. When `cut` or `pad` is
 * not 0 (ICMP errors with extensions, RFC 4884) the first `keep` of those bytes stay, the next
 * `cut` go, `pad` zeros come in their place.
 */
struct xlat_edit {
	uint32_t strip;
	uint32_t length;       /* of the finished packet */
	uint32_t l4_offset;    /* in the finished packet */
	uint32_t fragment_mtu; /* not 0: to be sent as fragments of this size, by fragment.h */
	uint32_t keep, cut, pad;
	uint64_t change;	/* while planning: what the patches add to a checksum around them */
	bool checksum_complete; /* a partial checksum was completed: clear NEEDS_CSUM */
	uint8_t front_length;
	uint8_t patches;
	struct xlat_patch patch[XLAT_PATCH_MAX];
	uint8_t front[XLAT_FRONT_MAX] __attribute__((aligned(8)));
};

XLAT_FN void xlat_edit_init(struct xlat_edit *edit)
{
	__builtin_memset(edit, 0, offsetof(struct xlat_edit, patch));
}

XLAT_FN void xlat_patch_word(struct xlat_edit *edit, uint32_t at, struct be16 old,
			     struct be16 value)
{
	struct xlat_patch *patch = &edit->patch[edit->patches & (XLAT_PATCH_MAX - 1)];

	patch->at = (uint16_t)at;
	patch->value = value;
	edit->patches++;
	edit->change += xlat_minus16(old) + value.raw;
}

XLAT_FN void xlat_copy_front(uint8_t *to, const struct xlat_edit *edit)
{
	uint32_t i;

	/* Constant sizes become a few moves. */
	if (XLAT_LIKELY(edit->front_length == 40)) {
		__builtin_memcpy(to, edit->front, 40);
		return;
	}
	if (XLAT_LIKELY(edit->front_length == 20)) {
		__builtin_memcpy(to, edit->front, 20);
		return;
	}
	for (i = 0; i < XLAT_FRONT_MAX && i < edit->front_length; i += 4)
		__builtin_memcpy(to + i, edit->front + i, 4);
}

/* Moves `keep` bytes over `cut` and fills `pad`, so that what follows them need not move. */
XLAT_FN void xlat_splice(uint8_t *rest, const struct xlat_edit *edit)
{
	uint32_t i;

	if (edit->cut >= edit->pad) {
		uint32_t by = edit->cut - edit->pad;

		for (i = edit->keep < XLAT_KEEP_MAX ? edit->keep : XLAT_KEEP_MAX; by && i > 0; i--)
			rest[i - 1 + by] = rest[i - 1];
		rest += by;
	} else {
		uint32_t by = edit->pad - edit->cut;

		for (i = 0; i < XLAT_KEEP_MAX && i < edit->keep; i++)
			*(rest - by + i) = rest[i];
		rest -= by;
	}
	for (i = 0; i < XLAT_KEEP_MAX && i < edit->pad; i++)
		rest[edit->keep + i] = 0;
}

/*
 * Applies the edit to a packet in one piece with XLAT_HEADROOM free bytes before it. Cannot fail;
 * returns where the finished packet starts, which is edit->length long.
 */
XLAT_FN uint8_t *xlat_apply(uint8_t *packet, const struct xlat_edit *edit)
{
	uint8_t *rest = packet + edit->strip;
	uint8_t *start;
	uint32_t i;

	if (XLAT_UNLIKELY(edit->cut | edit->pad)) {
		xlat_splice(rest, edit);
		rest += (int32_t)(edit->cut - edit->pad);
	}
	start = rest - edit->front_length;
	xlat_copy_front(start, edit);
	for (i = 0; i < XLAT_PATCH_MAX && i < edit->patches; i++)
		xlat_store16(start + edit->patch[i].at, edit->patch[i].value);
	return start;
}

#endif
