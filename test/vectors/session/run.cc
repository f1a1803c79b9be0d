// SPDX-License-Identifier: Apache-2.0
/*
 * A packet thread of the translator with a socket pair for its TUN device and a clock that moves
 * when it is told to. One order a line on stdin; the answer is lines, the last of them ".":
 *
 *   open KEY=VALUE ...   a gateway of its own, at second 0
 *   packet HEX           a packet arrives
 *   clock MS             so many milliseconds after `open`
 *   state                sessions and bindings
 *
 * Of `packet` and `clock` the answer is `out HEX` for each packet that left, in order, and
 * `drop REASON PACKETS`.
 */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../native/route_watch.h"
#include "../../../native/translator_worker.h"

using namespace sixgate;

/* Linked with --wrap=clock_gettime: CLOCK_BOOTTIME is ours, and with it boot_time(). */
static uint64_t clock_ms;
extern "C" int __real_clock_gettime(clockid_t which, timespec *now);
extern "C" int __wrap_clock_gettime(clockid_t which, timespec *now)
{
	if (which != CLOCK_BOOTTIME)
		return __real_clock_gettime(which, now);
	*now = {static_cast<time_t>(clock_ms / 1000), static_cast<long>(clock_ms % 1000) * 1000000};
	return 0;
}

namespace {

constexpr uint64_t START = 1'000'000'000;

[[noreturn]] void fail(const std::string &why)
{
	std::cerr << why << "\n";
	exit(2);
}

std::vector<std::string> split(const std::string &text, char at)
{
	std::vector<std::string> parts;
	std::istringstream in(text);
	for (std::string part; std::getline(in, part, at);)
		parts.push_back(part);
	return parts;
}

uint32_t number(const std::string &text)
{
	char *end;
	unsigned long value = strtoul(text.c_str(), &end, 10);
	if (text.empty() || *end)
		fail("not a number: " + text);
	return static_cast<uint32_t>(value);
}

Ip6 ip6(const std::string &text)
{
	Ip6 out;
	if (inet_pton(AF_INET6, text.c_str(), out.bytes) != 1)
		fail("not an IPv6 address: " + text);
	return out;
}

uint32_t ip4(const std::string &text)
{
	in_addr out;
	if (inet_pton(AF_INET, text.c_str(), &out) != 1)
		fail("not an IPv4 address: " + text);
	return ntohl(out.s_addr);
}

Prefix6 prefix6(const std::string &text)
{
	std::vector<std::string> parts = split(text, '/');
	return {ip6(parts[0]), static_cast<uint8_t>(parts.size() > 1 ? number(parts[1]) : 128)};
}

Prefix4 prefix4(const std::string &text)
{
	std::vector<std::string> parts = split(text, '/');
	return {ip4(parts[0]), static_cast<uint8_t>(parts.size() > 1 ? number(parts[1]) : 32)};
}

Protocol protocol(const std::string &name)
{
	if (name != "tcp" && name != "udp" && name != "icmp")
		fail("not a protocol: " + name);
	return name == "tcp" ? Protocol::TCP : name == "udp" ? Protocol::UDP : Protocol::ICMP;
}

std::string text(const Ip6 &address)
{
	char out[INET6_ADDRSTRLEN];
	return inet_ntop(AF_INET6, address.bytes, out, sizeof(out));
}

std::string text(uint32_t address)
{
	in_addr raw{htonl(address)};
	char out[INET_ADDRSTRLEN];
	return inet_ntop(AF_INET, &raw, out, sizeof(out));
}

const char *name_of(Protocol value)
{
	return value == Protocol::TCP ? "tcp" : value == Protocol::UDP ? "udp" : "icmp";
}

/* ADDRESS[,ADDRESS...]:FIRST-LAST[:CLIENTS] */
PoolConfig pool(const std::string &value)
{
	std::vector<std::string> parts = split(value, ':'), ports = split(parts.at(1), '-');
	PoolConfig out;
	for (const std::string &address : split(parts[0], ','))
		out.addresses.push_back(prefix4(address));
	out.first_port = static_cast<uint16_t>(number(ports[0]));
	out.last_port = static_cast<uint16_t>(number(ports.at(1)));
	if (parts.size() > 2)
		out.clients = {prefix6(value.substr(parts[0].size() + parts[1].size() + 2))};
	return out;
}

/* PROTOCOL,INSIDE,PORT,OUTSIDE,PORT */
StaticConfig fixed(const std::string &value)
{
	std::vector<std::string> part = split(value, ',');
	return {protocol(part[0]), ip6(part.at(1)), static_cast<uint16_t>(number(part.at(2))),
		ip4(part.at(3)), static_cast<uint16_t>(number(part.at(4)))};
}

using Options = std::vector<std::pair<std::string, std::string>>;

/* The settings of one order; a key may come twice where there can be several. */
TranslatorConfig configuration(const Options &options, uint32_t &sessions, uint32_t &mtu)
{
	TranslatorConfig config;
	SessionConfig &nat = config.session;
	std::map<std::string, Time *> times = {
		{"tcp-established", &nat.timeouts.tcp_established},
		{"tcp-transitory", &nat.timeouts.tcp_transitory},
		{"tcp-incoming-syn", &nat.timeouts.tcp_incoming_syn},
		{"udp", &nat.timeouts.udp},
		{"icmp", &nat.timeouts.icmp},
		{"fragment", &config.fragments.timeout}};
	std::map<std::string, uint32_t *> numbers = {
		{"max-sessions", &sessions},
		{"mtu", &mtu},
		{"client-bindings", &nat.limits.bindings},
		{"client-sessions", &nat.limits.sessions},
		{"client-rate", &nat.limits.rate},
		{"lowest-ipv6-mtu", &config.lowest_ipv6_mtu}};
	config.allow_non_global = true;
	for (const auto &[key, value] : options) {
		if (times.contains(key))
			*times[key] = Time{number(value)} * 1000;
		else if (numbers.contains(key))
			*numbers[key] = number(value);
		else if (key == "prefix")
			nat.prefixes.push_back(prefix6(value));
		else if (key == "pool")
			nat.pools.push_back(pool(value));
		else if (key == "static")
			nat.statics.push_back(fixed(value));
		else if (key == "filtering")
			nat.address_dependent = value == "address-dependent";
		else if (key == "fragment-memory")
			config.fragments.memory = number(value);
		else if (key == "allow-non-global")
			config.allow_non_global = value == "yes";
		else if (key == "mss-clamp")
			config.mss_clamp = static_cast<uint16_t>(number(value));
		else if (key == "icmp-source")
			value.find(':') == std::string::npos ?
				config.icmp_source4.push_back(ip4(value)) :
				config.icmp_source6.push_back(ip6(value));
		else
			fail("no such setting: " + key);
	}
	return config;
}

class Gateway {
public:
	explicit Gateway(const Options &options)
	{
		uint32_t mtu = 1500;
		SessionOptions sessions;
		int ends[2], file = mkstemp(path_);
		if (file < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends))
			fail("neither a file nor a socket pair");
		::close(file);
		here_ = ends[0], there_ = ends[1];
		sessions.path = path_;
		sessions.max_sessions = 4096;
		TranslatorConfig config = configuration(options, sessions.max_sessions, mtu);
		sessions.config = config.session;
		clock_ms = START;
		std::string error;
		table_ = SessionTable::open(sessions, clock_ms, error);
		if (!table_)
			fail("open: " + error);
		fragments_ = std::make_unique<FragmentCache>(
			config.fragments, [this](xlat_reason why, uint32_t packets,
						 const FragmentKey &) { cache_[why] += packets; });
		shared_.reset(new Shared{*table_, *fragments_, limiters_, 1, 1, {}, {}, {}, {1}, {}});
		shared_->config = std::make_shared<const TranslatorConfig>(config);
		RouteView routes;
		routes.four = routes.six = {mtu, mtu};
		shared_->routes = std::make_shared<const RouteView>(routes);
		worker_ = std::make_unique<Worker>(*shared_, 0, there_, -1);
		turn();
	}
	~Gateway()
	{
		worker_.reset();
		table_.reset();
		::close(here_);
		::close(there_);
		unlink(path_);
	}

