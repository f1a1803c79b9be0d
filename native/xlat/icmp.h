/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What an ICMP error becomes in the other family: type, code, pointer and MTU (RFC 7915 4.2
 * and 5.2).
 */
#ifndef XLAT_ICMP_H
#define XLAT_ICMP_H

#include "params.h"
#include "reason.h"
#include "types.h"
#include "wire.h"

/*
 * The first eight bytes without the checksum; data is bytes 4 to 7, host order, without RFC 4884's
 * length.
 */
struct xlat_icmp {
	uint8_t type, code;
	uint32_t data;
};

#define XLAT_NO_POINTER 0xff

XLAT_FN void xlat_icmp_set(struct xlat_icmp *icmp, uint8_t type, uint8_t code, uint32_t data)
{
	icmp->type = type;
	icmp->code = code;
	icmp->data = data;
}

/* RFC 7915 figure 3: a byte of the IPv4 header to the byte of IPv6 that took its place. */
XLAT_FN uint32_t xlat_pointer46(uint32_t pointer)
{
	if (pointer >= 16)
		return pointer < 20 ? 24 : XLAT_NO_POINTER;
	if (pointer >= 12)
		return 8;
	switch (pointer) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
	case 3:
		return 4;
	case 8:
		return 7;
	case 9:
		return 6;
	default:
		return XLAT_NO_POINTER;
	}
}

/* RFC 7915 figure 6. */
XLAT_FN uint32_t xlat_pointer64(uint32_t pointer)
{
	if (pointer >= 24)
		return pointer < 40 ? 16 : XLAT_NO_POINTER;
	if (pointer >= 8)
		return 12;
	switch (pointer) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 4:
	case 5:
		return 2;
	case 6:
		return 9;
	case 7:
		return 8;
	default:
		return XLAT_NO_POINTER;
	}
}

XLAT_FN uint32_t xlat_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/*
 * RFC 1191 7.1, those of at least 1280: the greatest below the length of the packet that did not
 * fit, or 0.
 */
XLAT_FN uint32_t xlat_plateau(uint32_t total_length)
{
	if (total_length > 32000)
		return 32000;
	if (total_length > 17914)
		return 17914;
	if (total_length > 8166)
		return 8166;
	if (total_length > 4352)
		return 4352;
	if (total_length > 2002)
		return 2002;
	return total_length > 1492 ? 1492 : 0;
}

/* The MTU for an IPv6 sender; mtu 0 comes from a router older than RFC 1191. */
XLAT_FN uint32_t xlat_mtu46(uint32_t mtu, uint32_t total_length, const struct xlat_params *params)
{
	if (!mtu)
		mtu = xlat_plateau(total_length);
	mtu += XLAT_IP6_LEN - XLAT_IP4_LEN;
	if (params->mtu6)
		mtu = xlat_min(mtu, params->mtu6);
	if (params->mtu4)
		mtu = xlat_min(mtu, params->mtu4 + XLAT_IP6_LEN - XLAT_IP4_LEN);
	return mtu < XLAT_IP6_MIN_MTU ? (uint32_t)XLAT_IP6_MIN_MTU : mtu;
}

/*
 * The MTU for an IPv4 sender; a Fragment header in the packet that did not fit has no place in IPv4
 * (5.2).
 */
XLAT_FN uint32_t xlat_mtu64(uint32_t mtu, bool fragment_header, const struct xlat_params *params)
{
	uint32_t shrink =
		XLAT_IP6_LEN - XLAT_IP4_LEN + (fragment_header ? (uint32_t)XLAT_FRAGMENT_LEN : 0);

	mtu = mtu > shrink ? mtu - shrink : 0;
	if (params->mtu4)
		mtu = xlat_min(mtu, params->mtu4);
	if (params->mtu6)
		mtu = xlat_min(mtu, params->mtu6 - (XLAT_IP6_LEN - XLAT_IP4_LEN));
	mtu = xlat_min(mtu, XLAT_IP4_MAX);
	return mtu < XLAT_IP4_MIN_MTU ? (uint32_t)XLAT_IP4_MIN_MTU : mtu;
}

/* ICMPv4 Destination Unreachable but for Fragmentation Needed (RFC 7915 4.2). */
XLAT_FN enum xlat_reason xlat_unreachable46(uint8_t code, struct xlat_icmp *out)
{
	switch (code) {
	case 2: /* protocol: the Next Header field is not understood */
		xlat_icmp_set(out, XLAT_ICMP6_PARAMETER, 1, XLAT_IP6_NEXT);
		return XLAT_OK;
	case 3: /* port */
		xlat_icmp_set(out, XLAT_ICMP6_UNREACHABLE, 4, 0);
		return XLAT_OK;
	case 0: /* net, host, source route, unknown net or host, isolated, for this TOS */
	case 1:
	case 5:
	case 6:
	case 7:
	case 8:
	case 11:
	case 12:
		xlat_icmp_set(out, XLAT_ICMP6_UNREACHABLE, 0, 0);
		return XLAT_OK;
	case 9: /* administratively prohibited, precedence cut-off */
	case 10:
	case 13:
	case 15:
		xlat_icmp_set(out, XLAT_ICMP6_UNREACHABLE, 1, 0);
		return XLAT_OK;
	default: /* 14, host precedence violation, and unknown codes */
		return XLAT_ICMP_UNTRANSLATABLE;
	}
}

