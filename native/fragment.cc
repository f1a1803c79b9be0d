// SPDX-License-Identifier: Apache-2.0
#include "fragment.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <sys/random.h>
#include <unordered_map>

#include "session_hash.h"

namespace sixgate {

namespace {

/** Pieces a datagram may come in; 65535 bytes in fragments of 576 are 119. */
constexpr size_t MAX_PIECES = 256;
constexpr uint32_t MAX_PAYLOAD = 65535;
/** Bookkeeping of a vector and its heap block. */
constexpr size_t OVERHEAD = 64;

bool operator==(const FragmentKey &a, const FragmentKey &b)
{
	return a.identification == b.identification && a.protocol == b.protocol &&
	       a.family == b.family && a.source == b.source && a.destination == b.destination;
}

struct KeyHash {
	uint64_t key[2];
	size_t operator()(const FragmentKey &k) const
	{
		uint64_t hash = siphash13(key, load64(k.source.bytes));
		hash = siphash13(key, hash ^ load64(k.source.bytes + 8));
		hash = siphash13(key, hash ^ load64(k.destination.bytes));
		hash = siphash13(key, hash ^ load64(k.destination.bytes + 8));
		return siphash13(key, hash ^ ((uint64_t)k.identification << 16 |
					      (uint64_t)k.protocol << 8 | k.family));
	}
};

struct KeyEqual {
	bool operator()(const FragmentKey &a, const FragmentKey &b) const { return a == b; }
};

enum class Phase : uint8_t { WAITING, DECIDED, ASSEMBLING, POISONED };

struct Piece {
	uint32_t offset;
	bool last;
	std::vector<uint8_t> bytes;
	uint32_t end() const { return offset + (uint32_t)bytes.size(); }
};

struct Datagram {
	Phase phase = Phase::WAITING;
	Time expires = 0;
	size_t cost = 0;
	FragmentDecision decision = {};
	std::vector<std::vector<uint8_t>> waiting;
	std::vector<uint8_t> header;
	/** Sorted by offset, without overlap. */
	std::vector<Piece> pieces;
	std::list<const FragmentKey *>::iterator age;
	bool assembling() const { return phase == Phase::ASSEMBLING || phase == Phase::POISONED; }
	uint32_t packets() const { return (uint32_t)(waiting.size() + pieces.size()); }
};

} // namespace

struct FragmentCache::Impl {
	using Map = std::unordered_map<FragmentKey, Datagram, KeyHash, KeyEqual>;
	using Ages = std::list<const FragmentKey *>;

	mutable std::mutex lock;
	FragmentOptions options;
	FragmentDrop drop;
	Map map;
	/**
	 * Oldest first. Decided datagrams are apart, so that a flood of first-less ones cannot
	 * push them out.
	 */
	Ages open, decided;
	size_t used = 0, used_open = 0;

	Impl(const FragmentOptions &o, FragmentDrop d, KeyHash hash)
	    : options(o), drop(std::move(d)), map(64, hash)
	{
	}

	Ages &ages(const Datagram &datagram)
	{
		return datagram.phase == Phase::DECIDED ? decided : open;
	}

	void charge(Datagram &datagram, size_t cost)
	{
		datagram.cost += cost;
		used += cost;
		if (datagram.phase != Phase::DECIDED)
			used_open += cost;
	}

	void end(Map::iterator at)
	{
		Datagram &datagram = at->second;
		used -= datagram.cost;
		if (datagram.phase != Phase::DECIDED)
			used_open -= datagram.cost;
		ages(datagram).erase(datagram.age);
		map.erase(at);
	}

	void give_up(Map::iterator at, enum xlat_reason why)
	{
		uint32_t packets = at->second.packets();
		FragmentKey key = at->first;
		end(at);
		if (packets)
			drop(why, packets, key);
	}

	/** Makes room by ending the oldest; `keep` is the datagram at work. */
	bool make_room(size_t cost, const Datagram *keep)
	{
		while (used + cost > options.memory) {
			bool from_open = !open.empty() &&
					 (decided.empty() || used_open * 2 >= options.memory);
			Ages &list = from_open || decided.empty() ? open : decided;
			auto oldest = list.begin();
			if (oldest != list.end() && keep && &map.find(**oldest)->second == keep)
				++oldest;
			if (oldest == list.end()) {
				Ages &other = &list == &open ? decided : open;
				oldest = other.begin();
				if (oldest != other.end() && keep &&
				    &map.find(**oldest)->second == keep)
					++oldest;
				if (oldest == other.end())
					return false;
			}
			give_up(map.find(**oldest), XLAT_FRAGMENT_MEMORY);
		}
		return true;
	}

