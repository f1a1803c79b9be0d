// SPDX-License-Identifier: Apache-2.0
/* Loading, taking over, pinning and attaching; what the programs are told and what they tell. */
#include "fastpath.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "translator_config.h"

namespace sixgate {

namespace {

/** Lines of the verifier that are shown. */
constexpr size_t LOG_LINES = 12;
constexpr size_t LOG_BYTES = 1 << 20;

/** Maps whose content is worth taking over; the others are made anew by each daemon. */
constexpr const char *KEPT[] = {GW_MAP_FLOWS64, GW_MAP_FLOWS46, GW_MAP_STATE};

std::string reason_of(int error)
{
	return std::strerror(error < 0 ? -error : error);
}

/** libbpf writes to stderr unless told otherwise; errors come back to the caller anyway. */
int silent(enum libbpf_print_level, const char *, va_list)
{
	return 0;
}

std::string last_lines(const std::string &text)
{
	size_t at = text.find_last_not_of('\n');
	if (at == std::string::npos)
		return "";
	std::string out = text.substr(0, at + 1);
	for (size_t lines = 0; at != std::string::npos && lines < LOG_LINES; lines++)
		at = at ? out.rfind('\n', at - 1) : std::string::npos;
	return at == std::string::npos ? out : out.substr(at + 1);
}

uint32_t slots_for(uint32_t flows)
{
	uint32_t slots = 1024;
	while (slots < flows && slots < 1u << 26)
		slots <<= 1;
	return slots;
}

bool is_bpffs(const std::string &path)
{
	struct statfs info;
	return statfs(path.c_str(), &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

/* Whether something is mounted just there. */
bool is_mount(const std::string &path)
{
	struct stat here, above;
	return stat(path.c_str(), &here) == 0 && stat((path + "/..").c_str(), &above) == 0 &&
	       here.st_dev != above.st_dev;
}

const char *code_of(int error)
{
	return error == -EPERM || error == -EACCES ? "NEED_ROOT" : "NO_BPF";
}

} // namespace

std::unique_ptr<Fastpath> Fastpath::open(const FastpathOptions &options, FastpathError &why)
{
	libbpf_set_print(silent);
	std::unique_ptr<Fastpath> fastpath(new Fastpath(options));
	fastpath->mount_pins();
	if (!fastpath->load(why) || !fastpath->map_state(why) || !fastpath->pin(why))
		return nullptr;
	fastpath->find_attached();
	Fastpath *self = fastpath.get();
	fastpath->routes_.start([self] { self->routes_changed(); },
				[self] { self->firewall_changed(); });
	return fastpath;
}

Fastpath::~Fastpath()
{
	routes_.stop();
	for (const auto &[interface, fd] : links_)
		::close(fd);
	for (int fd : {siit6_, siit4_})
		if (fd >= 0)
			::close(fd);
	if (object_)
		bpf_object__close(object_);
}

/** A container may not mount one and a router has one: then nothing is pinned, or nothing mounted. */
void Fastpath::mount_pins()
{
	std::string &pins = options_.pins;
	if (pins.empty())
		return;
	if (mkdir(pins.c_str(), 0700) != 0 && errno != EEXIST) {
		unpinned_ = pins + ": " + reason_of(errno);
		pins.clear();
		return;
	}
	if (is_bpffs(pins) ||
	    mount("bpf", pins.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
		return;
	unpinned_ = "no BPF file system at " + pins + ": " + reason_of(errno);
	rmdir(pins.c_str());
	pins.clear();
}

std::string Fastpath::pin_path(const std::string &name) const
{
	/* No dot is allowed in a BPF file system, and none is in the names of the maps but one. */
	std::string out = name == GW_MAP_STATE ? "state" : name;
	std::replace(out.begin(), out.end(), '.', '@');
	return options_.pins + "/" + out;
}

int Fastpath::map_fd(const char *name) const
{
	return bpf_object__find_map_fd_by_name(object_, name);
}

/**
 * Only if all of the kept maps are there, of the layout and the size that are wanted; the programs
 * of a predecessor go on with the old ones until they are replaced.
 */
bool Fastpath::adopt_maps()
{
	int fds[std::size(KEPT)];
	uint32_t found = 0;
	bool fit = true;
	for (const char *name : KEPT) {
		struct bpf_map *map = bpf_object__find_map_by_name(object_, name);
		int fd = bpf_obj_get(pin_path(name).c_str());
		if (fd < 0)
			break;
		fds[found++] = fd;
		struct bpf_map_info info = {};
		uint32_t size = sizeof(info);
		fit = fit && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
		      info.value_size == bpf_map__value_size(map) &&
		      info.max_entries == bpf_map__max_entries(map);
	}
	fit = fit && found == std::size(KEPT);
	if (fit) {
		MappedArray map;
		std::string error;
		fit = map.open(fds[found - 1], sizeof(struct gateway), error) &&
		      static_cast<const struct gateway *>(map.data())->layout == GATEWAY_LAYOUT;
	}
	for (uint32_t i = 0; i < found; i++) {
		if (fit)
			bpf_map__reuse_fd(bpf_object__find_map_by_name(object_, KEPT[i]), fds[i]);
		::close(fds[i]);
	}
	return fit;
}

bool Fastpath::load(FastpathError &why)
{
	object_ = bpf_object__open_file(options_.object.c_str(), nullptr);
	if (!object_) {
		why = {"NO_BPF", options_.object + ": " + reason_of(errno), ""};
		return false;
	}
	uint32_t slots = slots_for(options_.flows);
	for (const char *name : {GW_MAP_FLOWS64, GW_MAP_FLOWS46})
		bpf_map__set_max_entries(bpf_object__find_map_by_name(object_, name), slots);
	adopted_ = pinned() && adopt_maps();
	std::vector<char> log(LOG_BYTES);
	struct bpf_program *program;
	bpf_object__for_each_program(program, object_)
		bpf_program__set_log_buf(program, log.data(), log.size());
	int error = bpf_object__load(object_);
	if (error) {
		std::string lines = last_lines(log.data());
		why = {code_of(error), "the kernel refuses the programs: " + reason_of(error),
		       lines};
		return false;
	}
	bpf_object__for_each_program(program, object_)
		bpf_program__set_log_buf(program, nullptr, 0);
	return true;
}

bool Fastpath::map_state(FastpathError &why)
{
	why.code = "NO_BPF";
	if (!state_map_.open(map_fd(GW_MAP_STATE), sizeof(struct gateway), why.detail))
		return false;
	state_ = static_cast<struct gateway *>(state_map_.data());
	if (!adopted_) {
		state_->layout = GATEWAY_LAYOUT;
		state_->mask64 = state_->mask46 = slots_for(options_.flows) - 1;
		state_->route_generation = ROUTE_GENERATION_FIRST;
		for (struct gateway_config &config : state_->config)
			config.epoch = 1;
		if (getrandom(&state_->seed, sizeof(state_->seed), 0) !=
		    static_cast<ssize_t>(sizeof(state_->seed))) {
			why.detail = "no random numbers for the flow tables";
			return false;
		}
	} else {
		/* The next hops are in a map of their own, made anew. */
		routes_changed();
	}
	return flows_.open(map_fd(GW_MAP_FLOWS64), map_fd(GW_MAP_FLOWS46), state_, why.detail);
}

bool Fastpath::pin(FastpathError &why)
{
	if (!pinned() || adopted_)
		return true;
	for (const char *name : KEPT) {
		std::string path = pin_path(name);
		unlink(path.c_str());
		int error = bpf_obj_pin(map_fd(name), path.c_str());
		if (error) {
			why = {"NO_BPF", path + ": " + reason_of(errno), ""};
			return false;
		}
	}
	return true;
}

void Fastpath::configure(const TranslatorConfig &config)
{
	std::lock_guard guard(config_lock_);
	const struct gateway_config &before = state_->config[state_->active & 1];
	struct gateway_config next = {};
	flows_.account(config.accounting.clients, config.accounting.prefix_length,
		       state_->seed.key[0]);
	next.flags = GATEWAY_ON;
	if (config.copy_traffic_class)
		next.flags |= GATEWAY_COPY_TRAFFIC_CLASS;
	if (config.mss_clamp || config.mss_auto)
		next.flags |= GATEWAY_CLAMP_MSS;
	next.lowest_ipv6_mtu = config.lowest_ipv6_mtu;
	next.policy = policy_digest(config.policy);
	for (const Prefix6 &prefix : config.session.prefixes) {
		if (next.prefixes == GATEWAY_PREFIXES)
			break;
		gateway_prefix_init(&next.prefix[next.prefixes++], prefix.address.bytes,
				    prefix.length);
	}
	fill_siit(config);
	if (siit6_ >= 0) {
		next.flags |= GATEWAY_SIIT;
		if (config.stateless.prefix) {
			next.flags |= GATEWAY_SIIT_PREFIX;
			gateway_prefix_init(&next.siit, config.stateless.prefix->address.bytes,
					    config.stateless.prefix->length);
		}
	}
	bool first = !configured_;
	configured_ = true;
	next.epoch = before.epoch;
	next.least4 = before.least4;
	next.least6 = before.least6;
	/* A predecessor's flows stay as they are under the predecessor's configuration. */
	if (first && adopted_ && siit6_ < 0 && std::memcmp(&before, &next, sizeof(next)) == 0) {
		wanted_ = next;
		return;
	}
	publish(next);
}

/** Under config_lock_: what a packet reads changes with the one store at the end. */
void Fastpath::publish(struct gateway_config next)
{
	uint32_t other = 1 - (state_->active & 1);
	state_->device = if_nametoindex(options_.device.c_str());
	next.epoch = next.epoch + 1 ? next.epoch + 1 : 1;
	if (view_) {
		next.least4 = view_->four.least;
		next.least6 = view_->six.least;
	}
	wanted_ = next;
	if (siit6_ >= 0 && (bpf_map_update_elem(map_fd(GW_MAP_SIIT6), &other, &siit6_, BPF_ANY) ||
			    bpf_map_update_elem(map_fd(GW_MAP_SIIT4), &other, &siit4_, BPF_ANY)))
		next.flags &= ~uint32_t{GATEWAY_SIIT | GATEWAY_SIIT_PREFIX};
	if (followed_)
		next.flags &= ~uint32_t{GATEWAY_SIIT | GATEWAY_SIIT_PREFIX};
	if (closed_)
		next.flags &= ~uint32_t{GATEWAY_ON};
	state_->config[other] = next;
	__atomic_store_n(&state_->active, other, __ATOMIC_RELEASE);
}

void Fastpath::relearn()
{
	std::lock_guard guard(config_lock_);
	publish(wanted_);
}

/** The host's own rules are asked again for every flow; what they forbid comes to no translator. */
void Fastpath::firewall_changed()
{
	std::lock_guard guard(config_lock_);
	if (configured_)
		publish(wanted_);
}

void Fastpath::follow_packets(bool on)
{
	std::lock_guard guard(config_lock_);
	followed_ = on;
	publish(wanted_);
}

/** Where all routes of a family carry alike, a route that comes or goes changes nothing. */
void Fastpath::follow(std::shared_ptr<const RouteView> routes)
{
	auto matters = [&](const RouteSpan &before, const RouteSpan &after) {
		return after.least != before.least || after.most != before.most ||
		       after.least != after.most;
	};
	std::lock_guard guard(config_lock_);
	bool anew = !view_ || matters(view_->four, routes->four) || matters(view_->six, routes->six);
	view_ = routes;
	flows_.follow(std::move(routes));
	state_->device = if_nametoindex(options_.device.c_str());
	if (anew && configured_)
		publish(wanted_);
}

void Fastpath::routes_changed()
{
	std::lock_guard guard(routes_lock_);
	uint32_t next = state_->route_generation + 1;
	if (next > ROUTE_GENERATION_MAX || next < ROUTE_GENERATION_FIRST)
		next = ROUTE_GENERATION_FIRST;
	__atomic_store_n(&state_->route_generation, next, __ATOMIC_RELEASE);
}

FastpathCounts Fastpath::counts() const
{
	FastpathCounts out;
	out.passes.resize(GW_PASS_COUNT);
	out.drops.resize(XLAT_REASON_COUNT);
	std::vector<struct gw_count> each(static_cast<size_t>(libbpf_num_possible_cpus()));
	auto sum = [&](const char *map, uint32_t size, struct gw_count *into) {
		int fd = map_fd(map);
		for (uint32_t key = 0; key < size; key++) {
			if (bpf_map_lookup_elem(fd, &key, each.data()) != 0)
				continue;
			for (const struct gw_count &one : each) {
				into[key].packets += one.packets;
				into[key].bytes += one.bytes;
			}
		}
	};
	sum(GW_MAP_TRANSLATED, GW_DIRECTIONS, out.translated);
	sum(GW_MAP_PASSES, GW_PASS_COUNT, out.passes.data());
	sum(GW_MAP_DROPS, XLAT_REASON_COUNT, out.drops.data());
	return out;
}

void Fastpath::close(bool keep)
{
	if (closed_)
		return;
	closed_ = true;
	routes_.stop();
	if (keep && pinned())
		return;
	relearn();
	for (auto attached = attached_; const auto &[interface, hook] : attached)
		detach(interface);
	if (!pinned())
		return;
	for (const char *name : KEPT)
		unlink(pin_path(name).c_str());
	if (is_mount(options_.pins))
		umount2(options_.pins.c_str(), MNT_DETACH);
	rmdir(options_.pins.c_str());
}

} // namespace sixgate
