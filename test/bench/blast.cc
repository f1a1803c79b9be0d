// SPDX-License-Identifier: Apache-2.0
/*
 * blast ADDRESS PORT BYTES RATE MILLISECONDS: datagrams at a steady rate (0: as fast as it goes) from 16 sockets,
 * in batches; prints how many the kernel took. One system call carries 32 datagrams, so that the generator is not
 * what is measured.
 */
#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/socket.h>

static constexpr int BATCH = 32, FLOWS = 16;

static uint64_t now()
{
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	sockaddr_in6 to = {};
	to.sin6_family = AF_INET6;
	to.sin6_port = htons(uint16_t(atoi(argv[2])));
	if (inet_pton(AF_INET6, argv[1], &to.sin6_addr) != 1)
		return 2;
	const size_t size = size_t(atol(argv[3]));
	const double rate = atof(argv[4]);
	const uint64_t length = uint64_t(atol(argv[5])) * 1000000u;

	int sockets[FLOWS];
	for (int &s : sockets) {
		s = socket(AF_INET6, SOCK_DGRAM, 0);
		if (s < 0 || connect(s, reinterpret_cast<sockaddr *>(&to), sizeof(to)) < 0) {
			perror("connect");
			return 1;
		}
	}
	char payload[9000] = {};
	iovec part = { payload, size < sizeof(payload) ? size : sizeof(payload) };
	mmsghdr batch[BATCH] = {};
	for (mmsghdr &m : batch) {
		m.msg_hdr.msg_iov = &part;
		m.msg_hdr.msg_iovlen = 1;
	}

	uint64_t sent = 0;
	const uint64_t start = now();
	for (unsigned turn = 0;; turn++) {
		const uint64_t elapsed = now() - start;
		if (elapsed >= length)
			break;
		/* behind the plan: send; ahead of it: look at the clock again */
		if (rate > 0 && double(sent) > rate * double(elapsed) / 1e9)
			continue;
		const int n = sendmmsg(sockets[turn % FLOWS], batch, BATCH, 0);
		if (n > 0)
			sent += uint64_t(n);
	}
	printf("%llu\n", static_cast<unsigned long long>(sent));
	return 0;
}
