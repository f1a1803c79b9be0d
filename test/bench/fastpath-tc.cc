// SPDX-License-Identifier: Apache-2.0
/*
 * fastpath-tc GATEWAY INSIDE OUTSIDE CLIENT SERVER POOL FIRST COUNT PORT: attaches the TC program
 * to both interfaces of this namespace, with TCP flows from CLIENT's COUNT ports from FIRST on to
 * PORT of SERVER, and says `ready`. The gateway's object is one that opens and closes connections
 * by itself.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <unistd.h>

#include "bpf/gateway.h"
#include "xlat/checksum.h"
#include "xlat/rfc6052.h"

namespace
{

Gateway fastpath;

void attach(const char *name)
{
	bpf_tc_hook hook{};
	hook.sz = sizeof(hook);
	hook.ifindex = (int)if_nametoindex(name);
	hook.attach_point = BPF_TC_INGRESS;
	bpf_tc_opts options{};
	options.sz = sizeof(options);
	options.prog_fd = fastpath.tc;
	int error = bpf_tc_hook_create(&hook);
	if ((error && error != -EEXIST) || bpf_tc_attach(&hook, &options))
		die(name);
}

void install(const char *client, const char *server, const char *pool, uint32_t port,
	     uint32_t server_port)
{
	xlat_tuple6 six{};
	xlat_tuple4 four{};
	xlat_ip6 prefix{};
	flow flow{};

	inet_pton(AF_INET6, "64:ff9b::", prefix.b);
	inet_pton(AF_INET6, client, six.src.b);
	inet_pton(AF_INET, server, &four.dst.addr.raw);
	inet_pton(AF_INET, pool, &four.src.addr.raw);
	six.dst = xlat_embed(&prefix, 96, four.dst);
	six.src_port = four.src_port = xlat_be16(port);
	six.dst_port = four.dst_port = xlat_be16(server_port);
	memcpy(flow.client, six.src.b, 16);
	flow.remote = four.dst.addr;
	flow.pool = four.src.addr;
	flow.client_port = flow.pool_port = six.src_port;
	flow.remote_port = six.dst_port;
	flow.protocol = XLAT_PROTO_TCP;
	flow.epoch = 1;
	flow.delta = xlat_delta64(&six, &four);
	if (!fastpath.flows64.insert(flow_home64(fastpath.state, &flow), flow))
		die("flows64");
	flow.delta = (uint16_t)~flow.delta;
	if (!fastpath.flows46.insert(flow_home46(fastpath.state, &flow), flow))
		die("flows46");
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 10)
		return 2;
	gateway_config config{};
	xlat_ip6 prefix{};
	fastpath.load(argv[1], 1 << 12);
	inet_pton(AF_INET6, "64:ff9b::", prefix.b);
	config.epoch = 1;
	config.flags = GATEWAY_ON | GATEWAY_COPY_TRAFFIC_CLASS;
	config.lowest_ipv6_mtu = 1280;
	config.prefixes = 1;
	gateway_prefix_init(&config.prefix[0], prefix.b, 96);
	fastpath.configure(config);
	for (int i = 0; i < atoi(argv[8]); i++)
		install(argv[4], argv[5], argv[6], (uint32_t)(atoi(argv[7]) + i),
			(uint32_t)atoi(argv[9]));
	attach(argv[2]);
	attach(argv[3]);
	puts("ready");
	fflush(stdout);
	pause();
}