	/**
	 * The entry, made in that phase when there is none; null when the budget is too small for
	 * it.
	 */
	Datagram *entry(const FragmentKey &key, Phase phase, Time now)
	{
		auto found = map.find(key);
		if (found != map.end() && now >= found->second.expires) {
			give_up(found, XLAT_FRAGMENT_TIMEOUT);
			found = map.end();
		}
		if (found != map.end())
			return &found->second;
		constexpr size_t cost = sizeof(Map::value_type) + 2 * OVERHEAD;
		if (!make_room(cost, nullptr))
			return nullptr;
		auto at = map.emplace(key, Datagram()).first;
		Datagram &datagram = at->second;
		datagram.phase = phase;
		datagram.expires = now + options.timeout;
		Ages &list = ages(datagram);
		datagram.age = list.insert(list.end(), &at->first);
		charge(datagram, cost);
		return &datagram;
	}

	bool charge_bytes(Datagram &datagram, size_t bytes)
	{
		if (!make_room(bytes + OVERHEAD, &datagram))
			return false;
		charge(datagram, bytes + OVERHEAD);
		return true;
	}

	void decide(Datagram &datagram, const FragmentDecision &decision, Time now)
	{
		Ages &from = ages(datagram);
		if (datagram.phase != Phase::DECIDED)
			used_open -= datagram.cost;
		datagram.phase = Phase::DECIDED;
		datagram.decision = decision;
		datagram.expires = now + options.timeout;
		decided.splice(decided.end(), from, datagram.age);
	}

