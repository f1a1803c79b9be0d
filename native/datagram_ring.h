// SPDX-License-Identifier: Apache-2.0
/* The memory that batched sockets and JavaScript share: slots of a header and a datagram. */
#pragma once

#include <napi.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace datagram {

constexpr uint32_t SLOT_SIZE = 2048;
constexpr uint32_t HEADER_SIZE = 64;
constexpr uint32_t PAYLOAD_SIZE = SLOT_SIZE - HEADER_SIZE;
constexpr uint32_t MAX_SLOTS = 256;

/* What JavaScript reads and writes at the start of each slot (src/dns64/datagram.ts). */
struct slot_header {
	uint32_t length;      /* of the datagram received, or to send; 0 sends nothing */
	uint8_t family;       /* 4 or 6; a mapped client is 4 */
	uint8_t truncated;
	uint16_t port;        /* host order */
	uint8_t peer[16];     /* IPv4 in the first four bytes, the rest zero */
	uint8_t local[16];    /* the address that was asked; all zero when the socket knows it */
	uint32_t scope;       /* link of a link-local peer */
	uint32_t reserved[4];
};
static_assert(sizeof(slot_header) <= HEADER_SIZE);

union control {
	cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(in6_pktinfo))];
};

/* What recvmmsg and sendmmsg work on, one element a slot. */
struct batch {
	std::vector<sockaddr_storage> names;
	std::vector<iovec> vectors;
	std::vector<control> controls;
	std::vector<mmsghdr> messages;

	void resize(uint32_t count)
	{
		names.resize(count);
		vectors.resize(count);
		controls.resize(count);
		messages.resize(count);
	}
};

class Ring : public Napi::ObjectWrap<Ring> {
public:
	static Napi::Function define(Napi::Env env)
	{
		return DefineClass(env, "DatagramRing", {InstanceAccessor<&Ring::buffer>("buffer")});
	}

	explicit Ring(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Ring>(info)
	{
		count = std::clamp<uint32_t>(info[0].ToNumber().Uint32Value(), 1, MAX_SLOTS);
		Napi::ArrayBuffer storage = Napi::ArrayBuffer::New(info.Env(), count * SLOT_SIZE);
		slots = static_cast<uint8_t *>(storage.Data());
		memory = Napi::Persistent(storage);
		in.resize(count);
		out.resize(count);
		for (uint32_t slot = 0; slot < count; slot++)
			rearm(slot);
	}

	/* Makes a message ready to receive into its slot; the kernel changes only those it filled. */
	void rearm(uint32_t slot)
	{
		in.vectors[slot] = {payload(slot), PAYLOAD_SIZE};
		msghdr &message = in.messages[slot].msg_hdr;
		message = {};
		message.msg_name = &in.names[slot];
		message.msg_namelen = sizeof(sockaddr_storage);
		message.msg_iov = &in.vectors[slot];
		message.msg_iovlen = 1;
		message.msg_control = &in.controls[slot];
		message.msg_controllen = sizeof(control);
	}

	slot_header &header(uint32_t slot)
	{
		return *reinterpret_cast<slot_header *>(slots + slot * SLOT_SIZE);
	}

	uint8_t *payload(uint32_t slot) { return slots + slot * SLOT_SIZE + HEADER_SIZE; }

	uint32_t count = 0;
	batch in, out;

private:
	Napi::Value buffer(const Napi::CallbackInfo &) { return memory.Value(); }

	uint8_t *slots = nullptr;
	Napi::Reference<Napi::ArrayBuffer> memory;
};

} // namespace datagram
