// SPDX-License-Identifier: Apache-2.0
#include "next_hop_watch.h"

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include <linux/neighbour.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sixgate {

namespace {

constexpr size_t MOST_NEIGHBOURS = 8192;
/** Shorter than the kernel's shortest time of reachability. */
constexpr int REFRESH_MS = 10'000;
constexpr unsigned GONE = NUD_FAILED | NUD_INCOMPLETE;
constexpr unsigned VALID = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

struct Neighbour {
	ndmsg header;
	std::string address, link;
};

Neighbour parse(const nlmsghdr *message)
{
	Neighbour out{};
	std::memcpy(&out.header, NLMSG_DATA(message), sizeof(out.header));
	auto *base = reinterpret_cast<const char *>(NLMSG_DATA(message)) + NLMSG_ALIGN(sizeof(ndmsg));
	auto *attribute = reinterpret_cast<const rtattr *>(base);
	int left = static_cast<int>(message->nlmsg_len) -
		   static_cast<int>(NLMSG_LENGTH(sizeof(ndmsg)));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		auto *data = static_cast<const char *>(RTA_DATA(attribute));
		if (attribute->rta_type == NDA_DST)
			out.address.assign(data, RTA_PAYLOAD(attribute));
		else if (attribute->rta_type == NDA_LLADDR)
			out.link.assign(data, RTA_PAYLOAD(attribute));
	}
	return out;
}

/** What is known of the neighbours, so that a change of state alone disturbs nobody. */
class Neighbours {
public:
	/** Whether it moved or went. */
	bool note(const nlmsghdr *message)
	{
		if (message->nlmsg_len < NLMSG_LENGTH(sizeof(ndmsg)))
			return false;
		Neighbour one = parse(message);
		if (one.header.ndm_family != AF_INET && one.header.ndm_family != AF_INET6)
			return false;
		std::string key(reinterpret_cast<const char *>(&one.header.ndm_ifindex),
				sizeof(one.header.ndm_ifindex));
		key += one.address;
		auto known = links_.find(key);
		if (message->nlmsg_type == RTM_DELNEIGH || one.header.ndm_state & GONE) {
			if (known == links_.end())
				return false;
			links_.erase(known);
			return true;
		}
		if (!(one.header.ndm_state & (VALID | NUD_PERMANENT)))
			return false;
		if (known != links_.end() && known->second == one.link)
			return false;
		bool moved = known != links_.end() || links_.size() >= MOST_NEIGHBOURS;
		if (known != links_.end() || links_.size() < MOST_NEIGHBOURS)
			links_[key] = one.link;
		return moved;
	}

private:
	std::map<std::string, std::string> links_;
};

template <typename Visit> void each(const std::vector<char> &buffer, ssize_t length, Visit visit)
{
	auto *message = reinterpret_cast<const nlmsghdr *>(buffer.data());
	for (int left = static_cast<int>(length); NLMSG_OK(message, static_cast<unsigned>(left));
	     message = NLMSG_NEXT(message, left))
		visit(message);
}

bool ask_neighbours(int fd)
{
	struct {
		nlmsghdr header;
		ndmsg body;
	} request{};
	request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.body));
	request.header.nlmsg_type = RTM_GETNEIGH;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	return send(fd, &request, request.header.nlmsg_len, 0) > 0;
}

/** The kernel verifies it as if it had sent it a packet. */
void use(int fd, const Neighbour &neighbour)
{
	struct {
		nlmsghdr header;
		ndmsg body;
		char room[64];
	} request{};
	request.header.nlmsg_type = RTM_NEWNEIGH;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_REPLACE;
	request.body = neighbour.header;
	request.body.ndm_state = NUD_NONE;
	request.body.ndm_flags = NTF_USE;
	auto *attribute = reinterpret_cast<rtattr *>(request.room);
	attribute->rta_type = NDA_DST;
	attribute->rta_len = static_cast<unsigned short>(RTA_LENGTH(neighbour.address.size()));
	std::memcpy(RTA_DATA(attribute), neighbour.address.data(), neighbour.address.size());
	request.header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(sizeof(request.body)) +
							 RTA_ALIGN(attribute->rta_len));
	[[maybe_unused]] ssize_t sent = send(fd, &request, request.header.nlmsg_len, 0);
}

/** Stale neighbours are asked for, so that one that went is noticed. */
void refresh()
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return;
	timeval patience{1, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	std::vector<Neighbour> stale;
	std::vector<char> buffer(32768);
	bool more = ask_neighbours(fd);
	while (more) {
		ssize_t length = recv(fd, buffer.data(), buffer.size(), 0);
		if (length <= 0)
			break;
		each(buffer, length, [&](const nlmsghdr *message) {
			if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
				more = false;
			else if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(ndmsg)) &&
				 stale.size() < MOST_NEIGHBOURS) {
				Neighbour one = parse(message);
				if (one.header.ndm_state & NUD_STALE && one.address.size() <= 16)
					stale.push_back(std::move(one));
			}
		});
	}
	for (const Neighbour &one : stale)
		use(fd, one);
	close(fd);
}

} // namespace

bool NextHopWatch::start(std::function<void()> routes, std::function<void()> firewall)
{
	changed_ = std::move(routes);
	firewall_ = std::move(firewall);
	socket_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	sockaddr_nl address{};
	address.nl_family = AF_NETLINK;
	address.nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
			    RTMGRP_IPV4_RULE;
	wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (socket_ < 0 || wake_ < 0 ||
	    bind(socket_, reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0) {
		stop();
		return false;
	}
	int group = RTNLGRP_IPV6_RULE;
	setsockopt(socket_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
	/* Without nf_tables there is nothing to be told. */
	firewall_socket_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	sockaddr_nl tables{};
	tables.nl_family = AF_NETLINK;
	tables.nl_groups = 1u << (NFNLGRP_NFTABLES - 1);
	if (firewall_socket_ >= 0)
		bind(firewall_socket_, reinterpret_cast<sockaddr *>(&tables), sizeof(tables));
	/* Signals belong to the thread that runs JavaScript. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	return true;
}

void NextHopWatch::run(std::stop_token stop)
{
	Neighbours neighbours;
	std::vector<char> buffer(65536);
	/* What is there already, as if it had been told. */
	ask_neighbours(socket_);
	while (!stop.stop_requested()) {
		pollfd watched[3] = {
			{socket_, POLLIN, 0}, {wake_, POLLIN, 0}, {firewall_socket_, POLLIN, 0}};
		if (poll(watched, 3, REFRESH_MS) == 0) {
			refresh();
			continue;
		}
		if (watched[2].revents) {
			while (recv(firewall_socket_, buffer.data(), buffer.size(), 0) > 0 ||
			       errno == ENOBUFS)
				continue;
			firewall_();
		}
		bool moved = false;
		for (;;) {
			ssize_t length = recv(socket_, buffer.data(), buffer.size(), 0);
			if (length < 0 && errno == ENOBUFS)
				moved = true;
			if (length <= 0)
				break;
			each(buffer, length, [&](const nlmsghdr *message) {
				bool neighbour = message->nlmsg_type == RTM_NEWNEIGH ||
						 message->nlmsg_type == RTM_DELNEIGH;
				bool ours = message->nlmsg_type < RTM_BASE;
				moved |= neighbour ? neighbours.note(message) : !ours;
			});
		}
		if (moved)
			changed_();
	}
}

void NextHopWatch::stop()
{
	if (thread_.joinable()) {
		thread_.request_stop();
		uint64_t one = 1;
		[[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
		thread_.join();
	}
	for (int *fd : {&socket_, &firewall_socket_, &wake_}) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
}

} // namespace sixgate