	std::vector<uint8_t> add(const FragmentKey &key, Datagram &datagram,
				 const FragmentPiece &piece);
	std::vector<uint8_t> poison(const FragmentKey &key, Datagram &datagram);
};

std::vector<uint8_t> FragmentCache::Impl::poison(const FragmentKey &key, Datagram &datagram)
{
	drop(XLAT_FRAGMENT_OVERLAP, datagram.packets() + 1, key);
	datagram.phase = Phase::POISONED;
	datagram.pieces.clear();
	datagram.header.clear();
	return {};
}

std::vector<uint8_t> FragmentCache::Impl::add(const FragmentKey &key, Datagram &datagram,
					      const FragmentPiece &piece)
{
	auto &pieces = datagram.pieces;
	uint32_t end = piece.offset + (uint32_t)piece.payload.size();
	auto at = std::find_if(pieces.begin(), pieces.end(),
			       [&](const Piece &p) { return p.offset >= piece.offset; });
	if (at != pieces.end() && at->offset == piece.offset && at->end() == end &&
	    at->last == !piece.more) {
		drop(XLAT_FRAGMENT_OVERLAP, 1, key);
		return {};
	}
	bool overlaps = (at != pieces.begin() && std::prev(at)->end() > piece.offset) ||
			(at != pieces.end() && at->offset < end) ||
			(!piece.more && at != pieces.end()) ||
			(!pieces.empty() && pieces.back().last && end > pieces.back().end());
	bool crooked = piece.payload.empty() || (piece.more && piece.payload.size() % 8) ||
		       end > MAX_PAYLOAD;
	if (overlaps || crooked)
		return poison(key, datagram);
	if (pieces.size() >= MAX_PIECES ||
	    !charge_bytes(datagram, piece.payload.size() + piece.header.size())) {
		drop(XLAT_FRAGMENT_MEMORY, 1, key);
		give_up(map.find(key), XLAT_FRAGMENT_MEMORY);
		return {};
	}
	pieces.insert(
		at, { piece.offset, !piece.more, { piece.payload.begin(), piece.payload.end() } });
	if (!piece.offset)
		datagram.header.assign(piece.header.begin(), piece.header.end());
	uint32_t reach = 0;
	for (const Piece &p : pieces) {
		if (p.offset != reach)
			return {};
		reach = p.end();
	}
	if (!pieces.back().last)
		return {};
	std::vector<uint8_t> whole = std::move(datagram.header);
	whole.reserve(whole.size() + reach);
	for (const Piece &p : pieces)
		whole.insert(whole.end(), p.bytes.begin(), p.bytes.end());
	this->end(map.find(key));
	return whole;
}

FragmentCache::FragmentCache(const FragmentOptions &options, FragmentDrop drop)
{
	KeyHash hash = { { (uint64_t)(uintptr_t)this, 0x9e3779b97f4a7c15 } };
	if (getrandom(hash.key, sizeof(hash.key), 0) != (ssize_t)sizeof(hash.key))
		hash.key[1] ^= (uint64_t)(uintptr_t)&hash;
	impl_ = std::make_unique<Impl>(options, std::move(drop), hash);
}

FragmentCache::~FragmentCache() = default;

void FragmentCache::configure(const FragmentOptions &options)
{
	std::lock_guard guard(impl_->lock);
	impl_->options = options;
	impl_->make_room(0, nullptr);
}

FragmentFate FragmentCache::other(const FragmentKey &key, std::span<const uint8_t> packet, Time now,
				  FragmentDecision &decision)
{
	std::lock_guard guard(impl_->lock);
	Datagram *datagram = impl_->entry(key, Phase::WAITING, now);
	if (datagram && datagram->phase == Phase::DECIDED) {
		decision = datagram->decision;
		return FragmentFate::TRANSLATE;
	}
	if (datagram && datagram->phase != Phase::WAITING)
		return FragmentFate::REASSEMBLE;
	if (!datagram || datagram->waiting.size() >= MAX_PIECES ||
	    !impl_->charge_bytes(*datagram, packet.size())) {
		impl_->drop(XLAT_FRAGMENT_MEMORY, 1, key);
		return FragmentFate::DROPPED;
	}
	datagram->waiting.emplace_back(packet.begin(), packet.end());
	return FragmentFate::HELD;
}

std::vector<std::vector<uint8_t>> FragmentCache::first(const FragmentKey &key,
						       const FragmentDecision &decision, Time now)
{
	std::lock_guard guard(impl_->lock);
	auto found = impl_->map.find(key);
	if (found != impl_->map.end() && found->second.assembling())
		impl_->give_up(found, XLAT_FRAGMENT_OVERLAP);
	Datagram *datagram = impl_->entry(key, Phase::WAITING, now);
	if (!datagram)
		return {};
	std::vector<std::vector<uint8_t>> waiting = std::move(datagram->waiting);
	datagram->waiting.clear();
	impl_->decide(*datagram, decision, now);
	for (const auto &packet : waiting) {
		datagram->cost -= packet.size() + OVERHEAD;
		impl_->used -= packet.size() + OVERHEAD;
	}
	return waiting;
}

std::vector<std::vector<uint8_t>> FragmentCache::withdraw(const FragmentKey &key)
{
	std::lock_guard guard(impl_->lock);
	auto found = impl_->map.find(key);
	if (found == impl_->map.end() || found->second.assembling())
		return {};
	std::vector<std::vector<uint8_t>> waiting = std::move(found->second.waiting);
	impl_->end(found);
	return waiting;
}

std::vector<uint8_t> FragmentCache::reassemble(const FragmentKey &key, const FragmentPiece &piece,
					       Time now)
{
	std::lock_guard guard(impl_->lock);
	Datagram *datagram = impl_->entry(key, Phase::ASSEMBLING, now);
	if (datagram && datagram->phase == Phase::ASSEMBLING)
		return impl_->add(key, *datagram, piece);
	impl_->drop(datagram ? XLAT_FRAGMENT_OVERLAP : XLAT_FRAGMENT_MEMORY, 1, key);
	return {};
}

void FragmentCache::tick(Time now)
{
	std::lock_guard guard(impl_->lock);
	for (auto *list : { &impl_->open, &impl_->decided })
		while (!list->empty()) {
			auto oldest = impl_->map.find(*list->front());
			if (now < oldest->second.expires)
				break;
			impl_->give_up(oldest, XLAT_FRAGMENT_TIMEOUT);
		}
}

size_t FragmentCache::memory() const
{
	std::lock_guard guard(impl_->lock);
	return impl_->used;
}

} // namespace sixgate
