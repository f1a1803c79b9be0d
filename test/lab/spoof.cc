// SPDX-License-Identifier: Apache-2.0
/*
 * spoof KIND SOURCES DESTINATIONS PORT COUNT RATE: packets of which no two are of one flow, from all over the prefix
 * SOURCES to all over the prefix DESTINATIONS, RATE a second (0: as fast as it goes). KIND is `syn`, a TCP SYN to PORT
 * (0: to all ports in turn), or `fragment`, the middle of a UDP datagram of which nothing else is sent. Prints how
 * many were sent.
 */
#include <arpa/inet.h>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>

namespace {

constexpr unsigned BATCH = 32, PAYLOAD = 800;

struct Prefix {
	int family = 0;
	uint8_t address[16] = {};
	unsigned length = 0, size = 0;
};

struct Plan {
	bool fragment;
	Prefix sources, destinations;
	uint16_t port;
};

Prefix read_prefix(std::string text)
{
	Prefix out;
	size_t slash = text.find('/');
	std::string address = text.substr(0, slash);
	out.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
	out.size = out.family == AF_INET ? 4 : 16;
	out.length = slash == std::string::npos ? out.size * 8 : (unsigned)atoi(&text[slash + 1]);
	if (inet_pton(out.family, address.c_str(), out.address) != 1 || out.length > out.size * 8)
		exit(2);
	return out;
}

/** The address of that number, without the first and the last of an IPv4 prefix. */
void fill(const Prefix &prefix, uint64_t number, uint8_t *out)
{
	unsigned bits = prefix.size * 8 - prefix.length;
	if (prefix.family == AF_INET && bits > 1)
		number = number % ((1ull << bits) - 2) + 1;
	memcpy(out, prefix.address, prefix.size);
	for (unsigned at = prefix.size; at-- && bits; number >>= 8) {
		unsigned here = bits < 8 ? bits : 8;
		out[at] |= (uint8_t)(number & (0xff >> (8 - here)));
		bits -= here;
	}
}

uint64_t mix(uint64_t number)
{
	number = (number ^ number >> 31) * 0x9e3779b97f4a7c15;
	return (number ^ number >> 29) * 0xbf58476d1ce4e5b9 >> 8;
}

void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

uint32_t add(const uint8_t *data, size_t length)
{
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	return sum;
}

void checksum(uint8_t *tcp, const uint8_t *addresses, size_t size)
{
	uint32_t sum = add(addresses, size * 2) + IPPROTO_TCP + 20 + add(tcp, 20);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(tcp + 16, ~sum);
}

/** The IP header, or both of a fragment in IPv6; returns its length. The kernel makes IPv4's checksum. */
size_t header(const Plan &plan, uint64_t number, uint8_t *p, size_t payload)
{
	const Prefix &from = plan.sources, &to = plan.destinations;
	size_t length = from.family == AF_INET ? 20 : plan.fragment ? 48 : 40;
	memset(p, 0, length);
	if (from.family == AF_INET) {
		p[0] = 0x45;
		put16(p + 2, (uint32_t)(length + payload));
		put16(p + 4, (uint32_t)(number % 0xffff + 1));
		put16(p + 6, plan.fragment ? 0x2000 | 100 : 0);
		p[8] = 64;
		p[9] = (uint8_t)(plan.fragment ? 17 : 6);
		fill(from, number, p + 12);
		fill(to, number / 7, p + 16);
		return length;
	}
	p[0] = 0x60;
	put16(p + 4, (uint32_t)(length - 40 + payload));
	p[6] = (uint8_t)(plan.fragment ? 44 : 6);
	p[7] = 64;
	fill(from, mix(number + 1), p + 8);
	fill(to, number, p + 24);
	if (plan.fragment) {
		p[40] = IPPROTO_UDP;
		put16(p + 42, 100 << 3 | 1);
		put16(p + 44, (uint32_t)(number >> 16));
		put16(p + 46, (uint32_t)number);
	}
	return length;
}

size_t build(const Plan &plan, uint64_t number, uint8_t *p)
{
	size_t at = header(plan, number, p, plan.fragment ? PAYLOAD : 20);
	if (plan.fragment)
		return at + PAYLOAD;
	uint8_t *tcp = p + at;
	memset(tcp, 0, 20);
	/* All source ports in turn: with the source address behind it, no pair comes again soon. */
	put16(tcp, (uint32_t)(1024 + number / 251 % 64512));
	put16(tcp + 2, plan.port ? plan.port : (uint32_t)(1024 + number * 7919 % 64512));
	put16(tcp + 4, (uint32_t)number);
	tcp[12] = 5 << 4;
	tcp[13] = 2;
	put16(tcp + 14, 65535);
	size_t size = plan.sources.size;
	checksum(tcp, p + at - 2 * size, size);
	return at + 20;
}

double seconds()
{
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 7)
		return 2;
	Plan plan = { !strcmp(argv[1], "fragment"), read_prefix(argv[2]), read_prefix(argv[3]),
		      (uint16_t)atoi(argv[4]) };
	const uint64_t count = strtoull(argv[5], nullptr, 10);
	const double rate = atof(argv[6]), start = seconds();
	/* Both families: the header comes from here. */
	int s = socket(plan.sources.family, SOCK_RAW, IPPROTO_RAW);
	if (s < 0 || plan.sources.family != plan.destinations.family) {
		perror("raw socket");
		return 1;
	}
	static uint8_t packets[BATCH][48 + PAYLOAD];
	static sockaddr_storage to[BATCH];
	iovec parts[BATCH];
	mmsghdr batch[BATCH] = {};
	for (uint64_t sent = 0; sent < count;) {
		if (rate > 0 && (double)sent > rate * (seconds() - start))
			continue;
		unsigned want = count - sent < BATCH ? (unsigned)(count - sent) : BATCH;
		for (unsigned i = 0; i < want; i++) {
			parts[i] = { packets[i], build(plan, sent + i, packets[i]) };
			batch[i].msg_hdr.msg_iov = &parts[i];
			batch[i].msg_hdr.msg_iovlen = 1;
			batch[i].msg_hdr.msg_name = &to[i];
			to[i].ss_family = (sa_family_t)plan.sources.family;
			bool four = plan.sources.family == AF_INET;
			if (four)
				memcpy(&((sockaddr_in &)to[i]).sin_addr, packets[i] + 16, 4);
			else
				memcpy(&((sockaddr_in6 &)to[i]).sin6_addr, packets[i] + 24, 16);
			batch[i].msg_hdr.msg_namelen =
				four ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
		}
		int n = sendmmsg(s, batch, want, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN) {
			perror("sendmmsg");
			return 1;
		}
		sent += n > 0 ? (uint64_t)n : 0;
	}
	printf("%llu\n", (unsigned long long)count);
	return 0;
}