	void packet(const std::string &hex)
	{
		std::vector<uint8_t> frame(sizeof(VnetHeader));
		for (size_t i = 0; i + 1 < hex.size(); i += 2)
			frame.push_back(static_cast<uint8_t>(
				strtoul(hex.substr(i, 2).c_str(), nullptr, 16)));
		if (write(here_, frame.data(), frame.size()) < 0)
			fail("the packet does not go in");
		turn();
	}

	/* In steps, as the timers would come by; the longer the way the longer the step. */
	void until(uint64_t ms)
	{
		while (clock_ms < START + ms) {
			uint64_t left = START + ms - clock_ms;
			clock_ms += std::min(left, std::max<uint64_t>(250, left / 16));
			turn();
		}
	}

	void report()
	{
		uint8_t frame[PACKET_MAX + sizeof(VnetHeader)];
		for (ssize_t n; (n = read(here_, frame, sizeof(frame))) > 0;) {
			std::cout << "out ";
			for (ssize_t i = sizeof(VnetHeader); i < n; i++)
				printf_hex(frame[i]);
			std::cout << "\n";
		}
		for (unsigned why = 1; why < XLAT_REASON_COUNT; why++) {
			uint64_t all = worker_->counters().drops[why].read() + cache_[why];
			if (all != told_[why])
				std::cout << "drop " << xlat_reason_text(why)->name << " "
					  << all - told_[why] << "\n";
			told_[why] = all;
		}
	}

