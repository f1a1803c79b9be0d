// SPDX-License-Identifier: Apache-2.0
/*
 * run OBJECT [SEED] < commands: the commands of test/vectors/run.c, whose packets are given a flow
 *and sent through the programs; with a seed the packets are spoilt first. For each line `xdp=WHAT
 *tc=WHAT`, WHAT being same     translated, and to the bytes that the core's general way makes
 *	passed   untouched, as it was to be: not plain
 *	refused  by the kernel, for its length: not run
 *	WRONG …  anything else
 */
#include <arpa/inet.h>

#include <iostream>

#include "net.h"
#include "xlat/plan.h"
#include "xlat/rfc6052.h"

namespace
{

constexpr uint32_t MTU = 1500, ETHER = 14;

/* The prefixes of all lengths, so that each gets its share. */
const char *const PREFIXES[] = {
	"64:ff9b::/96",	     "2001:db8:64::/96",      "2001:db8::/32",	      "2001:db8:100::/40",
	"2001:db8:122::/48", "2001:db8:122:300::/56", "2001:db8:122:344::/64"};

struct Prefix {
	xlat_ip6 base;
	uint32_t length;
};

std::vector<Prefix> prefixes;
Gateway fastpath;
Network network;
gateway_config config;

bool spoils = false;
uint64_t state = 0x9e3779b97f4a7c15;

uint32_t chance(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

void configure()
{
	config.epoch = 1;
	config.flags = GATEWAY_ON | GATEWAY_COPY_TRAFFIC_CLASS;
	config.lowest_ipv6_mtu = XLAT_IP6_MIN_MTU;
	for (const char *text : PREFIXES) {
		Prefix prefix{};
		std::string address(text, strchr(text, '/'));
		inet_pton(AF_INET6, address.c_str(), prefix.base.b);
		prefix.length = (uint32_t)atoi(strchr(text, '/') + 1);
		gateway_prefix_init(&config.prefix[config.prefixes++], prefix.base.b,
				    prefix.length);
		prefixes.push_back(prefix);
	}
	fastpath.configure(config);
}

/* One packet of a command, and what is to become of it. */
struct Case {
	Bytes packet;
	bool out64 = false;
	xlat_tuple4 to4{};
	xlat_tuple6 to6{};
	xlat_view view{};
	xlat_params params{};
	uint32_t prefix = 0;
	bool parses = false;
};

std::string word(const std::string &line, const std::string &key)
{
	size_t at = line.find(" " + key + "=");
	if (at == std::string::npos)
		return "";
	at += key.size() + 2;
	return line.substr(at, line.find(' ', at) - at);
}

Bytes packet_of(const std::string &line)
{
	std::string hex = word(line, "in");
	size_t plus = hex.find('+');
	Bytes bytes;
	for (size_t i = 0; i + 1 < std::min(plus, hex.size()); i += 2)
		bytes.push_back((uint8_t)std::stoi(hex.substr(i, 2), nullptr, 16));
	if (plus != std::string::npos)
		bytes.resize(bytes.size() + (size_t)std::stoul(hex.substr(plus + 1)));
	return bytes;
}

void read_to(const std::string &line, Case &one)
{
	char src[48] = "", dst[48] = "";
	unsigned sport = 0, dport = 0;
	std::string to = word(line, "to");
	sscanf(to.c_str(), "%47[^,],%47[^,],%u,%u", src, dst, &sport, &dport);
	if (one.out64) {
		inet_pton(AF_INET, src, &one.to4.src.addr.raw);
		one.to4.src_port = xlat_be16(sport);
	} else {
		inet_pton(AF_INET6, dst, one.to6.dst.b);
		one.to6.dst_port = xlat_be16(dport);
	}
}

/* The prefix that the destination is under; one is put there where there is none. */
void choose_prefix(Case &one)
{
	uint8_t *at = one.packet.data() + XLAT_IP6_DST;
	xlat_ip6 destination = xlat_load_ip6(at);
	one.prefix = chance((uint32_t)prefixes.size());
	for (uint32_t i = 0; i < prefixes.size(); i++)
		if (prefixes[i].length == 96 &&
		    xlat_under_prefix(&destination, &prefixes[i].base, 96)) {
			one.prefix = i;
			return;
		}
	xlat_ip4 remote = xlat_ip4_of(0xc0000200 + chance(256));
	destination = xlat_embed(&prefixes[one.prefix].base, prefixes[one.prefix].length, remote);
	memcpy(at, destination.b, 16);
}

/* Lengths, types and flags lie in the first bytes; there most of the harm is done. */
void spoil(Bytes &packet)
{
	static const uint8_t telling[] = {0,  1,  4,  6,  17, 40,  43,	44,
					  58, 60, 64, 69, 96, 127, 128, 255};
	uint32_t length = (uint32_t)packet.size();

	switch (chance(4)) {
	case 0: /* a trailer, as on Ethernet */
		packet.resize(length + 1 + chance(46), (uint8_t)chance(256));
		return;
	case 1:
		packet.resize(chance(length + 1));
		return;
	default:
		for (uint32_t n = 1 + chance(3); n && length; n--)
			packet[chance(length < 60 ? length : 60)] =
				chance(2) ? telling[chance(sizeof(telling))] : (uint8_t)chance(256);
	}
	if (length < XLAT_IP4_LEN || packet[0] != 0x45 || chance(4) == 0)
		return;
	xlat_store16(packet.data() + XLAT_IP4_CHECKSUM, {0});
	xlat_store16(packet.data() + XLAT_IP4_CHECKSUM,
		     xlat_full_checksum(packet.data(), XLAT_IP4_LEN, 0));
}

/* What a session would say: the remote end is what the packet names, only our own is new. */
void complete(Case &one)
{
	const uint8_t *p = one.packet.data();
	const xlat_view &v = one.view;
	const Prefix &prefix = prefixes[one.prefix];
	bool echo = v.protocol == XLAT_PROTO_ICMP || v.protocol == XLAT_PROTO_ICMP6;

	if (one.out64) {
		xlat_ip6 destination = xlat_dst6(p, &v);
		xlat_extract(&destination, prefix.length, &one.to4.dst);
		one.to4.dst_port = echo ? one.to4.src_port : v.dst_port;
		xlat_tuple6 from{xlat_src6(p, &v), destination, v.src_port, v.dst_port, 0};
		one.to4.delta = xlat_delta64(&from, &one.to4);
	} else {
		one.to6.src = xlat_embed(&prefix.base, prefix.length, xlat_src4(p, &v));
		one.to6.src_port = echo ? one.to6.dst_port : v.src_port;
		xlat_tuple4 from{xlat_src4(p, &v), xlat_dst4(p, &v), v.src_port, v.dst_port, 0};
		one.to6.delta = xlat_delta46(&from, &one.to6);
	}
}

Case read_case(const std::string &line)
{
	Case one;
	one.packet = packet_of(line);
	one.out64 = line.starts_with("64");
	one.prefix = chance((uint32_t)prefixes.size());
	if (spoils)
		spoil(one.packet);
	read_to(line, one);
	xlat_params_init(&one.params);
	if (one.out64 && one.packet.size() >= XLAT_IP6_LEN)
		choose_prefix(one);
	one.parses = !xlat_parse(one.packet.data(), (uint32_t)one.packet.size(), &one.view) &&
		     one.view.family == (one.out64 ? 6 : 4);
	if (one.parses && one.view.has_ports)
		complete(one);
	return one;
}

flow flow_of(const Case &one)
{
	const xlat_view &v = one.view;
	bool echo = v.protocol == XLAT_PROTO_ICMP || v.protocol == XLAT_PROTO_ICMP6;
	struct be16 none = {0};
	flow flow{};

	flow.epoch = config.epoch;
	flow.protocol = echo ? (uint8_t)XLAT_PROTO_ICMP : v.protocol;
	flow.prefix = (uint8_t)one.prefix;
	if (one.out64) {
		memcpy(flow.client, one.packet.data() + XLAT_IP6_SRC, 16);
		flow.remote = one.to4.dst.addr;
		flow.pool = one.to4.src.addr;
		flow.client_port = v.src_port;
		flow.remote_port = echo ? none : v.dst_port;
		flow.pool_port = one.to4.src_port;
		flow.delta = echo ? 0 : one.to4.delta;
	} else {
		memcpy(flow.client, one.to6.dst.b, 16);
		flow.remote = xlat_src4(one.packet.data(), &v).addr;
		flow.pool = xlat_dst4(one.packet.data(), &v).addr;
		flow.client_port = one.to6.dst_port;
		flow.remote_port = echo ? none : v.src_port;
		flow.pool_port = echo ? v.src_port : v.dst_port;
		flow.delta = echo ? 0 : one.to6.delta;
	}
	return flow;
}

/* What the kernel forwards: it knows no way to the others, or they are its own. */
bool routed(const Case &one)
{
	if (!one.out64) {
		xlat_ip6 client = one.to6.dst;
		bool own = !memcmp(client.b, "\x20\x01\x0d\xb8\0\xff\0\0", 8);
		return !own && client.b[0] != 0xff && client.b[0] != 0xfe && client.b[0] != 0;
	}
	uint32_t a = xlat_ip4_host(one.to4.dst);
	return a >> 24 != 0 && a >> 24 != 127 && a < 0xe0000000 && (a & ~3u) != 0xc0000200;
}

/* Written from the definition of plain.h, by the general parser's view. */
bool plain(const Case &one)
{
	const xlat_view &v = one.view;
	uint32_t header = one.out64 ? (uint32_t)XLAT_IP4_LEN : (uint32_t)XLAT_IP6_LEN;
	uint32_t size = header + xlat_upper_length(&v);

	if (!one.parses || v.is_fragment || v.has_fragment_header || !v.has_ports)
		return false;
	if (v.l4_offset != (one.out64 ? (uint32_t)XLAT_IP6_LEN : (uint32_t)XLAT_IP4_LEN))
		return false;
	if (v.kind == XLAT_KIND_TCP && v.tcp_flags & (XLAT_TCP_SYN | XLAT_TCP_FIN | XLAT_TCP_RST))
		return false;
	if (v.kind == XLAT_KIND_UDP &&
	    !xlat_load16(one.packet.data() + v.l4_offset + XLAT_UDP_CHECKSUM).raw)
		return false;
	if (v.hop_limit <= 1 || size > MTU)
		return false;
	return one.out64 || v.df || size <= XLAT_IP6_MIN_MTU;
}

/* The core's general way, with the identification that the program chose. */
Bytes expected(const Case &one, struct be16 id)
{
	Bytes block(XLAT_HEADROOM + one.packet.size());
	uint8_t *p = block.data() + XLAT_HEADROOM;
	xlat_params params = one.params;
	xlat_edit edit;

	params.ip4_id = id;
	memcpy(p, one.packet.data(), one.packet.size());
	xlat_reason why = one.out64 ? xlat_plan64(p, &one.view, &one.to4, &one.to4, &params, &edit)
				    : xlat_plan46(p, &one.view, &one.to6, &one.to6, &params, &edit);
	if (why)
		return {};
	p = xlat_apply(p, &edit);
	return Bytes(p, p + edit.length);
}

Bytes frame_of(const Case &one)
{
	/* To the loopback device, which has received it as far as a test run goes. */
	Bytes frame = {0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2};
	frame.push_back(one.out64 ? 0x86 : 8);
	frame.push_back(one.out64 ? 0xdd : 0);
	frame.insert(frame.end(), one.packet.begin(), one.packet.end());
	return frame;
}

std::string hex(const Bytes &bytes)
{
	std::string text;
	char two[3];
	for (uint8_t byte : bytes) {
		snprintf(two, sizeof(two), "%02x", byte);
		text += two;
	}
	return text;
}

std::string judge(const Case &one, const Bytes &frame, const Ran &ran, uint32_t redirect,
		  uint32_t pass)
{
	const uint8_t *mac = one.out64 ? Network::OUTSIDE : Network::INSIDE;
	bool wanted = plain(one) && routed(one);

	if (ran.refused)
		return frame.size() < ETHER + XLAT_IP6_LEN || frame.size() > 3000 ? "refused"
										  : "WRONG refused";
	if (ran.verdict == pass) {
		if (ran.frame != frame)
			return "WRONG passed, but touched";
		return wanted ? "WRONG passed, though plain" : "passed";
	}
	if (ran.verdict != redirect)
		return "WRONG verdict " + std::to_string((int)ran.verdict);
	if (!plain(one))
		return "WRONG translated, though not plain";
	if (ran.frame.size() < ETHER + XLAT_IP4_LEN || memcmp(ran.frame.data(), mac, 6))
		return "WRONG next hop";
	if (ran.frame[12] != (one.out64 ? 8 : 0x86) || ran.frame[13] != (one.out64 ? 0 : 0xdd))
		return "WRONG type of frame";
	Bytes got(ran.frame.begin() + ETHER, ran.frame.end());
	Bytes want = expected(one, xlat_load16(got.data() + XLAT_IP4_ID));
	if (got != want)
		return "WRONG bytes " + hex(got) + " want " + hex(want);
	return "same";
}

std::string run(const std::string &line)
{
	Case one = read_case(line);
	Bytes frame = frame_of(one);
	flow *slot = nullptr;

	if (one.parses && one.view.has_ports) {
		flow flow = flow_of(one);
		slot = one.out64
			       ? fastpath.flows64.insert(flow_home64(fastpath.state, &flow), flow)
			       : fastpath.flows46.insert(flow_home46(fastpath.state, &flow), flow);
		if (!slot)
			return "WRONG no slot";
	}
	std::string answer =
		"xdp=" + judge(one, frame, fastpath.run_xdp(frame), XDP_REDIRECT, XDP_PASS);
	answer += " tc=" + judge(one, frame, fastpath.run_tc(frame), 7, (uint32_t)-1);
	if (slot)
		Flows::remove(slot);
	return answer;
}

} // namespace

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	spoils = argc > 2;
	if (spoils)
		state += (uint64_t)atoll(argv[2]);
	network = make_network();
	fastpath.load(argv[1], 1 << 12);
	fastpath.allow_redirect(network.inside);
	fastpath.allow_redirect(network.outside);
	configure();
	std::string line;
	while (std::getline(std::cin, line)) {
		std::cout << run(line) << "\n";
		if (chance(64) == 0) {
			fastpath.flows64.clear();
			fastpath.flows46.clear();
		}
	}
}
