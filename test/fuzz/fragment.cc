// SPDX-License-Identifier: Apache-2.0
/**
 * Fragments with operations as input: the cache itself, and a packet thread with a socket pair for
 * its device. Memory stays within its budget, and what comes in is translated, waits, or is counted
 * as lost, once.
 */
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>

#include <sys/socket.h>
#include <unistd.h>

#include "route_watch.h"
#include "translator_worker.h"

using namespace sixgate;

/* Linked with --wrap=clock_gettime: CLOCK_BOOTTIME is ours, and with it boot_time(). */
static uint64_t clock_ms;
extern "C" int __real_clock_gettime(clockid_t which, timespec *now);
extern "C" int __wrap_clock_gettime(clockid_t which, timespec *now)
{
	if (which != CLOCK_BOOTTIME)
		return __real_clock_gettime(which, now);
	*now = { (time_t)(clock_ms / 1000), (long)(clock_ms % 1000) * 1000000 };
	return 0;
}

namespace {

constexpr Time START = 1'000'000'000;
constexpr uint32_t POOL = 0xc6336440, REMOTE = 0xc0000221;
constexpr uint16_t FIRST_PORT = 2000, PORTS = 64;

void expect(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

/** The input, which is zeros where it ends. */
struct Input {
	const uint8_t *at, *end;
	bool more() const { return at < end; }
	uint8_t byte() { return more() ? *at++ : 0; }
	unsigned below(unsigned limit) { return byte() % limit; }
};

Ip6 address6(uint32_t first, uint32_t last)
{
	Ip6 out = {};
	for (int i = 0; i < 4; i++) {
		out.bytes[i] = (uint8_t)(first >> (24 - 8 * i));
		out.bytes[12 + i] = (uint8_t)(last >> (24 - 8 * i));
	}
	return out;
}

/** So small that a few fragments fill it, or nothing fits. */
FragmentOptions options(Input &in)
{
	static const size_t sizes[] = { 0, 700, 4096, 20'000 };
	return { sizes[in.below(4)], 2000u + 1000u * in.below(3) };
}

/** The cache, and how many packets of each datagram are in it. */
class Cache {
public:
	explicit Cache(Input &in)
	    : options_(options(in)), cache_(options_, [this](xlat_reason why, uint32_t packets,
							     const FragmentKey &key) {
		      expect(why == XLAT_FRAGMENT_MEMORY || why == XLAT_FRAGMENT_TIMEOUT ||
				     why == XLAT_FRAGMENT_OVERLAP,
			     "a packet lost for a reason that is not the cache's");
		      take(key, packets);
	      })
	{
	}
	void play(Input &in)
	{
		while (in.more()) {
			step(in);
			expect(cache_.memory() <= options_.memory, "more memory than there may be");
		}
		cache_.tick(now_ + 60'000);
		expect(!cache_.memory(), "memory that nothing is in");
		for (const auto &[id, packets] : inside_)
			expect(!packets, "a packet of which nobody knows");
	}

private:
	FragmentOptions options_;
	std::map<uint32_t, int64_t> inside_;
	FragmentCache cache_;
	Time now_ = START;

	void take(const FragmentKey &key, uint64_t packets)
	{
		inside_[key.identification] -= (int64_t)packets;
		expect(inside_[key.identification] >= 0, "a packet was counted twice");
	}
	void step(Input &in)
	{
		static const uint8_t bytes[4096] = {};
		uint8_t what = in.byte();
		unsigned size = in.byte() * 8u;
		FragmentKey key = { address6(0x20010db8, 1), address6(0x0064ff9b, REMOTE),
				    what >> 4 & 7u, 0, 6 };
		int64_t &inside = inside_[key.identification];
		FragmentDecision decision = {};
		switch (what & 15) {
		default:
			inside++;
			switch (cache_.other(key, { bytes, size }, now_, decision)) {
			case FragmentFate::TRANSLATE:
			case FragmentFate::REASSEMBLE:
				inside--;
				break;
			case FragmentFate::HELD:
			case FragmentFate::DROPPED:
				break;
			}
			break;
		case 4:
		case 5:
			take(key, cache_.first(key, decision, now_).size());
			break;
		case 6:
			take(key, cache_.withdraw(key).size());
			break;
		case 7:
		case 8:
		case 9:
		case 10:
		case 11:
		case 12: {
			uint8_t place = in.byte();
			FragmentPiece piece = { (place & 15u) * 64,
						place < 128,
						{ bytes, place & 15u ? 0u : 40u },
						{ bytes, size + (place >> 6 & 1u) } };
			inside++;
			if (!cache_.reassemble(key, piece, now_).empty())
				inside = 0;
			break;
		}
		case 13:
			now_ += size;
			break;
		case 14:
			cache_.tick(now_ += size);
			break;
		case 15:
			options_ = options(in);
			cache_.configure(options_);
			break;
		}
	}
};

/** A packet thread between 2001:db8::/32 and 192.0.2.32/27. */
class Gateway {
public:
	/** Without what must be put together when each packet is to be told from the others. */
	Gateway(Input &in, bool assembles) : assembles_(assembles)
	{
		int ends[2], file = mkstemp(path_);
		expect(file >= 0 && !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends),
		       "neither a file nor a socket pair");
		::close(file);
		here_ = ends[0], there_ = ends[1];
		config_.allow_non_global = true;
		config_.fragments = options(in);
		config_.session.prefixes = { { address6(0x0064ff9b, 0), 96 } };
		PoolConfig pool;
		pool.addresses = { { POOL, 32 } };
		pool.first_port = FIRST_PORT;
		pool.last_port = FIRST_PORT + PORTS - 1;
		config_.session.pools = { pool };
		for (uint16_t i = 0; i < 4; i++)
			config_.session.statics.push_back({ Protocol::UDP, address6(0x20010db8, 1),
							    (uint16_t)(5000 + i), POOL,
							    (uint16_t)(5000 + i) });
		SessionOptions sessions;
		sessions.path = path_;
		sessions.max_sessions = 256;
		sessions.config = config_.session;
		clock_ms = START;
		std::string error;
		table_ = SessionTable::open(sessions, clock_ms, error);
		expect(table_ != nullptr, "the session table does not open");
		fragments_ = std::make_unique<FragmentCache>(
			config_.fragments,
			[this](xlat_reason, uint32_t packets, const FragmentKey &) {
				given_up_ += packets;
			});
		shared_.reset(new Shared{ *table_, *fragments_, limiters_, 1, 1, {}, {}, {}, { 1 }, {} });
		shared_->config = std::make_shared<const TranslatorConfig>(config_);
		RouteView routes;
		routes.four = routes.six = { 1500, 1500 };
		shared_->routes = std::make_shared<const RouteView>(routes);
		worker_ = std::make_unique<Worker>(*shared_, 0, there_, -1);
	}
	~Gateway()
	{
		worker_.reset();
		table_.reset();
		::close(here_);
		::close(there_);
		unlink(path_);
	}
	void play(Input &in)
	{
		while (in.more()) {
			uint8_t what = in.byte();
			if (what >= 240)
				pass((what & 15u) * 250);
			else if (what & 1)
				packet6(in, what);
			else
				packet4(in, what);
			expect(fragments_->memory() <= config_.fragments.memory,
			       "more memory than there may be");
			expect(accounted() <= sent_, "a packet was counted twice");
		}
		for (unsigned i = 0; i < 80; i++)
			pass(250);
		expect(!fragments_->memory(), "memory that nothing is in");
		expect(accounted() <= sent_, "a packet was counted twice");
		/* What was put together is one packet from then on. */
		expect(assembles_ || accounted() + held_ >= sent_, "a packet of which nobody knows");
	}

private:
	char path_[40] = "/tmp/sixgate-fuzz-fragment-XXXXXX";
	int here_ = -1, there_ = -1;
	uint64_t sent_ = 0, given_up_ = 0;
	/**
	 * SYNs of IPv4 hosts: one that is held is taken in by the client's own (RFC 6146 3.5.2.2), and
	 * one that comes again while it is held is the same.
	 */
	uint64_t held_ = 0;
	const bool assembles_;
	TranslatorConfig config_;
	std::unique_ptr<SessionTable> table_;
	std::unique_ptr<FragmentCache> fragments_;
	LimiterTable limiters_{ 1 };
	std::unique_ptr<Shared> shared_;
	std::unique_ptr<Worker> worker_;

	/** Translated or lost; an error that was held back is about a packet that is lost already. */
	uint64_t accounted() const
	{
		const Counters &counters = worker_->counters();
		uint64_t sum = given_up_ + counters.stateful.packets64.read() +
			       counters.stateful.packets46.read();
		for (unsigned why = 1; why < XLAT_REASON_COUNT; why++)
			if (why != XLAT_RATE_LIMITED)
				sum += counters.drops[why].read();
		return sum;
	}
	void turn()
	{
		uint8_t frame[PACKET_MAX + sizeof(VnetHeader)];
		while (worker_->turn() == 0)
			;
		while (read(here_, frame, sizeof(frame)) > 0)
			;
	}
	void pass(Time time)
	{
		clock_ms += time;
		turn();
	}
	void send(const uint8_t *packet, size_t length)
	{
		uint8_t frame[sizeof(VnetHeader) + 2048] = {};
		memcpy(frame + sizeof(VnetHeader), packet, length);
		expect(write(here_, frame, sizeof(VnetHeader) + length) > 0,
		       "the packet does not go in");
		sent_++;
		turn();
	}
	static void put16(uint8_t *at, unsigned value)
	{
		at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value;
	}
	/** What a fragment is: bits of its first byte, its place and its length. */
	struct Shape {
		uint8_t protocol, id;
		unsigned offset, length;
		bool more, zero;
	};
	Shape shape(Input &in, uint8_t what, uint8_t icmp)
	{
		static const uint8_t protocols[] = { 17, 17, 6, 0 };
		uint8_t place = in.byte();
		Shape s = { protocols[what >> 1 & 3], (uint8_t)(what >> 3 & 3), (place & 31u) * 8u,
			    in.byte() * 4u, place < 128, (place & 32) != 0 };
		s.protocol = s.protocol ? s.protocol : assembles_ ? icmp : (uint8_t)6;
		s.zero = s.zero && assembles_;
		return s;
	}
	/** Ports and what else of an upper header a first fragment has. */
	void payload(uint8_t *at, const Shape &s, unsigned from, unsigned to, bool six)
	{
		if (s.offset)
			return;
		put16(at, from), put16(at + 2, to);
		if (s.protocol == 6)
			at[12] = 5 << 4, at[13] = 2;
		else if (s.protocol == 17)
			put16(at + 4, 2000), put16(at + 6, s.zero ? 0 : 0x1234);
		else
			at[0] = six ? 128 : 8, at[1] = 0;
	}
	void packet6(Input &in, uint8_t what)
	{
		uint8_t p[48 + 1024] = {};
		Shape s = shape(in, what, 58);
		p[0] = 0x60, p[6] = 44, p[7] = 64;
		put16(p + 4, 8 + s.length);
		memcpy(p + 8, address6(0x20010db8, 1u + (what >> 5 & 1u)).bytes, 16);
		memcpy(p + 24, address6(0x0064ff9b, REMOTE + (what >> 6 & 1u)).bytes, 16);
		p[40] = s.protocol;
		put16(p + 42, s.offset | s.more);
		p[47] = s.id;
		payload(p + 48, s, 4000 + s.id, 53, true);
		send(p, 48 + s.length);
	}
	void packet4(Input &in, uint8_t what)
	{
		uint8_t p[20 + 1024] = {};
		Shape s = shape(in, what, 1);
		p[0] = 0x45, p[8] = 64, p[9] = s.protocol, p[5] = s.id;
		put16(p + 2, 20 + s.length);
		put16(p + 6, s.offset / 8 | (s.more ? 0x2000u : 0u));
		uint32_t from = REMOTE + (what >> 6 & 1u);
		for (int i = 0; i < 4; i++) {
			p[12 + i] = (uint8_t)(from >> (24 - 8 * i));
			p[16 + i] = (uint8_t)(POOL >> (24 - 8 * i));
		}
		xlat_store16(p + 10, xlat_full_checksum(p, 20, 0));
		payload(p + 20, s, 53, what & 32 ? 5000 + s.id : FIRST_PORT + s.id, false);
		held_ += s.protocol == 6 && !s.offset;
		send(p, 20 + s.length);
	}
};

} // namespace

/** The choice of ports by the input alone, so that a finding can be repeated. */
extern "C" ssize_t getrandom(void *buffer, size_t length, unsigned)
{
	memset(buffer, 0x5a, length);
	return (ssize_t)length;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input in = { data, data + size };
	uint8_t what = in.byte();
	if (what & 1)
		Cache(in).play(in);
	else
		Gateway(in, what & 2).play(in);
	return 0;
}