/* An ICMPv4 error; total_length is the inner packet's. */
XLAT_FN enum xlat_reason xlat_icmp46(const struct xlat_icmp *in, uint32_t total_length,
				     const struct xlat_params *params, struct xlat_icmp *out)
{
	uint32_t pointer;

	switch (in->type) {
	case XLAT_ICMP4_UNREACHABLE:
		if (in->code != 4)
			return xlat_unreachable46(in->code, out);
		xlat_icmp_set(out, XLAT_ICMP6_TOO_BIG, 0,
			      xlat_mtu46(in->data & 0xffff, total_length, params));
		return XLAT_OK;
	case XLAT_ICMP4_TIME_EXCEEDED:
		xlat_icmp_set(out, XLAT_ICMP6_TIME_EXCEEDED, in->code, 0);
		return XLAT_OK;
	case XLAT_ICMP4_PARAMETER: /* code 1 is about an option, which was not translated */
		pointer = xlat_pointer46(in->data >> 24);
		if ((in->code != 0 && in->code != 2) || pointer == XLAT_NO_POINTER)
			return XLAT_ICMP_UNTRANSLATABLE;
		xlat_icmp_set(out, XLAT_ICMP6_PARAMETER, 0, pointer);
		return XLAT_OK;
	default: /* Source Quench, Redirect */
		return XLAT_ICMP_UNTRANSLATABLE;
	}
}

/* ICMPv6 Destination Unreachable (RFC 7915 5.2). */
XLAT_FN enum xlat_reason xlat_unreachable64(uint8_t code, struct xlat_icmp *out)
{
	switch (code) {
	case 0: /* no route, beyond scope, address */
	case 2:
	case 3:
		xlat_icmp_set(out, XLAT_ICMP4_UNREACHABLE, 1, 0);
		return XLAT_OK;
	case 1: /* administratively prohibited */
		xlat_icmp_set(out, XLAT_ICMP4_UNREACHABLE, 10, 0);
		return XLAT_OK;
	case 4: /* port */
		xlat_icmp_set(out, XLAT_ICMP4_UNREACHABLE, 3, 0);
		return XLAT_OK;
	default:
		return XLAT_ICMP_UNTRANSLATABLE;
	}
}

/* An ICMPv6 error; fragment_header is the inner packet's. */
XLAT_FN enum xlat_reason xlat_icmp64(const struct xlat_icmp *in, bool fragment_header,
				     const struct xlat_params *params, struct xlat_icmp *out)
{
	uint32_t pointer;

	switch (in->type) {
	case XLAT_ICMP6_UNREACHABLE:
		return xlat_unreachable64(in->code, out);
	case XLAT_ICMP6_TOO_BIG:
		xlat_icmp_set(out, XLAT_ICMP4_UNREACHABLE, 4,
			      xlat_mtu64(in->data, fragment_header, params));
		return XLAT_OK;
	case XLAT_ICMP6_TIME_EXCEEDED:
		xlat_icmp_set(out, XLAT_ICMP4_TIME_EXCEEDED, in->code, 0);
		return XLAT_OK;
	case XLAT_ICMP6_PARAMETER:
		if (in->code == 1) { /* unrecognised next header */
			xlat_icmp_set(out, XLAT_ICMP4_UNREACHABLE, 2, 0);
			return XLAT_OK;
		}
		pointer = xlat_pointer64(in->data);
		if (in->code || pointer == XLAT_NO_POINTER)
			return XLAT_ICMP_UNTRANSLATABLE;
		xlat_icmp_set(out, XLAT_ICMP4_PARAMETER, 0, pointer << 24);
		return XLAT_OK;
	default:
		return XLAT_ICMP_UNTRANSLATABLE;
	}
}

XLAT_FN void xlat_put_icmp(uint8_t *to, const struct xlat_icmp *icmp)
{
	struct be16 none = { 0 };

	to[XLAT_ICMP_TYPE] = icmp->type;
	to[XLAT_ICMP_CODE] = icmp->code;
	xlat_store16(to + XLAT_ICMP_CHECKSUM, none);
	xlat_store32(to + XLAT_ICMP_DATA, xlat_be32(icmp->data));
}

#endif
