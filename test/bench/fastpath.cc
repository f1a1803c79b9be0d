// SPDX-License-Identifier: Apache-2.0
/*
 *	generator → gen0 ═ gen1 → drop, gateway or kernel → inside… outside ═ outside0 → counted and
 *dropped
 *
 * fastpath GATEWAY BENCH SLOTS: one line of answer for each line of command.
 *	pps SIDE FLOWS BYTES MILLIONS	millions of packets that arrive in a second; SIDE is drop,
 *gateway or forward
 *	ns SIDE FLOWS MILLIONS		nanoseconds of a test run: gateway, empty, or move
 * Frames come from a BPF test run in live-frames mode; it, the gateway and the sink share one
 *processor.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <unistd.h>

#include <iostream>
#include <sstream>

#include "bpf/net.h"
#include "xlat/checksum.h"
#include "xlat/rfc6052.h"

namespace
{

constexpr uint32_t PORTS = 16384;

/* As in fastpath.bpf.c. */
struct bench {
	uint32_t flows, random, ifindex, reserved;
	uint64_t received;
	uint8_t headers[64];
};

Gateway fastpath;
Network network;
bpf_object *programs;
bench *shared;
uint32_t installed, gen0, gen1;

int program(const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(programs, name));
}

double seconds()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void attach(uint32_t ifindex, int fd)
{
	if (bpf_xdp_attach((int)ifindex, fd, 0, nullptr))
		die("attaching to " + std::to_string(ifindex));
}

void open_devices()
{
	shell("ip link add gen0 type veth peer name gen1 address 02:00:00:00:00:01 && ip link set "
	      "gen0 up && ip link set gen1 up");
	shell("ethtool -K gen1 gro on && sysctl -qw net.ipv6.conf.gen1.forwarding=1");
	shell("ip addr add 2001:db8:1::ffff/64 dev gen1 nodad");
	shell("ip -6 route add 2001:db8:80::/64 via 2001:db8:ff:1::2 dev outside 2>/dev/null || "
	      "(ip addr add 2001:db8:ff:1::1/64 dev outside nodad && "
	      "ip neigh add 2001:db8:ff:1::2 lladdr 02:00:00:00:00:04 nud permanent dev outside && "
	      "ip -6 route add 2001:db8:80::/64 via 2001:db8:ff:1::2 dev outside)");
	gen0 = if_nametoindex("gen0");
	gen1 = if_nametoindex("gen1");
	attach(if_nametoindex("outside0"), program("sink"));
	fastpath.allow_redirect(network.outside);
}

void configure()
{
	gateway_config config{};
	xlat_ip6 base{};
	inet_pton(AF_INET6, "64:ff9b::", base.b);
	config.epoch = 1;
	config.flags = GATEWAY_ON | GATEWAY_COPY_TRAFFIC_CLASS;
	config.lowest_ipv6_mtu = 1280;
	config.prefixes = 1;
	gateway_prefix_init(&config.prefix[0], base.b, 96);
	fastpath.configure(config);
}

void install(uint32_t flows)
{
	xlat_ip6 server{}, client{};
	inet_pton(AF_INET6, "64:ff9b::203.0.113.80", server.b);
	inet_pton(AF_INET6, "2001:db8:1::", client.b);
	for (; installed < flows; installed++) {
		xlat_store32(client.b + 12, xlat_be32(1 + installed / PORTS));
		xlat_tuple6 from{client, server, xlat_be16(1024 + installed % PORTS),
				 xlat_be16(5001), 0};
		xlat_tuple4 to{xlat_ip4_of(0xc6336440 + installed / 60000), xlat_ip4_of(0xcb007150),
			       xlat_be16(1024 + installed % 60000), xlat_be16(5001), 0};
		flow flow{};
		memcpy(flow.client, client.b, 16);
		flow.epoch = 1;
		flow.protocol = XLAT_PROTO_UDP;
		flow.remote = to.dst.addr;
		flow.pool = to.src.addr;
		flow.client_port = from.src_port;
		flow.remote_port = to.dst_port;
		flow.pool_port = to.src_port;
		flow.delta = xlat_delta64(&from, &to);
		if (!fastpath.flows64.insert(flow_home64(fastpath.state, &flow), flow))
			die("no slot for a flow");
	}
}

