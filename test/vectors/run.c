// SPDX-License-Identifier: Apache-2.0
/*
 * Runs vectors through the core: one command a line on stdin, one result a line on stdout. Packets
 * lie in heap blocks that end where the packet ends, so that the sanitizers see every byte read
 * beyond it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "fragment.h"
#include "icmp_origin.h"
#include "packet.h"
#include "plan.h"

static char *line;
static char options[512]; /* of the line, what stands before the packet */

/* The value of a key, "" when the line has none; overwritten by the fifth call after. */
static const char *word(const char *key)
{
	static char values[4][128];
	static unsigned int turn;
	char *value = values[turn++ % 4];
	char find[32];
	const char *at;
	size_t n;

	snprintf(find, sizeof(find), " %s=", key);
	at = strstr(options, find);
	value[0] = 0;
	if (!at)
		return value;
	at += strlen(find);
	n = strcspn(at, " \n");
	if (n > 127)
		n = 127;
	memcpy(value, at, n);
	value[n] = 0;
	return value;
}

static uint32_t number(const char *key, long otherwise)
{
	const char *value = word(key);

	return (uint32_t)(*value ? strtol(value, NULL, 0) : otherwise);
}

static uint32_t value(const char *key)
{
	return (uint32_t)strtoul(word(key), NULL, 0);
}

static struct xlat_ip4 ip4(const char *text)
{
	struct xlat_ip4 ip = { { 0 } };

	if (inet_pton(AF_INET, text, &ip.addr.raw) != 1) {
		fprintf(stderr, "no IPv4 address: %s\n", text);
		exit(2);
	}
	return ip;
}

static struct xlat_ip6 ip6(const char *text)
{
	struct xlat_ip6 ip;

	if (inet_pton(AF_INET6, text, ip.b) != 1) {
		fprintf(stderr, "no IPv6 address: %s\n", text);
		exit(2);
	}
	return ip;
}

static void print(const uint8_t *p, uint32_t len)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t i;

	putchar(' ');
	for (i = 0; i < len; i++) {
		putchar_unlocked(digits[p[i] >> 4]);
		putchar_unlocked(digits[p[i] & 15]);
	}
}

static void read_params(struct xlat_params *params)
{
	xlat_params_init(params);
	params->hop_adjust = (int8_t)number("hop", -1);
	params->copy_traffic_class = number("tc", 1);
	params->tos = (uint8_t)number("tos", 0);
	params->amend_udp_zero = number("amend", 0);
	params->partial_checksum = number("partial", 0);
	params->gso_size = (uint16_t)number("gso", 0);
	params->mss = (uint16_t)number("mss", 0);
	params->ip4_id = xlat_be16(number("id", 0));
	params->lowest_ipv6_mtu = number("lowest", 1280);
	params->mtu6 = number("mtu6", 0);
	params->mtu4 = number("mtu4", 0);
}

/* src,dst,sport,dport */
static void split(const char *key, char *src, char *dst, struct be16 *sport, struct be16 *dport)
{
	unsigned int s = 0, d = 0;

	sscanf(word(key), "%47[^,],%47[^,],%u,%u", src, dst, &s, &d);
	*sport = xlat_be16(s);
	*dport = xlat_be16(d);
}

static struct xlat_tuple4 tuple4(const char *key)
{
	char src[48] = "0.0.0.0", dst[48] = "0.0.0.0";
	struct xlat_tuple4 t;

	split(key, src, dst, &t.src_port, &t.dst_port);
	t.src = ip4(src);
	t.dst = ip4(dst);
	t.delta = 0;
	return t;
}

static struct xlat_tuple6 tuple6(const char *key)
{
	char src[48] = "::", dst[48] = "::";
	struct xlat_tuple6 t;

	split(key, src, dst, &t.src_port, &t.dst_port);
	t.src = ip6(src);
	t.dst = ip6(dst);
	t.delta = 0;
	return t;
}

static enum xlat_reason plan(const uint8_t *p, const struct xlat_view *v, bool way64,
			     struct xlat_edit *edit)
{
	struct xlat_tuple4 to4, inner4;
	struct xlat_tuple6 to6, inner6;
	struct xlat_params params;

	read_params(&params);
	if (way64) {
		to4 = tuple4("to");
		inner4 = tuple4("inner");
		if (v->family == 6 && number("delta", 0)) {
			struct xlat_tuple6 from = { xlat_src6(p, v), xlat_dst6(p, v), v->src_port,
						    v->dst_port, 0 };

			to4.delta = xlat_delta64(&from, &to4);
		}
		return xlat_plan64(p, v, &to4, &inner4, &params, edit);
	}
	to6 = tuple6("to");
	inner6 = tuple6("inner");
	if (v->family == 4 && number("delta", 0)) {
		struct xlat_tuple4 from = { xlat_src4(p, v), xlat_dst4(p, v), v->src_port,
					    v->dst_port, 0 };

		to6.delta = xlat_delta46(&from, &to6);
	}
	return xlat_plan46(p, v, &to6, &inner6, &params, edit);
}

static void print_fragments(const uint8_t *p, const struct xlat_edit *edit)
{
	uint32_t count = xlat_fragment_count(edit->length, edit->fragment_mtu), i;

	for (i = 0; i < count; i++) {
		struct xlat_slice slice;
		uint8_t whole[65536];

		xlat_fragment(p, edit->length, edit->fragment_mtu, i, &slice);
		memcpy(whole, slice.head, sizeof(slice.head));
		memcpy(whole + sizeof(slice.head), p + slice.offset, slice.length);
		print(whole, (uint32_t)sizeof(slice.head) + slice.length);
	}
}

