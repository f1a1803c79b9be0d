// SPDX-License-Identifier: Apache-2.0
#include "netlink.h"

#include <cerrno>

#include <sys/time.h>
#include <unistd.h>

namespace sixgate {
namespace {

/* Room for a burst of changes, as when a routing daemon starts. */
constexpr int RECEIVE_ROOM = 4 << 20;
/* The kernel answers at once; what never comes must not hold a thread for ever. */
constexpr timeval PATIENCE = {2, 0};

} // namespace

void NetlinkRequest::add(uint16_t type, const void *data, size_t length)
{
	size_t at = NLMSG_ALIGN(header().nlmsg_len);
	if (at + RTA_LENGTH(length) > sizeof(bytes_))
		return;
	rtattr *attribute = reinterpret_cast<rtattr *>(bytes_ + at);
	attribute->rta_type = type;
	attribute->rta_len = static_cast<unsigned short>(RTA_LENGTH(length));
	std::memcpy(RTA_DATA(attribute), data, length);
	header().nlmsg_len = static_cast<uint32_t>(at + RTA_LENGTH(length));
}

Netlink::~Netlink()
{
	if (fd_ >= 0)
		close(fd_);
}

bool Netlink::open(std::initializer_list<unsigned> groups)
{
	fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd_ < 0)
		return false;
	setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof(PATIENCE));
	if (groups.size())
		setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &RECEIVE_ROOM, sizeof(RECEIVE_ROOM));
	sockaddr_nl self{};
	self.nl_family = AF_NETLINK;
	if (bind(fd_, reinterpret_cast<sockaddr *>(&self), sizeof(self)) != 0)
		return false;
	for (unsigned group : groups)
		setsockopt(fd_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
	return true;
}

bool Netlink::send(NetlinkRequest &request)
{
	nlmsghdr &header = request.header();
	header.nlmsg_seq = ++sequence_;
	return ::send(fd_, &header, header.nlmsg_len, 0) == static_cast<ssize_t>(header.nlmsg_len);
}

ssize_t Netlink::receive(int flags)
{
	ssize_t length;
	lost_ = false;
	do {
		length = recv(fd_, buffer_, sizeof(buffer_), flags);
	} while (length < 0 && errno == EINTR);
	lost_ = length < 0 && errno == ENOBUFS;
	return length;
}

} // namespace sixgate