	void state()
	{
		table_->sessions({}, clock_ms, [](const SessionView &one) {
			std::cout << "session " << name_of(one.protocol) << " "
				  << text(one.six.client) << " " << one.six.client_port << " "
				  << text(one.six.server) << " " << one.six.server_port << " "
				  << text(one.four.pool) << " " << one.four.pool_port << " "
				  << text(one.four.remote) << " " << one.four.remote_port << " "
				  << state_name(one.state) << " " << one.expires_in << "\n";
		});
		table_->bindings({}, [](const BindingView &one) {
			std::cout << "binding " << name_of(one.protocol) << " " << text(one.inside)
				  << " " << one.inside_port << " " << text(one.outside) << " "
				  << one.outside_port << "\n";
		});
		std::cout << "held " << table_->stats().held_syns << "\n";
	}

private:
	char path_[40] = "/tmp/sixgate-session-vector-XXXXXX";
	int here_ = -1, there_ = -1;
	uint64_t cache_[XLAT_REASON_COUNT] = {}, told_[XLAT_REASON_COUNT] = {};
	std::unique_ptr<SessionTable> table_;
	std::unique_ptr<FragmentCache> fragments_;
	LimiterTable limiters_{1};
	std::unique_ptr<Shared> shared_;
	std::unique_ptr<Worker> worker_;

	void turn()
	{
		while (worker_->turn() == 0)
			;
	}
	static void printf_hex(uint8_t byte)
	{
		static const char digits[] = "0123456789abcdef";
		std::cout << digits[byte >> 4] << digits[byte & 15];
	}
};

} // namespace

int main()
{
	std::unique_ptr<Gateway> gateway;
	for (std::string line; std::getline(std::cin, line);) {
		std::istringstream in(line);
		std::string order, word;
		Options options;
		in >> order;
		while (in >> word) {
			size_t at = word.find('=');
			options.emplace_back(word.substr(0, at),
					     at == std::string::npos ? "" : word.substr(at + 1));
		}
		if (order == "open") {
			gateway.reset();
			gateway = std::make_unique<Gateway>(options);
		} else if (!gateway || (order != "state" && options.size() != 1)) {
			fail("not an order: " + line.substr(0, 80));
		} else if (order == "packet") {
			gateway->packet(options[0].first);
		} else if (order == "clock") {
			gateway->until(number(options[0].first));
		} else if (order == "state") {
			gateway->state();
		} else {
			fail("not an order: " + line.substr(0, 80));
		}
		if (order == "packet" || order == "clock")
			gateway->report();
		std::cout << "." << std::endl;
	}
	return 0;
}
