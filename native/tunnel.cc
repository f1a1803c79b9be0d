// SPDX-License-Identifier: Apache-2.0
/* Life of the tunnels: devices, sockets, the thread, and changes while packets flow. */
#include "tunnel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace sixgate {
namespace {

/* The largest IPv4 packet with its header, and the header of the TUN device. */
constexpr size_t BUFFER = 65536 + 64;

} // namespace

/* Changes wait for the packets in hand, and no packet starts while one waits. */
class Tunnels::Pause {
public:
	explicit Pause(Tunnels &tunnels) : tunnels_(tunnels)
	{
		tunnels_.waiting_.fetch_add(1);
		tunnels_.lock_.lock();
	}
	~Pause()
	{
		tunnels_.lock_.unlock();
		tunnels_.waiting_.fetch_sub(1);
		tunnels_.wake();
	}

private:
	Tunnels &tunnels_;
};

std::unique_ptr<Tunnels> Tunnels::open(TunError &why)
{
	std::unique_ptr<Tunnels> tunnels(new Tunnels());
	if (tunnels->start(why))
		return tunnels;
	return nullptr;
}

bool Tunnels::start(TunError &why)
{
	wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_ < 0) {
		why = TunError{errno, "", std::string("eventfd: ") + std::strerror(errno)};
		return false;
	}
	buffer_ = std::make_unique<uint8_t[]>(BUFFER);
	/* Signals belong to the thread that runs JavaScript. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
	pthread_setname_np(thread_.native_handle(), "sixgate-tunnel");
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	return true;
}

void Tunnels::wake()
{
	uint64_t one = 1;
	[[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
}

bool Tunnels::open_device(const std::string &name, TunError &why)
{
	auto found = devices_.find(name);
	if (found != devices_.end() && if_nametoindex(name.c_str()))
		return true;
	if (found == devices_.end()) {
		auto fresh = std::make_unique<TunnelDevice>();
		if (!fresh->tun.open({name, 1, false}, why))
			return false;
		devices_.emplace(name, std::move(fresh));
		return true;
	}
	Pause pause(*this);
	TunnelDevice &device = *found->second;
	device.tun.close(true);
	if (!device.tun.open({name, 1, false}, why))
		return false;
	device.gone = false;
	generation_++;
	return true;
}

bool Tunnels::configure(const TunnelsConfig &config, TunError &why)
{
	std::map<uint32_t, std::unique_ptr<Underlay>> fresh;
	for (const TunnelConfig &one : config.tunnels) {
		uint32_t key = one.core.local.addr.raw;
		if (underlays_.contains(key) || fresh.contains(key))
			continue;
		auto underlay = std::make_unique<Underlay>();
		if (!underlay->open(one.core.local, why))
			return false;
		fresh.emplace(key, std::move(underlay));
	}
	Pause pause(*this);
	underlays_.merge(fresh);
	tunnels_.clear();
	for (const TunnelConfig &one : config.tunnels)
		tunnels_.push_back({one, devices_.at(one.name).get(),
				    underlays_.at(one.core.local.addr.raw).get()});
	std::erase_if(underlays_, [&](const auto &entry) {
		return std::none_of(tunnels_.begin(), tunnels_.end(), [&](const Tunnel &one) {
			return one.underlay == entry.second.get();
		});
	});
	std::erase_if(devices_, [&](const auto &entry) {
		bool used = std::any_of(tunnels_.begin(), tunnels_.end(), [&](const Tunnel &one) {
			return one.device == entry.second.get();
		});
		if (!used)
			entry.second->tun.close(false);
		return !used;
	});
	config_ = config;
	generation_++;
	return true;
}

void Tunnels::close(bool keep)
{
	if (wake_ < 0)
		return;
	thread_.request_stop();
	wake();
	if (thread_.joinable())
		thread_.join();
	for (auto &[name, device] : devices_)
		device->tun.close(keep);
	tunnels_.clear();
	devices_.clear();
	underlays_.clear();
	::close(wake_);
	wake_ = -1;
}

void Tunnels::run(std::stop_token stop)
{
	std::vector<pollfd> watched;
	uint64_t seen = 0;
	while (!stop.stop_requested()) {
		while (waiting_.load() && !stop.stop_requested())
			poll(nullptr, 0, 1);
		{
			std::lock_guard guard(lock_);
			if (seen != generation_) {
				seen = generation_;
				watched.assign(1, {wake_, POLLIN, 0});
				for (const auto &[address, underlay] : underlays_)
					watched.push_back({underlay->receiver(), POLLIN, 0});
				for (const auto &[name, device] : devices_)
					if (!device->gone)
						watched.push_back({device->tun.queue(0), POLLIN, 0});
			}
		}
		if (poll(watched.data(), watched.size(), -1) <= 0)
			continue;
		uint64_t count;
		if (watched[0].revents)
			[[maybe_unused]] ssize_t got = read(wake_, &count, sizeof(count));
		std::lock_guard guard(lock_);
		if (seen == generation_)
			serve(watched);
	}
}

void Tunnels::serve(const std::vector<pollfd> &ready)
{
	auto is_ready = [&](int fd) {
		return std::any_of(ready.begin() + 1, ready.end(), [&](const pollfd &one) {
			return one.fd == fd && one.revents;
		});
	};
	for (auto &[address, underlay] : underlays_) {
		if (!is_ready(underlay->receiver()))
			continue;
		from_errors(*underlay);
		from_underlay(*underlay);
	}
	for (const Tunnel &tunnel : tunnels_)
		if (!tunnel.device->gone && is_ready(tunnel.device->tun.queue(0)))
			from_device(tunnel);
}

std::vector<TunnelStatus> Tunnels::status()
{
	std::vector<TunnelStatus> all;
	for (const auto &[name, device] : devices_) {
		const TunnelCounters &from = device->counters;
		TunnelStatus one{name,
				 from.packets_out.read(),
				 from.bytes_out.read(),
				 from.packets_in.read(),
				 from.bytes_in.read(),
				 from.errors.read(),
				 {}};
		for (const Counter &drops : from.drops)
			one.drops.push_back(drops.read());
		all.push_back(std::move(one));
	}
	return all;
}

std::vector<uint64_t> Tunnels::strays()
{
	std::vector<uint64_t> all;
	for (const Counter &drops : strays_.drops)
		all.push_back(drops.read());
	for (const auto &[address, underlay] : underlays_)
		all[XLAT_TUNNEL_RECEIVE] += underlay->overflowed();
	return all;
}

} // namespace sixgate
