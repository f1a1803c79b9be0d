// SPDX-License-Identifier: Apache-2.0
#include "translator.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

namespace sixgate {
namespace {

PolicyFlow policy_flow(const Flow &flow)
{
	return {flow.six.client,
		flow.six.server,
		flow.four.remote,
		static_cast<uint8_t>(flow.protocol),
		flow.protocol != Protocol::ICMP,
		flow.four.remote_port};
}

} // namespace

std::unique_ptr<Translator> Translator::open(const TranslatorOptions &options,
					     const TranslatorConfig &config, TunError &why)
{
	std::unique_ptr<Translator> translator(new Translator());
	if (translator->start(options, config, why))
		return translator;
	return nullptr;
}

bool Translator::start(const TranslatorOptions &options, const TranslatorConfig &config,
		       TunError &why)
{
	SessionOptions sessions;
	sessions.path = options.session_file;
	sessions.max_sessions = options.max_sessions;
	sessions.log = options.log;
	sessions.config = config.session;
	host_identity(sessions);
	sessions.flows = [&]() -> FlowCache * {
		if (options.fastpath)
			fastpath_ = Fastpath::open(*options.fastpath, fastpath_error_);
		if (!fastpath_)
			return nullptr;
		fastpath_->configure(config);
		return &fastpath_->flows();
	};
	/* The table first: its lock tells a second gateway before the device is touched. */
	std::string error;
	table_ = SessionTable::open(sessions, boot_time(), error);
	if (!table_) {
		bool taken = error.find("in use") != std::string::npos;
		why = TunError{0, taken ? "SESSION_IN_USE" : "SESSION_FILE", error};
		return false;
	}
	/* What a predecessor installed and no session has. */
	if (fastpath_)
		fastpath_->flows().sweep();
	if (!tun_.open({options.device, options.threads}, why))
		return false;
	wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_ < 0) {
		why = TunError{errno, "", std::string("eventfd: ") + std::strerror(errno)};
		return false;
	}
	fragments_ = std::make_unique<FragmentCache>(
		config.fragments,
		[this](xlat_reason reason, uint32_t packets, const FragmentKey &key) {
			cache_drops_[reason].fetch_add(packets, std::memory_order_relaxed);
			/* Under the cache's lock: one writer. */
			cache_lost_.note(reason, boot_time(), key);
		});
	uint64_t seed = 0;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = boot_time();
	limiters_ = std::make_unique<LimiterTable>(seed);
	shared_.reset(
		new Shared{*table_, *fragments_, *limiters_, options.threads, seed, {}, {}, {}, {1}, {}});
	shared_->config = compiled(config);
	policed_.store(!config.policy.empty(), std::memory_order_relaxed);
	if (fastpath_)
		fastpath_->flows().exclude([this](const Flow &flow) {
			if (XLAT_LIKELY(!shared_->tracer.on() &&
					!policed_.load(std::memory_order_relaxed)))
				return false;
			std::shared_ptr<const TranslatorConfig> current;
			{
				std::lock_guard guard(shared_->lock);
				current = shared_->config;
			}
			/* A node counts, marks or takes what meets it: the translator's to do. */
			return current->chain->evaluate(policy_flow(flow)).nodes ||
			       shared_->tracer.follows(*current, flow);
		});
	watch_ = std::make_unique<RouteWatch>(
		options.device, wake_, [this](std::shared_ptr<const RouteView> routes) {
			std::lock_guard guard(shared_->lock);
			shared_->routes = std::move(routes);
			shared_->generation.fetch_add(1, std::memory_order_release);
			if (fastpath_)
				fastpath_->follow(shared_->routes);
		});
	for (unsigned i = 0; i < options.threads; i++)
		workers_.push_back(std::make_unique<Worker>(*shared_, i, tun_.queue(i), wake_));

	/* Signals belong to the thread that runs JavaScript. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (auto &worker : workers_) {
		threads_.emplace_back(
			[&worker = *worker](std::stop_token stop) { worker.run(stop); });
		pthread_setname_np(threads_.back().native_handle(), "sixgate");
	}
	threads_.emplace_back([this](std::stop_token stop) { watch_->run(stop); });
	pthread_setname_np(threads_.back().native_handle(), "sixgate-routes");
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	return true;
}

std::shared_ptr<const TranslatorConfig> Translator::compiled(const TranslatorConfig &config) const
{
	auto out = std::make_shared<TranslatorConfig>(config);
	const PolicyChain *before = shared_->config ? shared_->config->chain.get() : nullptr;
	out->chain = PolicyChain::build(config.policy, before, shared_->workers);
	return out;
}

ConfigureResult Translator::configure(const TranslatorConfig &config)
{
	ConfigureResult result = table_->configure(config.session, boot_time());
	if (!result.error.empty())
		return result;
	fragments_->configure(config.fragments);
	std::shared_ptr<const TranslatorConfig> next = compiled(config);
	std::lock_guard guard(shared_->lock);
	shared_->config = std::move(next);
	policed_.store(!config.policy.empty(), std::memory_order_relaxed);
	shared_->generation.fetch_add(1, std::memory_order_release);
	/* Last: a flow of the old configuration is a miss from here on, and what it misses is new. */
	if (fastpath_)
		fastpath_->configure(config);
	return result;
}

