// SPDX-License-Identifier: Apache-2.0
/*
 * Asks the core of the tunnels, a line each:
 *   MODE PREFIX LENGTH COMMON LENGTH LOCAL OUTER SRC DST   →   DIRECTIONS, as in "out 192.0.2.1" or a reason, and in
 *   ecn OUTER INNER                                        →   the field after, or a reason
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tunnel.h"

static struct xlat_ip4 ip4_of(const char *text)
{
	struct xlat_ip4 ip = { { 0 } };

	inet_pton(AF_INET, text, &ip.addr.raw);
	return ip;
}

static const char *name_of(enum xlat_reason why)
{
	return xlat_reason_text(why)->name;
}

static void ecn(const char *line)
{
	unsigned int outer, inner;
	uint8_t packet[XLAT_IP6_LEN] = { 0x60 };
	enum xlat_reason why;

	if (sscanf(line, "ecn %u %u", &outer, &inner) != 2)
		return;
	packet[1] = (uint8_t)(inner << 4);
	why = xlat_tunnel_ecn((uint8_t)outer, packet);
	if (why)
		printf("%s\n", name_of(why));
	else
		printf("%u\n", xlat_tunnel_class(packet));
}

int main(void)
{
	char line[512], mode[16], prefix[64], common[32], local[32], outer[32], src[64], dst[64];

	while (fgets(line, sizeof(line), stdin)) {
		struct xlat_tunnel t;
		struct xlat_tunnel_plan plan;
		uint8_t packet[XLAT_IP6_LEN] = { 0x60 };
		enum xlat_reason why;
		char text[32];

		if (!strncmp(line, "ecn", 3)) {
			ecn(line);
			continue;
		}
		memset(&t, 0, sizeof(t));
		if (sscanf(line, "%15s %63s %u %31s %u %31s %31s %63s %63s", mode, prefix,
			   &t.prefix_length, common, &t.common_length, local, outer, src,
			   dst) != 9)
			return 1;
		t.mode = !strcmp(mode, "6to4")	 ? XLAT_TUNNEL_6TO4 :
			 !strcmp(mode, "6rd")	 ? XLAT_TUNNEL_6RD :
			 !strcmp(mode, "isatap") ? XLAT_TUNNEL_ISATAP :
						   XLAT_TUNNEL_6IN4;
		inet_pton(AF_INET6, prefix, t.prefix.b);
		inet_pton(AF_INET6, src, packet + XLAT_IP6_SRC);
		inet_pton(AF_INET6, dst, packet + XLAT_IP6_DST);
		t.common = ip4_of(common);
		t.local = ip4_of(local);
		t.remote = ip4_of(outer);
		why = xlat_tunnel_encapsulate(&t, packet, &plan);
		if (!why)
			inet_ntop(AF_INET, &plan.remote.addr.raw, text, sizeof(text));
		printf("out %s", why ? name_of(why) : text);
		why = xlat_tunnel_accept(&t, ip4_of(outer), packet);
		printf(" in %s\n", name_of(why));
	}
	return 0;
}
