// SPDX-License-Identifier: Apache-2.0
#include "eam.h"

namespace sixgate {
namespace {

using Wide = unsigned __int128;

Wide wide_of(const Ip6 &address)
{
	Wide wide = 0;
	for (uint8_t byte : address.bytes)
		wide = wide << 8 | byte;
	return wide;
}

Ip6 narrow(Wide wide)
{
	Ip6 address;
	for (unsigned i = 0; i < 16; i++)
		address.bytes[i] = static_cast<uint8_t>(wide >> (120 - 8 * i));
	return address;
}

uint32_t suffix_mask(const Prefix4 &prefix)
{
	return prefix.length < 32 ? 0xffffffffu >> prefix.length : 0;
}

/* How far the IPv4 suffix stands from the end of the IPv6 address, which has room for it. */
unsigned padding(const EamEntry &entry)
{
	return (128u - entry.six.length) - (32u - entry.four.length);
}

} // namespace

Eam::Eam(std::vector<EamEntry> entries) : entries_(std::move(entries))
{
	for (uint32_t i = 0; i < entries_.size(); i++) {
		table4_.add(entries_[i].four.address, entries_[i].four.length, i);
		table6_.add(wide_of(entries_[i].six.address), entries_[i].six.length, i);
	}
	table4_.sort();
	table6_.sort();
}

bool Eam::holds6(const Ip6 &six) const
{
	return table6_.find(wide_of(six)) != nullptr;
}

bool Eam::to6(uint32_t four, Ip6 &six) const
{
	const uint32_t *at = table4_.find(four);
	if (!at)
		return false;
	const EamEntry &entry = entries_[*at];
	uint32_t suffix = four & suffix_mask(entry.four);
	six = entry.six.address;
	if (suffix)
		six = narrow(wide_of(six) | Wide{suffix} << padding(entry));
	return true;
}

bool Eam::to4(const Ip6 &six, uint32_t &four) const
{
	Wide wide = wide_of(six);
	const uint32_t *at = table6_.find(wide);
	if (!at)
		return false;
	const EamEntry &entry = entries_[*at];
	unsigned shift = padding(entry);
	uint32_t suffix = shift < 128 ? static_cast<uint32_t>(wide >> shift) : 0;
	four = entry.four.address | (suffix & suffix_mask(entry.four));
	return true;
}

} // namespace sixgate
