// SPDX-License-Identifier: Apache-2.0
/*
 * siit OBJECT SEED COUNT: packets without a flow, whose addresses are near those of random mappings
 * (RFC 7757) and a prefix (RFC 6052), against what the translator makes of the addresses and the
 * core of the packet. Prints what went wrong, and how many were translated or left alone.
 */
#include <arpa/inet.h>

#include <algorithm>
#include <map>

#include "net.h"
#include "translator_stateless.h"
#include "xlat/plan.h"

using namespace sixgate;

namespace
{

constexpr uint32_t ETHER = 14, TC_REDIRECT = 7, TC_PASS = (uint32_t)-1;

::Gateway fastpath;
Stateless stateless;
std::vector<EamEntry> entries;
std::vector<Prefix4> barriers;
uint64_t state;

uint32_t chance(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

Ip6 documentation6()
{
	Ip6 ip{};
	for (uint8_t &byte : ip.bytes)
		byte = (uint8_t)chance(256);
	memcpy(ip.bytes, "\x20\x01\x0d\xb8", 4);
	return ip;
}

void cut(Ip6 &ip, uint32_t length)
{
	for (uint32_t i = 0; i < 128; i++)
		if (i >= length)
			ip.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

uint32_t near4(const Prefix4 &prefix)
{
	uint32_t mask = prefix.length < 32 ? 0xffffffffu >> prefix.length : 0;
	return prefix.address | (((uint32_t)chance(65536) << 16 | chance(65536)) & mask);
}

/* Prefixes of a few lengths inside the documentation ranges, some of them inside others. */
void choose_mappings()
{
	static const uint32_t nets[] = {0xc6336400, 0xcb007100, 0xc0000280};
	for (uint32_t i = 0; i < 24; i++) {
		uint32_t length4 = 24 + chance(9), room = 32 - length4;
		EamEntry entry;
		entry.four.length = (uint8_t)length4;
		entry.four.address = near4({nets[chance(3)], 24}) & ~((uint32_t)(1ull << room) - 1);
		entry.six.address = documentation6();
		entry.six.length = (uint8_t)(40 + chance(128 - room - 40 + 1));
		cut(entry.six.address, entry.six.length);
		bool twice =
			std::any_of(entries.begin(), entries.end(), [&](const EamEntry &other) {
				return (other.four.address == entry.four.address &&
					other.four.length == length4) ||
				       (other.six.length == entry.six.length &&
					!memcmp(other.six.address.bytes, entry.six.address.bytes,
						16));
			});
		if (!twice)
			entries.push_back(entry);
	}
}

int trie(const char *name)
{
	uint32_t active = fastpath.state->active, id = 0;
	if (bpf_map_lookup_elem(bpf_map__fd(fastpath.map(name)), &active, &id))
		die(name);
	return bpf_map_get_fd_by_id(id);
}

void put6(int fd, const Prefix6 &six, const Prefix4 &four, siit_kind kind)
{
	siit6_key key{six.length, {}};
	siit6_value value{xlat_be32(four.address), six.length, four.length, (uint8_t)kind, 0};
	memcpy(key.address, six.address.bytes, 16);
	if (bpf_map_update_elem(fd, &key, &value, BPF_ANY))
		die("siit6");
}

void put4(int fd, const Prefix4 &four, const Prefix6 &six, siit_kind kind)
{
	siit4_key key{four.length, xlat_be32(four.address)};
	siit4_value value{{}, six.length, four.length, (uint8_t)kind, 0};
	memcpy(value.ipv6, six.address.bytes, 16);
	if (bpf_map_update_elem(fd, &key, &value, BPF_ANY))
		die("siit4");
}

void configure()
{
	static const uint32_t lengths[] = {32, 40, 48, 56, 64, 96};
	gateway_config config{};
	Prefix6 prefix{};

	prefix.length = (uint8_t)lengths[chance(6)];
	inet_pton(AF_INET6, "2001:db8:122:344::", prefix.address.bytes);
	cut(prefix.address, prefix.length);
	stateless.prefix = prefix;
	choose_mappings();
	stateless.map = Eam(entries);
	config.epoch = 1;
	config.flags = GATEWAY_ON | GATEWAY_COPY_TRAFFIC_CLASS | GATEWAY_SIIT | GATEWAY_SIIT_PREFIX;
	config.lowest_ipv6_mtu = 1280;
	gateway_prefix_init(&config.siit, prefix.address.bytes, prefix.length);
	fastpath.configure(config);
	int six = trie(GW_MAP_SIIT6), four = trie(GW_MAP_SIIT4);
	put6(six, prefix, {}, SIIT_PREFIX);
	for (const EamEntry &entry : entries) {
		put6(six, entry.six, entry.four, SIIT_MAPPING);
		put4(four, entry.four, entry.six, SIIT_MAPPING);
	}
	barriers = {{0xc0000200, 30}, {0, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 3}};
	for (const Prefix4 &barrier : barriers)
		put4(four, barrier, {}, SIIT_BARRIER);
}

uint32_t some4()
{
	if (chance(4))
		return near4(entries[chance((uint32_t)entries.size())].four);
	return chance(3) ? 0xc0000200 + chance(256)
			 : near4(barriers[chance((uint32_t)barriers.size())]);
}

xlat_ip6 some6()
{
	xlat_ip6 ip{};
	uint32_t kind = chance(8);
	if (kind < 4) {
		stateless.to6(xlat_ip4_of(some4()), false, ip);
	} else if (kind < 7) {
		const EamEntry &entry = entries[chance((uint32_t)entries.size())];
		Ip6 address = documentation6(), other = entry.six.address;
		for (uint32_t i = 0; i < entry.six.length; i++) {
			uint8_t bit = (uint8_t)(0x80 >> i % 8);
			address.bytes[i / 8] = (uint8_t)((address.bytes[i / 8] & ~bit) |
							 (other.bytes[i / 8] & bit));
		}
		memcpy(ip.b, address.bytes, 16);
	} else {
		memcpy(ip.b, documentation6().bytes, 16);
	}
	return ip;
}

Bytes upper(uint8_t protocol, bool six)
{
	Bytes bytes(28 + chance(64));
	for (uint8_t &byte : bytes)
		byte = (uint8_t)chance(256);
	if (protocol == XLAT_PROTO_TCP)
		bytes[XLAT_TCP_DATA] = 0x50;
	else if (protocol == XLAT_PROTO_UDP)
		bytes[XLAT_UDP_CHECKSUM] |= 1;
	else
		bytes[0] = (uint8_t)(six ? 128 + chance(2) : chance(2) * 8), bytes[1] = 0;
	return bytes;
}

/* TCP with any flags: without a session they mean nothing. */
Bytes packet(bool six)
{
	static const uint8_t protocols[] = {XLAT_PROTO_TCP, XLAT_PROTO_UDP, XLAT_PROTO_ICMP};
	uint8_t protocol = protocols[chance(3)];
	Bytes body = upper(protocol, six), bytes(six ? XLAT_IP6_LEN : XLAT_IP4_LEN);
	uint8_t *ip = bytes.data();

	if (six) {
		xlat_ip6 source = some6(), destination = some6();
		xlat_header6 header{&source,
				    &destination,
				    (uint32_t)body.size(),
				    (uint8_t)chance(256),
				    protocol,
				    64};
		if (protocol == XLAT_PROTO_ICMP)
			header.next = XLAT_PROTO_ICMP6;
		xlat_put_header6(ip, &header);
	} else {
		xlat_header4 header{};
		header.src = xlat_ip4_of(some4());
		header.dst = xlat_ip4_of(some4());
		header.total_length = (uint32_t)(XLAT_IP4_LEN + body.size());
		header.ttl = 64;
		header.protocol = protocol;
		xlat_put_header4(ip, &header);
	}
	bytes.insert(bytes.end(), body.begin(), body.end());
	return bytes;
}

bool holds(const Prefix4 &prefix, uint32_t address)
{
	return prefix.length == 0 || (address ^ prefix.address) >> (32 - prefix.length) == 0;
}

/* Whether a barrier is the longest prefix of the address. */
bool barred(xlat_ip4 four)
{
	uint32_t address = xlat_ip4_host(four);
	int barrier = -1, mapping = -1;

	for (const Prefix4 &one : barriers)
		if (holds(one, address))
			barrier = std::max<int>(barrier, one.length);
	for (const EamEntry &one : entries)
		if (holds(one.four, address))
			mapping = std::max<int>(mapping, one.four.length);
	return barrier >= 0 && barrier >= mapping;
}

/* What the translator's own tables make of the packet; empty where it is none of the fast path's.
 */
Bytes expected(const Bytes &packet, struct be16 id)
{
	Bytes block(XLAT_HEADROOM + packet.size());
	uint8_t *p = block.data() + XLAT_HEADROOM;
	xlat_params params;
	xlat_view view;
	xlat_edit edit;
	xlat_reason why;

	memcpy(p, packet.data(), packet.size());
	if (xlat_parse(p, (uint32_t)packet.size(), &view))
		return {};
	xlat_params_init(&params);
	params.ip4_id = id;
	if (view.family == 6) {
		xlat_ip6 source = xlat_src6(p, &view), destination = xlat_dst6(p, &view);
		xlat_tuple4 to{{}, {}, view.src_port, view.dst_port, 0};
		Ip6 address;
		memcpy(address.bytes, destination.b, 16);
		if (!stateless.to4(source, to.src) || !stateless.to4(destination, to.dst))
			return {};
		bool mapped = stateless.map.holds6(address);
		bool hairpin = !mapped && stateless.map.holds4(xlat_ip4_host(to.dst));
		if (hairpin || barred(to.src) || barred(to.dst))
			return {};
		why = xlat_plan64(p, &view, &to, &to, &params, &edit);
	} else {
		xlat_ip4 source = xlat_src4(p, &view), destination = xlat_dst4(p, &view);
		xlat_tuple6 to{{}, {}, view.src_port, view.dst_port, 0};
		if (barred(source) || barred(destination))
			return {};
		if (!stateless.to6(source, true, to.src) ||
		    !stateless.to6(destination, true, to.dst))
			return {};
		why = xlat_plan46(p, &view, &to, &to, &params, &edit);
	}
	if (why)
		return {};
	p = xlat_apply(p, &edit);
	return Bytes(p, p + edit.length);
}

std::string judge(const Bytes &packet, const Bytes &frame, const Ran &ran, uint32_t redirect,
		  uint32_t pass)
{
	if (ran.verdict == pass) {
		bool wanted = !expected(packet, {0}).empty();
		if (ran.frame != frame)
			return "passed, but touched";
		return wanted ? "passed, though mapped" : "left alone";
	}
	if (ran.verdict != redirect)
		return "verdict " + std::to_string((int)ran.verdict);
	Bytes got(ran.frame.begin() + ETHER, ran.frame.end());
	return got == expected(packet, xlat_load16(got.data() + XLAT_IP4_ID)) ? "translated"
									      : "other bytes";
}

void run(std::map<std::string, uint32_t> &seen)
{
	bool six = chance(2);
	Bytes bytes = packet(six), frame(ETHER);
	frame[12] = six ? 0x86 : 8;
	frame[13] = six ? 0xdd : 0;
	frame.insert(frame.end(), bytes.begin(), bytes.end());
	std::string way = six ? "64 " : "46 ";
	seen[way + "xdp " + judge(bytes, frame, fastpath.run_xdp(frame), XDP_REDIRECT, XDP_PASS)]++;
	seen[way + "tc " + judge(bytes, frame, fastpath.run_tc(frame), TC_REDIRECT, TC_PASS)]++;
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	state = (uint64_t)atoll(argv[2]);
	Network network = make_network();
	fastpath.load(argv[1], 1 << 10);
	fastpath.allow_redirect(network.inside);
	fastpath.allow_redirect(network.outside);
	configure();
	std::map<std::string, uint32_t> seen;
	for (int i = 0; i < atoi(argv[3]); i++)
		run(seen);
	for (const auto &[what, times] : seen)
		printf("%s %u\n", what.c_str(), times);
}
