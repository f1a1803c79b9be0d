// SPDX-License-Identifier: Apache-2.0
/* Where the programs are attached: native XDP by a link, TC by a filter on clsact. */
#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fastpath.h"

namespace sixgate {

namespace {

/** Of the filter on clsact: late, so that an operator's filters come first. */
constexpr uint32_t TC_PRIORITY = 0xc000, TC_HANDLE = 0x64;

std::string text_of(int error)
{
	return std::strerror(error < 0 ? -error : error);
}

struct bpf_tc_hook ingress_of(unsigned index)
{
	struct bpf_tc_hook hook = {};
	hook.sz = sizeof(hook);
	hook.ifindex = static_cast<int>(index);
	hook.attach_point = BPF_TC_INGRESS;
	return hook;
}

struct bpf_tc_opts filter()
{
	struct bpf_tc_opts opts = {};
	opts.sz = sizeof(opts);
	opts.handle = TC_HANDLE;
	opts.priority = TC_PRIORITY;
	return opts;
}

std::string pin_name(const char *kind, const std::string &interface)
{
	return std::string(kind) + "-" + interface;
}

} // namespace

void Fastpath::find_attached()
{
	if (!pinned())
		return;
	struct if_nameindex *all = if_nameindex();
	for (struct if_nameindex *one = all; one && one->if_index; one++) {
		if (access(pin_path(pin_name("xdp", one->if_name)).c_str(), F_OK) == 0)
			attached_[one->if_name] = Hook::XDP;
		if (access(pin_path(pin_name("tc", one->if_name)).c_str(), F_OK) == 0)
			attached_[one->if_name] = Hook::TC;
	}
	if_freenameindex(all);
}

std::string Fastpath::attach(const std::string &interface, Hook hook)
{
	unsigned index = if_nametoindex(interface.c_str());
	if (!index)
		return "there is no such interface";
	auto before = attached_.find(interface);
	if (before != attached_.end() && before->second != hook)
		detach(interface);
	std::string why = hook == Hook::XDP ? attach_xdp(interface, index)
					    : attach_tc(interface, index);
	if (!why.empty())
		return why;
	attached_[interface] = hook;
	routes_changed();
	return "";
}

void Fastpath::detach(const std::string &interface)
{
	auto at = attached_.find(interface);
	if (at == attached_.end())
		return;
	unsigned index = if_nametoindex(interface.c_str());
	if (at->second == Hook::XDP)
		detach_xdp(interface, index);
	else
		detach_tc(interface, index);
	attached_.erase(at);
	routes_changed();
}

/**
 * In promiscuous mode a card hands up frames for others. Two interfaces at one place of the table
 * are both without a check, and what is not ours is no flow of ours either.
 */
void Fastpath::set_station(const std::string &interface, unsigned index)
{
	ifreq request{};
	interface.copy(request.ifr_name, IFNAMSIZ - 1);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t station = 0;
	if (fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0)
		std::memcpy(&station, request.ifr_hwaddr.sa_data, 6);
	if (fd >= 0)
		::close(fd);
	auto [at, fresh] = stations_.emplace(index % GATEWAY_STATIONS, index);
	state_->station[index % GATEWAY_STATIONS] = fresh || at->second == index ? station : 0;
}

std::string Fastpath::attach_xdp(const std::string &interface, unsigned index)
{
	set_station(interface, index);
	int program = bpf_program__fd(bpf_object__find_program_by_name(object_, GW_PROGRAM_XDP));
	struct bpf_devmap_val target = {};
	target.ifindex = index;
	uint32_t key = index;
	std::string path = pinned() ? pin_path(pin_name("xdp", interface)) : "";
	int link = links_.contains(interface) ? links_[interface]
		   : pinned()		      ? bpf_obj_get(path.c_str())
					      : -1;
	/* In place: no packet finds the interface without a program. */
	if (link >= 0 && bpf_link_update(link, program, nullptr) == 0) {
		links_[interface] = link;
		bpf_map_update_elem(map_fd(GW_MAP_DEVMAP), &key, &target, BPF_ANY);
		return "";
	}
	/* Of an interface that went: the link is dead. */
	if (link >= 0)
		::close(link);
	links_.erase(interface);
	if (pinned())
		unlink(path.c_str());
	struct bpf_link_create_opts options = {};
	options.sz = sizeof(options);
	options.flags = XDP_FLAGS_DRV_MODE;
	link = bpf_link_create(program, static_cast<int>(index), BPF_XDP, &options);
	if (link < 0)
		return "native XDP: " + text_of(errno);
	if (pinned() && bpf_obj_pin(link, path.c_str()) != 0) {
		std::string why = path + ": " + text_of(errno);
		::close(link);
		return why;
	}
	links_[interface] = link;
	bpf_map_update_elem(map_fd(GW_MAP_DEVMAP), &key, &target, BPF_ANY);
	return "";
}

void Fastpath::detach_xdp(const std::string &interface, unsigned index)
{
	uint32_t key = index;
	bpf_map_delete_elem(map_fd(GW_MAP_DEVMAP), &key);
	if (pinned())
		unlink(pin_path(pin_name("xdp", interface)).c_str());
	auto link = links_.find(interface);
	if (link == links_.end())
		return;
	::close(link->second);
	links_.erase(link);
}

/**
 * The filter itself outlives the daemon. What is pinned says that it is ours, and whether clsact is
 * too: an operator's stays.
 */
std::string Fastpath::attach_tc(const std::string &interface, unsigned index)
{
	int program = bpf_program__fd(bpf_object__find_program_by_name(object_, GW_PROGRAM_TC));
	struct bpf_tc_hook hook = ingress_of(index);
	int error = bpf_tc_hook_create(&hook);
	if (error && error != -EEXIST)
		return "clsact: " + text_of(error);
	bool made = error == 0;
	struct bpf_tc_opts opts = filter();
	opts.prog_fd = program;
	opts.flags = BPF_TC_F_REPLACE;
	error = bpf_tc_attach(&hook, &opts);
	if (error)
		return "clsact: " + text_of(error);
	if (made)
		clsact_.insert(interface);
	if (!pinned())
		return "";
	std::string mark = pin_path(pin_name("clsact", interface));
	if (made)
		bpf_obj_pin(program, mark.c_str());
	std::string path = pin_path(pin_name("tc", interface));
	unlink(path.c_str());
	if (bpf_obj_pin(program, path.c_str()) != 0)
		return path + ": " + text_of(errno);
	return "";
}

void Fastpath::detach_tc(const std::string &interface, unsigned index)
{
	std::string mark = pinned() ? pin_path(pin_name("clsact", interface)) : "";
	bool made = clsact_.erase(interface) || (pinned() && access(mark.c_str(), F_OK) == 0);
	if (index) {
		struct bpf_tc_hook hook = ingress_of(index);
		struct bpf_tc_opts opts = filter();
		bpf_tc_detach(&hook, &opts);
		hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
		if (made)
			bpf_tc_hook_destroy(&hook);
	}
	if (!pinned())
		return;
	unlink(mark.c_str());
	unlink(pin_path(pin_name("tc", interface)).c_str());
}

} // namespace sixgate
