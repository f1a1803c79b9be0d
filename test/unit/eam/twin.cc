// SPDX-License-Identifier: Apache-2.0
/* The mapping table against a slow twin: every entry looked at, every suffix bit copied by itself (RFC 7757 3.3). */
#include <cstdio>
#include <cstdlib>
#include <random>

#include "../../../native/eam.h"

using namespace sixgate;

namespace {

bool bit(const Ip6 &address, unsigned at)
{
	return address.bytes[at / 8] >> (7 - at % 8) & 1;
}

void set(Ip6 &address, unsigned at, bool value)
{
	uint8_t mask = static_cast<uint8_t>(0x80 >> at % 8);
	address.bytes[at / 8] = static_cast<uint8_t>((address.bytes[at / 8] & ~mask) | (value ? mask : 0));
}

bool bit(uint32_t address, unsigned at)
{
	return address >> (31 - at) & 1;
}

template <typename A> bool under(const A &address, const A &prefix, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		if (bit(address, i) != bit(prefix, i))
			return false;
	return true;
}

bool slow6(const std::vector<EamEntry> &entries, uint32_t four, Ip6 &six)
{
	const EamEntry *best = nullptr;
	for (const EamEntry &one : entries)
		if (under(four, one.four.address, one.four.length) &&
		    (!best || best->four.length < one.four.length))
			best = &one;
	if (!best)
		return false;
	six = best->six.address;
	for (unsigned i = best->four.length; i < 32; i++)
		set(six, best->six.length + i - best->four.length, bit(four, i));
	return true;
}

bool slow4(const std::vector<EamEntry> &entries, const Ip6 &six, uint32_t &four)
{
	const EamEntry *best = nullptr;
	for (const EamEntry &one : entries)
		if (under(six, one.six.address, one.six.length) && (!best || best->six.length < one.six.length))
			best = &one;
	if (!best)
		return false;
	four = best->four.address;
	for (unsigned i = best->four.length; i < 32; i++)
		if (bit(six, best->six.length + i - best->four.length))
			four |= 1u << (31 - i);
	return true;
}

std::mt19937_64 source;

/* Few different bits, so that prefixes lie in each other and addresses hit. */
uint32_t random4()
{
	return static_cast<uint32_t>(source()) & (source() % 2 ? 0x0f00000f : 0x81000181);
}

Ip6 random6()
{
	Ip6 out;
	for (uint8_t &byte : out.bytes)
		byte = source() % 3 ? 0 : static_cast<uint8_t>(source() & 0x81);
	return out;
}

std::vector<EamEntry> random_entries()
{
	std::vector<EamEntry> out;
	for (unsigned i = source() % 40; i > 0; i--) {
		EamEntry one{{random6(), 0}, {random4(), 0}};
		one.four.length = static_cast<uint8_t>(source() % 33);
		one.six.length = static_cast<uint8_t>(source() % (97 + one.four.length));
		one.four.address &= one.four.length ? ~0u << (32 - one.four.length) : 0;
		for (unsigned at = one.six.length; at < 128; at++)
			set(one.six.address, at, false);
		bool twice = false;
		for (const EamEntry &other : out)
			twice |= (other.four.length == one.four.length && other.four.address == one.four.address) ||
				 (other.six.length == one.six.length && other.six.address == one.six.address);
		if (!twice)
			out.push_back(one);
	}
	return out;
}

[[noreturn]] void fail(const char *what, unsigned round)
{
	std::fprintf(stderr, "%s differs in round %u\n", what, round);
	std::exit(1);
}

} // namespace

int main(int, char **arguments)
{
	source.seed(std::strtoull(arguments[1], nullptr, 10));
	unsigned hits = 0;
	for (unsigned round = 0; round < 400; round++) {
		std::vector<EamEntry> entries = random_entries();
		Eam table(entries);
		for (unsigned i = 0; i < 100; i++) {
			uint32_t four = random4(), fast4 = 0, right4 = 0;
			Ip6 six = random6(), fast6{}, right6{};
			bool found6 = slow6(entries, four, right6), found4 = slow4(entries, six, right4);
			if (table.to6(four, fast6) != found6 || table.holds4(four) != found6 || !(fast6 == right6))
				fail("IPv4 to IPv6", round);
			if (table.to4(six, fast4) != found4 || fast4 != right4)
				fail("IPv6 to IPv4", round);
			hits += found6 + found4;
		}
	}
	std::printf("%u\n", hits);
}
