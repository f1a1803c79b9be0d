// SPDX-License-Identifier: Apache-2.0
/* The raw sockets of one local address. The kernel makes the IPv4 header, fragments and follows the path MTU. */
#include "tunnel.h"

#include <cerrno>
#include <cstring>

#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sixgate {
namespace {

/* Room for a burst. */
constexpr int ROOM = 4 << 20;

bool fail(TunError &why, const char *what)
{
	int error = errno;
	bool denied = error == EPERM || error == EACCES;
	why = TunError{error, denied ? "NEED_ROOT" : "",
		       std::string(what) + ": " + std::strerror(error)};
	return false;
}

bool set(int fd, int name, int value)
{
	return setsockopt(fd, IPPROTO_IP, name, &value, sizeof(value)) == 0;
}

/* What arrives is for the receiver alone. */
void deafen(int fd)
{
	sock_filter none = {BPF_RET | BPF_K, 0, 0, 0};
	sock_fprog program = {1, &none};
	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int open_bound(int type, int protocol, xlat_ip4 local, int discovery)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0)
		return -1;
	sockaddr_in self{};
	self.sin_family = AF_INET;
	self.sin_addr.s_addr = local.addr.raw;
	/* The address may come later, or be away for a moment. */
	if (set(fd, IP_FREEBIND, 1) && set(fd, IP_MTU_DISCOVER, discovery) &&
	    bind(fd, reinterpret_cast<sockaddr *>(&self), sizeof(self)) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

sockaddr_in end_of(xlat_ip4 address)
{
	sockaddr_in end{};
	end.sin_family = AF_INET;
	end.sin_addr.s_addr = address.addr.raw;
	return end;
}

} // namespace

Underlay::~Underlay()
{
	for (int fd : {receiver_, df_, fragments_, probe_})
		if (fd >= 0)
			close(fd);
}

bool Underlay::open(xlat_ip4 local, TunError &why)
{
	df_ = open_bound(SOCK_RAW, XLAT_PROTO_IPV6, local, IP_PMTUDISC_DO);
	fragments_ = open_bound(SOCK_RAW, XLAT_PROTO_IPV6, local, IP_PMTUDISC_DONT);
	if (df_ < 0 || fragments_ < 0)
		return fail(why, "a raw socket of protocol 41");
	for (int fd : {df_, fragments_}) {
		deafen(fd);
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &ROOM, sizeof(ROOM));
	}
	probe_ = open_bound(SOCK_DGRAM, 0, local, IP_PMTUDISC_DO);
	receiver_ = open_bound(SOCK_RAW, XLAT_PROTO_IPV6, local, IP_PMTUDISC_DO);
	if (probe_ < 0 || receiver_ < 0 || !set(receiver_, IP_RECVERR, 1))
		return fail(why, "a raw socket of protocol 41");
	setsockopt(receiver_, SOL_SOCKET, SO_RCVBUFFORCE, &ROOM, sizeof(ROOM));
	return true;
}

int Underlay::send(bool df, xlat_ip4 remote, uint8_t tos, uint8_t ttl, const uint8_t *packet,
		   uint32_t length) const
{
	sockaddr_in to = end_of(remote);
	iovec data = {const_cast<uint8_t *>(packet), length};
	alignas(cmsghdr) uint8_t control[2 * CMSG_SPACE(sizeof(int))] = {};
	msghdr message{};
	message.msg_name = &to;
	message.msg_namelen = sizeof(to);
	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	cmsghdr *option = CMSG_FIRSTHDR(&message);
	for (auto [type, value] : {std::pair<int, int>{IP_TTL, ttl}, {IP_TOS, tos}}) {
		option->cmsg_level = IPPROTO_IP;
		option->cmsg_type = type;
		option->cmsg_len = CMSG_LEN(sizeof(int));
		std::memcpy(CMSG_DATA(option), &value, sizeof(value));
		option = CMSG_NXTHDR(&message, option);
	}
	return sendmsg(df ? df_ : fragments_, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

uint32_t Underlay::path_mtu(xlat_ip4 remote) const
{
	sockaddr_in to = end_of(remote);
	/* Discard; nothing is sent. */
	to.sin_port = htons(9);
	int mtu = 0;
	socklen_t size = sizeof(mtu);
	if (connect(probe_, reinterpret_cast<sockaddr *>(&to), sizeof(to)) != 0 ||
	    getsockopt(probe_, IPPROTO_IP, IP_MTU, &mtu, &size) != 0)
		return 0;
	return static_cast<uint32_t>(mtu);
}

uint64_t Underlay::overflowed() const
{
	uint32_t memory[SK_MEMINFO_VARS] = {};
	socklen_t size = sizeof(memory);
	getsockopt(receiver_, SOL_SOCKET, SO_MEMINFO, memory, &size);
	return memory[SK_MEMINFO_DROPS];
}

} // namespace sixgate
