// SPDX-License-Identifier: Apache-2.0
/*
 * flows ADDRESS PORT SOURCE-PREFIX FLOWS RATE PACKETS: 64-byte datagrams of many flows at a steady rate. A flow is a
 * socket (its port) and an address of the prefix, which must be local (AnyIP). PACKETS 0 sends one of each flow in
 * order; else that many of flows chosen at random. Prints how many the kernel took.
 */
#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <netinet/in.h>
#include <random>
#include <sys/socket.h>

static constexpr unsigned BATCH = 32, SOCKETS = 64, FIRST_PORT = 20000;

static double now()
{
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

struct Message {
	iovec part;
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo))];
};

static void address_from(mmsghdr &header, Message &message, const in6_addr &prefix, unsigned host)
{
	in6_pktinfo info = {};
	info.ipi6_addr = prefix;
	host = htonl(host + 1);
	memcpy(info.ipi6_addr.s6_addr + 12, &host, sizeof(host));
	header.msg_hdr.msg_iov = &message.part;
	header.msg_hdr.msg_iovlen = 1;
	header.msg_hdr.msg_control = message.control;
	header.msg_hdr.msg_controllen = sizeof(message.control);
	cmsghdr *control = CMSG_FIRSTHDR(&header.msg_hdr);
	control->cmsg_level = IPPROTO_IPV6;
	control->cmsg_type = IPV6_PKTINFO;
	control->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(control), &info, sizeof(info));
}

int main(int argc, char **argv)
{
	in6_addr prefix;
	sockaddr_in6 to = {};
	if (argc != 7 || inet_pton(AF_INET6, argv[1], &to.sin6_addr) != 1 || inet_pton(AF_INET6, argv[3], &prefix) != 1)
		return 2;
	to.sin6_family = AF_INET6;
	to.sin6_port = htons(uint16_t(atoi(argv[2])));
	const unsigned flows = unsigned(atol(argv[4])), packets = unsigned(atol(argv[6]));
	const double rate = atof(argv[5]);

	/* the same ports in each run, for a flow must be the same flow again */
	int sockets[SOCKETS];
	uint16_t own = FIRST_PORT;
	for (int &s : sockets) {
		sockaddr_in6 any = {};
		any.sin6_family = AF_INET6;
		any.sin6_port = htons(own++);
		s = socket(AF_INET6, SOCK_DGRAM, 0);
		const int on = 1;
		setsockopt(s, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
		if (s < 0 || bind(s, reinterpret_cast<sockaddr *>(&any), sizeof(any)) < 0) {
			perror("socket");
			return 1;
		}
	}
	static char payload[64];
	static mmsghdr headers[BATCH];
	static Message messages[BATCH];
	for (unsigned i = 0; i < BATCH; i++) {
		messages[i].part = { payload, sizeof(payload) };
		headers[i].msg_hdr.msg_name = &to;
		headers[i].msg_hdr.msg_namelen = sizeof(to);
	}
	/* a batch leaves by one socket, so it is of flows of one port */
	const unsigned hosts = (flows + SOCKETS - 1) / SOCKETS;
	const unsigned total = packets ? packets : hosts * SOCKETS;
	std::mt19937 random(1);
	unsigned long long sent = 0;
	const double start = now();
	for (unsigned next = 0; next < total;) {
		if (double(next) > rate * (now() - start))
			continue;
		const unsigned port = packets ? random() % SOCKETS : next / hosts;
		unsigned count = 0;
		while (count < BATCH && next < total && (packets || next / hosts == port)) {
			address_from(headers[count], messages[count], prefix, packets ? random() % hosts : next % hosts);
			count++;
			next++;
		}
		const int n = sendmmsg(sockets[port], headers, count, 0);
		if (n < 0) {
			perror("sendmmsg");
			return 1;
		}
		sent += unsigned(n);
	}
	printf("%llu\n", sent);
	return 0;
}