static void translate(bool way64)
{
	uint32_t len;
	uint8_t *block = read_packet(line, &len), *p = block + XLAT_HEADROOM;
	uint8_t *before = (uint8_t *)malloc(XLAT_HEADROOM + len);
	struct xlat_view v;
	struct xlat_edit edit;
	enum xlat_reason why = xlat_parse(p, len, &v);

	memcpy(before, block, XLAT_HEADROOM + len);
	if (!why)
		why = plan(p, &v, way64, &edit);
	if (memcmp(before, block, XLAT_HEADROOM + len))
		printf("a plan touched the packet; ");
	if (why) {
		printf("drop %s\n", xlat_reason_text(why)->name);
	} else {
		p = xlat_apply(p, &edit);
		printf("out");
		if (edit.fragment_mtu)
			print_fragments(p, &edit);
		else
			print(p, edit.length);
		printf(edit.checksum_complete ? " complete=1\n" : "\n");
	}
	free(before);
	free(block);
}

static void parse(void)
{
	uint32_t len;
	uint8_t *block = read_packet(line, &len);
	struct xlat_view v;
	enum xlat_reason why = xlat_parse(block + XLAT_HEADROOM, len, &v);

	printf("%s %s pointer=%u kind=%u\n", why ? "drop" : "out", xlat_reason_text(why)->name,
	       why == XLAT_ROUTING_HEADER ? v.pointer : 0, v.kind);
	free(block);
}

static void answer(bool six)
{
	uint32_t len, out_len = 0;
	uint8_t *block = read_packet(line, &len), *p = block + XLAT_HEADROOM;
	uint8_t *out = (uint8_t *)malloc(XLAT_ANSWER_MAX);
	struct xlat_icmp error = { (uint8_t)number("type", 0), (uint8_t)number("code", 0),
				   value("data") };
	enum xlat_reason why;
	struct xlat_ip6 source;
	struct xlat_view v;

	why = xlat_parse(p, len, &v);
	if (why == XLAT_ROUTING_HEADER || why == XLAT_SOURCE_ROUTE)
		why = XLAT_OK; /* complete enough to be answered */
	if (!why && v.family != (six ? 6 : 4))
		why = XLAT_BAD_VERSION;
	if (!why && six) {
		source = ip6(word("source"));
		why = xlat_answer6(p, &v, &error, &source, out, &out_len);
	} else if (!why) {
		why = xlat_answer4(p, &v, &error, ip4(word("source")), xlat_be16(number("id", 0)),
				   out, &out_len);
	}
	printf(why ? "drop %s" : "out", xlat_reason_text(why)->name);
	if (!why)
		print(out, out_len);
	putchar('\n');
	free(out);
	free(block);
}

static void probe(void)
{
	struct xlat_tuple6 flow = { ip6(word("src")), ip6(word("dst")),
				    xlat_be16(number("sport", 0)), xlat_be16(number("dport", 0)),
				    0 };
	uint8_t out[60];

	printf("out");
	print(out, xlat_tcp_probe6(&flow, out));
	putchar('\n');
}

static void origin(void)
{
	uint32_t len;
	uint8_t *block = read_packet(line, &len);
	uint8_t *out = (uint8_t *)malloc(len < XLAT_IP4_ERROR_MAX ? XLAT_IP4_ERROR_MAX : len);
	struct xlat_ip6 sender = ip6(word("ip6"));

	memcpy(out, block + XLAT_HEADROOM, len);
	len = xlat_add_origin(out, len, &sender);
	printf("out");
	print(out, len);
	putchar('\n');
	free(out);
	free(block);
}

static void address(const char *command)
{
	uint32_t length = number("length", 96);
	char text[INET6_ADDRSTRLEN];
	struct xlat_ip6 six;
	struct xlat_ip4 four;

	if (!strcmp(command, "embed")) {
		six = ip6(word("prefix"));
		six = xlat_embed(&six, length, ip4(word("ip4")));
		printf("is %s\n", inet_ntop(AF_INET6, six.b, text, sizeof(text)));
	} else if (!strcmp(command, "extract")) {
		six = ip6(word("ip6"));
		if (xlat_extract(&six, length, &four))
			printf("is %s\n", inet_ntop(AF_INET, &four.addr.raw, text, sizeof(text)));
		else
			printf("is none\n");
	} else if (!strcmp(command, "check4")) {
		four = ip4(word("ip4"));
		printf("is illegal=%d nonglobal=%d\n", xlat_is_illegal4(four),
		       xlat_is_non_global4(four));
	} else if (!strcmp(command, "broadcast")) {
		four = ip4(word("ip4"));
		printf("is %d\n", xlat_is_subnet_broadcast4(four, ip4(word("subnet")), length));
	} else {
		six = ip6(word("ip6"));
		printf("is illegal=%d wellknown=%d\n", xlat_is_illegal6(&six),
		       xlat_is_well_known(&six));
	}
}

int main(void)
{
	size_t room = 0;
	char command[16];

	while (getline(&line, &room, stdin) > 0) {
		const char *packet = strstr(line, " in=");
		int length = packet ? (int)(packet - line) : (int)strcspn(line, "\n");

		snprintf(options, sizeof(options), "%.*s", length, line);
		sscanf(options, "%15s", command);
		if (!strcmp(command, "64") || !strcmp(command, "46"))
			translate(command[0] == '6');
		else if (!strcmp(command, "parse"))
			parse();
		else if (!strncmp(command, "answer", 6))
			answer(command[6] == '6');
		else if (!strcmp(command, "probe"))
			probe();
		else if (!strcmp(command, "origin"))
			origin();
		else
			address(command);
	}
	free(line);
	return 0;
}
