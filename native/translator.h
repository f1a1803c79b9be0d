// SPDX-License-Identifier: Apache-2.0
/* The TUN translator: device, session table and packet threads, under one owner. */
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fastpath.h"
#include "fragment.h"
#include "route_watch.h"
#include "session.h"
#include "translator_config.h"
#include "translator_worker.h"
#include "tun.h"

namespace sixgate {

struct TranslatorOptions {
	std::string device;
	unsigned threads = 1;
	std::string session_file;
	uint32_t max_sessions = 1u << 20;
	/* Without it every packet comes through the device. */
	std::optional<FastpathOptions> fastpath;
	/* Outlives the translator; null to log nothing. */
	NatLog *log = nullptr;
};

struct Traffic {
	uint64_t packets64 = 0, bytes64 = 0, packets46 = 0, bytes46 = 0, dropped = 0;

	void add(const Moved &moved);
};

/* Of NAT64, which has also what is nobody's, and of stateless translation. */
struct Traffics {
	Traffic stateful, stateless;
};

class Translator {
public:
	/*
	 * Null with `why` set when the device, the table or the threads cannot be had; nothing is
	 * left behind.
	 */
	static std::unique_ptr<Translator> open(const TranslatorOptions &options,
						const TranslatorConfig &config, TunError &why);
	~Translator() { close(true); }

	ConfigureResult configure(const TranslatorConfig &config);
	/* Ends the threads, then the device unless it is kept. Idempotent. */
	void close(bool keep);

	SessionTable &table() { return *table_; }
	/* Null with the reason in fastpath_error() when there is none. */
	Fastpath *fastpath() { return fastpath_.get(); }
	const FastpathError &fastpath_error() const { return fastpath_error_; }
	Tracer &tracer() { return shared_->tracer; }
	/* As the tracer's. What is followed comes through the device for as long. */
	uint32_t open_trace(const TraceFilter &filter);
	void close_trace(uint32_t number);
	/* What would become of a packet; nothing is sent, and nothing is left behind. */
	TracedPacket foresee(const uint8_t *data, uint32_t length) const;
	unsigned threads() const { return static_cast<unsigned>(workers_.size()); }
	/* What the translator takes the routes of the namespace to carry. */
	std::shared_ptr<const RouteView> routes() const;
	Traffics traffic() const;
	/* In the order of the nodes of the policy. */
	std::vector<PolicyTotals> policy() const;
	/* By enum xlat_reason. */
	std::vector<uint64_t> drops() const;
	/* The last packets lost for this reason, the newest at the end. */
	std::vector<LostPacket> lost(xlat_reason why) const;
	/* The clients that moved most bytes, those first. */
	std::vector<ClientTotals> clients(size_t top) const;

private:
	Translator() = default;
	std::shared_ptr<const TranslatorConfig> compiled(const TranslatorConfig &config) const;
	bool start(const TranslatorOptions &options, const TranslatorConfig &config, TunError &why);

	Tun tun_;
	/* Outlives the table, which uses it. */
	std::unique_ptr<Fastpath> fastpath_;
	FastpathError fastpath_error_;
	std::unique_ptr<SessionTable> table_;
	std::atomic<uint64_t> cache_drops_[XLAT_REASON_COUNT] = {};
	LostLog cache_lost_;
	std::unique_ptr<FragmentCache> fragments_;
	std::unique_ptr<LimiterTable> limiters_;
	/* Whether there is a policy. */
	std::atomic<bool> policed_{false};
	std::unique_ptr<Shared> shared_;
	std::vector<std::unique_ptr<Worker>> workers_;
	std::unique_ptr<RouteWatch> watch_;
	std::vector<std::jthread> threads_;
	int wake_ = -1;
};

} // namespace sixgate
