// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio-net header in front of every packet of the TUN device (virtio 1.2, section 5.1.6).
 * <linux/virtio_net.h> is not C++. Fields are in the byte order of the host, as TUN has them by
 * default.
 */
#pragma once

#include <cstdint>

namespace sixgate {

enum : uint8_t { VNET_NEEDS_CSUM = 1, VNET_DATA_VALID = 2 };
enum : uint8_t {
	VNET_GSO_NONE = 0,
	VNET_GSO_TCPV4 = 1,
	VNET_GSO_TCPV6 = 4,
	VNET_GSO_UDP_L4 = 5,
	VNET_GSO_ECN = 0x80
};

struct VnetHeader {
	uint8_t flags;
	uint8_t gso_type;
	/* Bytes before the payload of a super-packet, from the first byte of the packet. */
	uint16_t hdr_len;
	uint16_t gso_size;
	/* Where the checksum is computed from, and where it is stored from there. */
	uint16_t csum_start;
	uint16_t csum_offset;

	bool partial() const { return flags & VNET_NEEDS_CSUM; }
	uint8_t gso() const { return gso_type & static_cast<uint8_t>(~VNET_GSO_ECN); }
};
static_assert(sizeof(VnetHeader) == 10);

} // namespace sixgate