uint32_t Translator::open_trace(const TraceFilter &filter)
{
	uint32_t number = shared_->tracer.open(filter);
	if (number && fastpath_)
		fastpath_->follow_packets(true);
	return number;
}

void Translator::close_trace(uint32_t number)
{
	shared_->tracer.close(number);
	if (fastpath_)
		fastpath_->follow_packets(shared_->tracer.on());
}

void Translator::close(bool keep)
{
	for (std::jthread &thread : threads_)
		thread.request_stop();
	if (wake_ >= 0) {
		uint64_t one = 1;
		/* Never read: it stays readable for every thread. */
		[[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
	}
	threads_.clear();
	watch_.reset();
	workers_.clear();
	tun_.close(keep);
	if (wake_ >= 0)
		::close(wake_);
	wake_ = -1;
	fragments_.reset();
	table_.reset();
	if (fastpath_)
		fastpath_->close(keep);
	fastpath_.reset();
	limiters_.reset();
}

std::shared_ptr<const RouteView> Translator::routes() const
{
	std::lock_guard guard(shared_->lock);
	return shared_->routes;
}

void Traffic::add(const Moved &moved)
{
	packets64 += moved.packets64.read();
	bytes64 += moved.bytes64.read();
	packets46 += moved.packets46.read();
	bytes46 += moved.bytes46.read();
}

Traffics Translator::traffic() const
{
	Traffics sum;
	for (const auto &worker : workers_) {
		const Counters &counters = worker->counters();
		sum.stateful.add(counters.stateful);
		sum.stateless.add(counters.stateless);
		sum.stateless.dropped += counters.stateless_drops.read();
	}
	if (fastpath_) {
		FastpathCounts above = fastpath_->counts();
		sum.stateful.packets64 += above.translated[GW_64].packets;
		sum.stateful.bytes64 += above.translated[GW_64].bytes;
		sum.stateful.packets46 += above.translated[GW_46].packets;
		sum.stateful.bytes46 += above.translated[GW_46].bytes;
		sum.stateless.packets64 += above.translated[GW_SIIT_64].packets;
		sum.stateless.bytes64 += above.translated[GW_SIIT_64].bytes;
		sum.stateless.packets46 += above.translated[GW_SIIT_46].packets;
		sum.stateless.bytes46 += above.translated[GW_SIIT_46].bytes;
	}
	/* Counted after those of the stateless way, so the sum is never below them. */
	for (uint64_t packets : drops())
		sum.stateful.dropped += packets;
	sum.stateful.dropped -= std::min(sum.stateful.dropped, sum.stateless.dropped);
	return sum;
}

std::vector<PolicyTotals> Translator::policy() const
{
	return shared_->config->chain->totals(*limiters_);
}

std::vector<uint64_t> Translator::drops() const
{
	std::vector<uint64_t> sum(XLAT_REASON_COUNT);
	if (fastpath_) {
		FastpathCounts above = fastpath_->counts();
		for (size_t reason = 0; reason < sum.size(); reason++)
			sum[reason] = above.drops[reason].packets;
	}
	for (size_t reason = 0; reason < sum.size(); reason++) {
		sum[reason] += cache_drops_[reason].load(std::memory_order_relaxed);
		for (const auto &worker : workers_)
			sum[reason] += worker->counters().drops[reason].read();
	}
	return sum;
}

TracedPacket Translator::foresee(const uint8_t *data, uint32_t length) const
{
	auto worker = std::make_unique<Worker>(*shared_, 0, -1, -1);
	return worker->foresee(data, std::min<size_t>(length, PACKET_MAX));
}

std::vector<LostPacket> Translator::lost(xlat_reason why) const
{
	std::vector<LostPacket> all;
	cache_lost_.read(why, all);
	for (const auto &worker : workers_)
		worker->lost().read(why, all);
	std::stable_sort(all.begin(), all.end(),
			 [](const auto &a, const auto &b) { return a.time < b.time; });
	if (all.size() > LOST_KEPT)
		all.erase(all.begin(), all.end() - LOST_KEPT);
	return all;
}

std::vector<ClientTotals> Translator::clients(size_t top) const
{
	auto less = [](const Ip6 &a, const Ip6 &b) {
		return std::memcmp(a.bytes, b.bytes, 16) < 0;
	};
	std::map<Ip6, ClientTotals, decltype(less)> sums(less);
	auto add = [&](const ClientTotals &one) {
		ClientTotals &sum = sums[one.client];
		sum.client = one.client;
		sum.packets_out += one.packets_out;
		sum.bytes_out += one.bytes_out;
		sum.packets_in += one.packets_in;
		sum.bytes_in += one.bytes_in;
	};
	for (const auto &worker : workers_)
		worker->clients()->visit(add);
	if (fastpath_)
		fastpath_->flows().clients(add);
	std::vector<ClientTotals> all;
	for (const auto &[key, sum] : sums)
		all.push_back(sum);
	auto more = [](const ClientTotals &a, const ClientTotals &b) {
		return a.bytes_in + a.bytes_out > b.bytes_in + b.bytes_out;
	};
	size_t most = workers_.empty() ? 0 : shared_->config->accounting.clients;
	size_t count = std::min({top, all.size(), most});
	std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(count), all.end(),
			  more);
	all.resize(count);
	return all;
}

} // namespace sixgate
