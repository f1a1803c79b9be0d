// SPDX-License-Identifier: Apache-2.0
/* Questions to rtnetlink and their answers, in the network namespace of the process. */
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace sixgate {

/* A request: its fixed part, then attributes. */
class NetlinkRequest {
public:
	template <typename Body>
	NetlinkRequest(uint16_t type, uint16_t flags, const Body &body)
	{
		static_assert(sizeof(Body) <= 64);
		header().nlmsg_type = type;
		header().nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
		header().nlmsg_len = NLMSG_LENGTH(sizeof(body));
		std::memcpy(NLMSG_DATA(&header()), &body, sizeof(body));
	}
	void add(uint16_t type, const void *data, size_t length);
	void add(uint16_t type, uint32_t value) { add(type, &value, sizeof(value)); }

	nlmsghdr &header() { return *reinterpret_cast<nlmsghdr *>(bytes_); }

private:
	alignas(nlmsghdr) uint8_t bytes_[256] = {};
};

/* Visits what lies between a message's fixed part and its end; `visit` gets each attribute. */
template <typename Visit> void each_attribute(const void *first, size_t length, Visit visit)
{
	int left = static_cast<int>(length);
	for (const rtattr *one = static_cast<const rtattr *>(first); RTA_OK(one, left);
	     one = RTA_NEXT(one, left))
		visit(*one);
}

template <typename Value> Value value_of(const rtattr &attribute)
{
	Value value{};
	if (RTA_PAYLOAD(&attribute) >= sizeof(value))
		std::memcpy(&value, RTA_DATA(&attribute), sizeof(value));
	return value;
}

class Netlink {
public:
	Netlink() = default;
	Netlink(const Netlink &) = delete;
	Netlink &operator=(const Netlink &) = delete;
	~Netlink();

	/* With groups it hears what changes. */
	bool open(std::initializer_list<unsigned> groups = {});
	int fd() const { return fd_; }

	/*
	 * Sends the request and visits each message of the answer; false when there is none, when
	 * the kernel refused, or when the answer changed while it was read.
	 */
	template <typename Visit> bool ask(NetlinkRequest &request, Visit visit)
	{
		if (!send(request))
			return false;
		bool whole = true;
		for (;;) {
			ssize_t length = receive(0);
			if (length < 0)
				return false;
			for (const nlmsghdr *one = first(); NLMSG_OK(one, length);
			     one = NLMSG_NEXT(one, length)) {
				if (one->nlmsg_seq != sequence_)
					continue;
				if (one->nlmsg_type == NLMSG_ERROR)
					return false;
				whole &= !(one->nlmsg_flags & NLM_F_DUMP_INTR);
				if (one->nlmsg_type == NLMSG_DONE)
					return whole;
				visit(*one);
				if (!(one->nlmsg_flags & NLM_F_MULTI))
					return true;
			}
		}
	}

	/* Visits what changed and is waiting; false when some of it was lost. */
	template <typename Visit> bool hear(Visit visit)
	{
		for (;;) {
			ssize_t length = receive(MSG_DONTWAIT);
			if (length < 0)
				return !lost_;
			for (const nlmsghdr *one = first(); NLMSG_OK(one, length);
			     one = NLMSG_NEXT(one, length))
				visit(*one);
		}
	}

private:
	bool send(NetlinkRequest &request);
	/* Bytes received; -1 when there are none. */
	ssize_t receive(int flags);
	const nlmsghdr *first() const { return reinterpret_cast<const nlmsghdr *>(buffer_); }

	int fd_ = -1;
	uint32_t sequence_ = 0;
	bool lost_ = false;
	alignas(nlmsghdr) uint8_t buffer_[32768];
};

} // namespace sixgate
