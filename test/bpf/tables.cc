// SPDX-License-Identifier: Apache-2.0
/*
 * tables OBJECT: what the programs make of the tables. Prints `ok NAME`, or `not ok NAME: what`,
 * for each story; every story starts from one client with one flow either way and full tables'
 * worth of rights.
 */
#include <arpa/inet.h>

#include <functional>

#include "net.h"
#include "xlat/checksum.h"
#include "xlat/rfc6052.h"

namespace
{

constexpr uint32_t TC_REDIRECT = 7, TC_PASS = (uint32_t)-1, ETHER = 14, SLOTS = 1 << 12;

Gateway fastpath;
Network network;
std::string failure;

void expect(bool holds, const std::string &what)
{
	if (!holds && failure.empty())
		failure = what;
}

xlat_ip6 ip6(const char *text)
{
	xlat_ip6 ip{};
	inet_pton(AF_INET6, text, ip.b);
	return ip;
}

xlat_ip4 ip4(const char *text)
{
	xlat_ip4 ip{};
	inet_pton(AF_INET, text, &ip.addr.raw);
	return ip;
}

gateway_config usual()
{
	gateway_config config{};
	config.epoch = 1;
	config.flags = GATEWAY_ON | GATEWAY_COPY_TRAFFIC_CLASS;
	config.lowest_ipv6_mtu = 1280;
	config.prefixes = 1;
	gateway_prefix_init(&config.prefix[0], ip6("64:ff9b::").b, 96);
	return config;
}

/* The session that all stories are about: UDP from 2001:db8:1::5 port 4000 to 203.0.113.9 port 53.
 */
const xlat_tuple6 INSIDE{ip6("2001:db8:1::5"), ip6("64:ff9b::203.0.113.9"), xlat_be16(4000),
			 xlat_be16(53), 0};
const xlat_tuple4 OUTSIDE{ip4("198.51.100.64"), ip4("203.0.113.9"), xlat_be16(2000), xlat_be16(53),
			  0};

flow session()
{
	flow flow{};
	memcpy(flow.client, INSIDE.src.b, 16);
	flow.remote = OUTSIDE.dst.addr;
	flow.pool = OUTSIDE.src.addr;
	flow.client_port = INSIDE.src_port;
	flow.remote_port = INSIDE.dst_port;
	flow.pool_port = OUTSIDE.src_port;
	flow.protocol = XLAT_PROTO_UDP;
	flow.epoch = 1;
	flow.delta = xlat_delta64(&INSIDE, &OUTSIDE);
	return flow;
}

flow *install64(const flow &what = session())
{
	return fastpath.flows64.insert(flow_home64(fastpath.state, &what), what);
}

flow *install46()
{
	flow what = session();
	what.delta = (uint16_t)~what.delta;
	return fastpath.flows46.insert(flow_home46(fastpath.state, &what), what);
}

Bytes udp(uint16_t size)
{
	Bytes bytes(size, 0x55);
	xlat_store16(bytes.data() + XLAT_SRC_PORT, INSIDE.src_port);
	xlat_store16(bytes.data() + XLAT_DST_PORT, INSIDE.dst_port);
	xlat_store16(bytes.data() + XLAT_UDP_LENGTH, xlat_be16(size));
	return bytes;
}

Bytes frame6(uint16_t size = 100)
{
	Bytes frame(ETHER + XLAT_IP6_LEN, 0);
	uint8_t *ip = frame.data() + ETHER;
	xlat_store16(frame.data() + 12, xlat_be16(0x86dd));
	ip[0] = 0x60;
	xlat_store16(ip + XLAT_IP6_PAYLOAD, xlat_be16(size));
	ip[XLAT_IP6_NEXT] = XLAT_PROTO_UDP;
	ip[XLAT_IP6_HOP] = 64;
	memcpy(ip + XLAT_IP6_SRC, INSIDE.src.b, 16);
	memcpy(ip + XLAT_IP6_DST, INSIDE.dst.b, 16);
	Bytes upper = udp(size);
	frame.insert(frame.end(), upper.begin(), upper.end());
	return frame;
}

Bytes frame4(uint16_t size = 100, bool df = true)
{
	Bytes frame(ETHER + XLAT_IP4_LEN, 0);
	uint8_t *ip = frame.data() + ETHER;
	xlat_store16(frame.data() + 12, xlat_be16(0x0800));
	ip[0] = 0x45;
	xlat_store16(ip + XLAT_IP4_TOTAL, xlat_be16(XLAT_IP4_LEN + size));
	ip[XLAT_IP4_FRAGMENT] = df ? 0x40 : 0;
	ip[XLAT_IP4_TTL] = 64;
	ip[XLAT_IP4_PROTOCOL] = XLAT_PROTO_UDP;
	xlat_store32(ip + XLAT_IP4_SRC, OUTSIDE.dst.addr);
	xlat_store32(ip + XLAT_IP4_DST, OUTSIDE.src.addr);
	xlat_store16(ip + XLAT_IP4_CHECKSUM, xlat_full_checksum(ip, XLAT_IP4_LEN, 0));
	Bytes upper = udp(size);
	xlat_store16(upper.data() + XLAT_SRC_PORT, OUTSIDE.dst_port);
	xlat_store16(upper.data() + XLAT_DST_PORT, OUTSIDE.src_port);
	frame.insert(frame.end(), upper.begin(), upper.end());
	return frame;
}

/* Both programs translate it; or both leave it alone for one reason. */
void goes(const Bytes &frame, const std::string &when)
{
	expect(fastpath.run_xdp(frame).verdict == XDP_REDIRECT, "XDP does not translate " + when);
	expect(fastpath.run_tc(frame).verdict == TC_REDIRECT, "TC does not translate " + when);
}

void stays(const Bytes &frame, enum gw_pass why, const std::string &when)
{
	uint64_t before = fastpath.count(GW_MAP_PASSES, why);
	Ran xdp = fastpath.run_xdp(frame), tc = fastpath.run_tc(frame);
	expect(xdp.verdict == XDP_PASS && xdp.frame == frame, "XDP does not leave alone " + when);
	expect(tc.verdict == TC_PASS && tc.frame == frame, "TC does not leave alone " + when);
	uint64_t counted = fastpath.count(GW_MAP_PASSES, why) - before;
	expect(counted == 2, std::to_string(counted) + " instead of 2 counted " + when);
}

/* What only XDP can see. */
void stays_xdp(const Bytes &frame, enum gw_pass why, const std::string &when)
{
	uint64_t before = fastpath.count(GW_MAP_PASSES, why);
	Ran ran = fastpath.run_xdp(frame);
	expect(ran.verdict == XDP_PASS && ran.frame == frame, "XDP does not leave alone " + when);
	expect(fastpath.count(GW_MAP_PASSES, why) == before + 1, "not counted " + when);
}

void new_routes()
{
	fastpath.state->route_generation++;
}

struct Story {
	const char *name;
	std::function<void()> run;
};

const Story STORIES[] = {
	{"translates both directions of an installed flow",
	 [] {
		 install64(), install46();
		 goes(frame6(), "IPv6");
		 goes(frame4(), "IPv4");
	 }},
	{"passes a packet without a flow",
	 [] {
		 stays(frame6(), GW_PASS_NO_FLOW, "IPv6");
		 stays(frame4(), GW_PASS_NO_FLOW, "IPv4");
	 }},
	{"passes what is under no prefix",
	 [] {
		 Bytes frame = frame6();
		 frame[ETHER + XLAT_IP6_DST + 3] ^= 1;
		 stays(frame, GW_PASS_NOT_OURS, "another prefix");
	 }},
	{"finds a flow behind removed and foreign ones",
	 [] {
		 uint32_t home;
		 flow mine = session(), other = session();
		 home = flow_home64(fastpath.state, &mine);
		 other.remote = ip4("192.0.2.99").addr;
		 flow *first = fastpath.flows64.insert(home, other);
		 fastpath.flows64.insert(home, other);
		 fastpath.flows64.insert(home, mine);
		 Flows::remove(first);
		 goes(frame6(), "behind two slots");
	 }},
	{"does not look beyond an empty slot",
	 [] {
		 flow mine = session();
		 fastpath.flows64.insert(flow_home64(fastpath.state, &mine) + 1, mine);
		 stays(frame6(), GW_PASS_NO_FLOW, "behind an empty slot");
	 }},
	{"takes no removed or half-written flow",
	 [] {
		 flow *slot = install64();
		 Flows::remove(slot);
		 stays(frame6(), GW_PASS_NO_FLOW, "removed");
		 slot->tag = FLOW_BUSY;
		 stays(frame6(), GW_PASS_NO_FLOW, "half-written");
	 }},
	{"takes no flow of another epoch",
	 [] {
		 install64(), install46();
		 goes(frame6(), "before");
		 gateway_config config = usual();
		 config.epoch = 2;
		 fastpath.configure(config);
		 stays(frame6(), GW_PASS_NO_FLOW, "IPv6");
		 stays(frame4(), GW_PASS_NO_FLOW, "IPv4");
	 }},
	{"does nothing while it is off",
	 [] {
		 install64();
		 gateway_config config = usual();
		 config.flags = 0;
		 fastpath.configure(config);
		 Bytes frame = frame6();
		 expect(fastpath.run_xdp(frame).verdict == XDP_PASS, "XDP");
		 expect(fastpath.run_tc(frame).verdict == TC_PASS, "TC");
	 }},
	{"moves the flows it has while there is a policy chain, and nothing without a flow",
	 [] {
		 gateway_config config = usual();
		 config.policy = 1;
		 config.flags |= GATEWAY_SIIT;
		 fastpath.configure(config);
		 stays(frame6(), GW_PASS_POLICY, "IPv6 without a flow");
		 stays(frame4(), GW_PASS_POLICY, "IPv4 without a flow");
		 install64(), install46();
		 goes(frame6(), "IPv6");
		 goes(frame4(), "IPv4");
	 }},
	{"counts packets and bytes of the flow, of all flows, and when it was seen",
	 [] {
		 flow *slot = install64();
		 uint64_t before = fastpath.count(GW_MAP_TRANSLATED, GW_64);
		 goes(frame6(100), "100 bytes");
		 goes(frame6(60), "60 bytes");
		 expect(slot->packets == 4, "packets " + std::to_string(slot->packets));
		 expect(slot->bytes == 2 * (140 + 100), "bytes " + std::to_string(slot->bytes));
		 expect(fastpath.count(GW_MAP_TRANSLATED, GW_64) - before == 4, "total");
		 uint32_t age = flow_clock(coarse_ns()) - slot->last_seen;
		 expect(age < 60000, "seen " + std::to_string(age) + " ms ago");
	 }},
	{"counts the segments of a super-packet",
	 [] {
		 flow *slot = install64();
		 Ran ran = fastpath.run_tc(frame6(8 + 1000), 300);
		 expect(ran.verdict == TC_REDIRECT || ran.verdict == TC_PASS, "verdict");
		 if (ran.verdict == TC_PASS) /* the kernel changes the family of TCP only */
			 return;
		 expect(slot->packets == 4, "packets " + std::to_string(slot->packets));
		 expect(slot->bytes == 1048 + 3 * 48, "bytes " + std::to_string(slot->bytes));
	 }},
	{"remembers the next hop until the routes change",
	 [] {
		 flow *slot = install64();
		 goes(frame6(), "at first");
		 uint32_t route = slot->route;
		 expect(route >> NEXTHOP_INDEX_BITS == fastpath.state->route_generation,
			"not remembered");
		 shell("ip neigh change 192.0.2.2 lladdr 02:00:00:00:00:44 nud permanent dev "
		       "outside");
		 expect(fastpath.run_xdp(frame6()).frame[5] == 0x04, "asked again without need");
		 new_routes();
		 expect(fastpath.run_xdp(frame6()).frame[5] == 0x44, "the old neighbour");
		 expect(fastpath.run_tc(frame6()).frame[5] == 0x44, "the old neighbour by TC");
		 shell("ip neigh change 192.0.2.2 lladdr 02:00:00:00:00:04 nud permanent dev "
		       "outside");
	 }},
	{"passes without a neighbour or a route",
	 [] {
		 install64();
		 shell("ip neigh del 192.0.2.2 dev outside");
		 stays(frame6(), GW_PASS_NO_NEXTHOP, "without a neighbour");
		 shell("ip route change blackhole default");
		 stays(frame6(), GW_PASS_NO_NEXTHOP, "into a black hole");
		 shell("ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:04 nud permanent dev "
		       "outside");
		 shell("ip route replace default via 192.0.2.2 dev outside");
		 goes(frame6(), "again");
	 }},
	{"passes what the next link does not carry, by the route's MTU",
	 [] {
		 install64(), install46();
		 goes(frame6(1480), "1520 bytes that become 1500");
		 stays(frame6(1481), GW_PASS_TOO_BIG, "1521 bytes");
		 goes(frame4(1460), "1480 bytes that become 1500");
		 stays(frame4(1461), GW_PASS_TOO_BIG, "1481 bytes");
		 shell("ip route change default via 192.0.2.2 dev outside mtu lock 1400");
		 new_routes();
		 goes(frame6(1380), "1420 bytes");
		 stays(frame6(1381), GW_PASS_TOO_BIG, "1421 bytes");
		 shell("ip route change default via 192.0.2.2 dev outside");
	 }},
	{"passes what would leave in fragments (RFC 7915 4)",
	 [] {
		 install46();
		 goes(frame4(1240, false), "1260 bytes that become 1280");
		 stays(frame4(1241, false), GW_PASS_TOO_BIG, "1261 bytes");
		 gateway_config config = usual();
		 config.lowest_ipv6_mtu = 1400;
		 fastpath.configure(config);
		 goes(frame4(1360, false), "1380 bytes under lowestIpv6Mtu 1400");
		 stays(frame4(1361, false), GW_PASS_TOO_BIG, "1381 bytes");
	 }},
	{"redirects by XDP to interfaces of the devmap only",
	 [] {
		 install64();
		 bpf_map_delete_elem(fastpath.devmap, &network.outside);
		 new_routes();
		 expect(fastpath.run_xdp(frame6()).verdict == XDP_PASS, "XDP");
		 expect(fastpath.run_tc(frame6()).verdict == TC_REDIRECT, "TC");
		 fastpath.allow_redirect(network.outside);
		 new_routes();
		 goes(frame6(), "after it was added");
	 }},
	{"takes a tag off, and puts one on, for the host's own VLANs",
	 [] {
		 install64();
		 Bytes plain = frame6(), tagged = plain;
		 const uint8_t tag[] = {0x81, 0, 0x20, 7};
		 tagged.insert(tagged.begin() + 12, tag, tag + 4);
		 stays_xdp(tagged, GW_PASS_VLAN, "a foreign VLAN");
		 gateway_vlan in{1, 7}, out{network.outside, 9};
		 uint32_t device = network.inside;
		 bpf_map_update_elem(bpf_map__fd(fastpath.map(GW_MAP_VLAN_IDS)), &in, &device,
				     BPF_ANY);
		 Ran ran = fastpath.run_xdp(tagged), same = fastpath.run_xdp(plain);
		 expect(ran.verdict == XDP_REDIRECT && ran.frame.size() == same.frame.size(),
			"from a tag");
		 bpf_map_update_elem(bpf_map__fd(fastpath.map(GW_MAP_VLANS)), &network.outside,
				     &out, BPF_ANY);
		 new_routes();
		 for (const Bytes &frame : {tagged, plain}) {
			 ran = fastpath.run_xdp(frame);
			 expect(ran.verdict == XDP_REDIRECT &&
					ran.frame.size() == same.frame.size() + 4,
				"to a tag");
			 const uint8_t link[] = {0x81, 0, 0, 9, 8, 0, 0x45};
			 expect(!memcmp(ran.frame.data() + 12, link, sizeof(link)), "the tag");
		 }
		 tagged.insert(tagged.begin() + 12, tag, tag + 4);
		 stays_xdp(tagged, GW_PASS_VLAN, "a VLAN in a VLAN");
		 bpf_map_delete_elem(bpf_map__fd(fastpath.map(GW_MAP_VLANS)), &network.outside);
		 bpf_map_delete_elem(bpf_map__fd(fastpath.map(GW_MAP_VLAN_IDS)), &in);
	 }},
	{"passes a frame in several buffers",
	 [] {
		 install64();
		 stays_xdp(frame6(6000), GW_PASS_MULTI_BUFFER, "6000 bytes");
		 Bytes padded = frame6();
		 padded.resize(6000);
		 stays_xdp(padded, GW_PASS_MULTI_BUFFER, "100 bytes and a trailer");
	 }},
	{"leaves frames alone that are for another host",
	 [] {
		 install64();
		 Bytes frame = frame6();
		 fastpath.state->station[1] = 0x0500000000000002 >> 16;
		 stays_xdp(frame, GW_PASS_NOT_TO_US, "another's address");
		 memcpy(frame.data(), &fastpath.state->station[1], 6);
		 expect(fastpath.run_xdp(frame).verdict == XDP_REDIRECT, "own address");
		 fastpath.state->station[1] = 0;
		 uint64_t before = fastpath.count(GW_MAP_PASSES, GW_PASS_NOT_TO_US);
		 expect(fastpath.run_tc(frame).verdict == TC_PASS, "another's address by TC");
		 expect(fastpath.count(GW_MAP_PASSES, GW_PASS_NOT_TO_US) == before + 1,
			"not counted by TC");
	 }},
	{"clears the traffic class where it is not to be copied",
	 [] {
		 install64();
		 Bytes frame = frame6();
		 frame[ETHER] = 0x62, frame[ETHER + 1] = 0x80;
		 expect(fastpath.run_xdp(frame).frame[ETHER + 1] == 0x28, "not copied");
		 gateway_config config = usual();
		 config.flags = GATEWAY_ON;
		 fastpath.configure(config);
		 expect(fastpath.run_xdp(frame).frame[ETHER + 1] == 0, "copied by XDP");
		 expect(fastpath.run_tc(frame).frame[ETHER + 1] == 0, "copied by TC");
	 }},
};

void reset()
{
	failure.clear();
	fastpath.flows64.clear();
	fastpath.flows46.clear();
	fastpath.configure(usual());
	new_routes();
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	network = make_network();
	fastpath.load(argv[1], SLOTS);
	fastpath.allow_redirect(network.inside);
	fastpath.allow_redirect(network.outside);
	for (const Story &story : STORIES) {
		reset();
		story.run();
		printf(failure.empty() ? "ok %s\n" : "not ok %s: %s\n", story.name,
		       failure.c_str());
	}
}