/* For `forward` the server has an address that the kernel routes as it is. */
void choose(const std::string &side, uint32_t flows, uint32_t bytes)
{
	uint8_t *h = shared->headers;
	memset(h, 0, sizeof(shared->headers));
	memcpy(h, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	xlat_store16(h + 12, xlat_be16(0x86dd));
	uint8_t *ip = h + 14;
	xlat_store32(ip, xlat_be32(0x60000000));
	xlat_store16(ip + XLAT_IP6_PAYLOAD, xlat_be16(bytes - 54));
	ip[XLAT_IP6_NEXT] = XLAT_PROTO_UDP;
	ip[XLAT_IP6_HOP] = 64;
	inet_pton(AF_INET6, "2001:db8:1::", ip + XLAT_IP6_SRC);
	inet_pton(AF_INET6, side == "forward" ? "2001:db8:80::80" : "64:ff9b::203.0.113.80",
		  ip + XLAT_IP6_DST);
	uint8_t *udp = ip + XLAT_IP6_LEN;
	xlat_store16(udp + XLAT_DST_PORT, xlat_be16(5001));
	xlat_store16(udp + XLAT_UDP_LENGTH, xlat_be16(bytes - 54));
	xlat_store16(udp + XLAT_UDP_CHECKSUM, xlat_be16(0x1234));
	install(side == "gateway" ? flows : 0);
	shared->flows = flows;
	shared->random = 1;
	shared->ifindex = gen0;
}

bpf_test_run_opts options(Bytes &frame, uint32_t repeat)
{
	bpf_test_run_opts options{};
	options.sz = sizeof(options);
	options.data_in = frame.data();
	options.data_size_in = (uint32_t)frame.size();
	options.repeat = (int)repeat;
	return options;
}

double pps(const std::string &side, uint32_t flows, uint32_t bytes, double millions)
{
	choose(side, flows, bytes);
	int fd = side == "drop" ? program("sink") : fastpath.xdp;
	attach(gen1, side == "forward" ? -1 : fd);
	Bytes frame(bytes);
	bpf_test_run_opts run = options(frame, (uint32_t)(millions * 1e6));
	run.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	uint64_t before = shared->received;
	double from = seconds();
	if (bpf_prog_test_run_opts(program("generate"), &run))
		die("live frames");
	double to = seconds();
	return (double)(shared->received - before) / (to - from) / 1e6;
}

double ns(const std::string &side, uint32_t flows, double millions)
{
	choose("gateway", flows, 84);
	uint32_t zero = 0;
	int fd = side == "gateway" ? fastpath.xdp : program(side == "move" ? "shorten" : "nothing");
	if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(programs, "target"), &zero, &fd,
				BPF_ANY))
		die("tail call");
	Bytes frame(84);
	/* The first round is 20 bytes longer in front than the others. */
	bpf_test_run_opts run = options(frame, (uint32_t)(millions * 1e6));
	if (bpf_prog_test_run_opts(program(side == "empty" ? "once" : "again"), &run))
		die("test run");
	return (double)run.duration;
}

void open_programs(const char *path)
{
	programs = bpf_object__open_file(path, nullptr);
	if (!programs || bpf_object__load(programs))
		die(path);
	int fd = bpf_object__find_map_fd_by_name(programs, ".data.bench");
	shared = (bench *)mmap(nullptr, sizeof(bench), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		die("mmap of the bench's data");
}

void pin_to_last()
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	network = make_network();
	fastpath.load(argv[1], (uint32_t)atoi(argv[3]));
	open_programs(argv[2]);
	open_devices();
	configure();
	pin_to_last();
	std::string line;
	while (std::getline(std::cin, line)) {
		std::istringstream words(line);
		std::string command, side;
		uint32_t flows = 0, bytes = 0;
		double millions = 0;
		words >> command >> side >> flows;
		if (command == "pps")
			words >> bytes >> millions;
		else
			words >> millions;
		std::cout << (command == "pps" ? pps(side, flows, bytes, millions)
					       : ns(side, flows, millions))
			  << std::endl;
	}
}
