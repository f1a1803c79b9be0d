// SPDX-License-Identifier: Apache-2.0
/*
 * A DatagramRing is an ArrayBuffer of slots; a slot is a 64-byte header and the datagram. receive()
 * fills slots, JavaScript writes answers into them, send() sends each slot to the peer named in its
 * header, from the local address named there. So an answer leaves from the address that was asked
 * (PKTINFO), and a slot's header copied elsewhere is all one needs to answer later.
 */
#include "datagram.h"

#include "datagram_ring.h"
#include "datagram_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <string>

using datagram::batch;
using datagram::control;
using datagram::PAYLOAD_SIZE;
using datagram::Ring;
using datagram::slot_header;
using datagram::watcher;

namespace {

/* Refuses with an Error whose `code` is the errno's name, as Node's own sockets do. */
Napi::Value refuse(Napi::Env env, int error, const char *what)
{
	const char *name = error == EADDRINUSE      ? "EADDRINUSE"
			   : error == EACCES        ? "EACCES"
			   : error == EADDRNOTAVAIL ? "EADDRNOTAVAIL"
			   : error == EINVAL        ? "EINVAL"
						    : "EIO";
	Napi::Error failure = Napi::Error::New(env, std::string(what) + ": " + strerror(error));
	failure.Set("code", Napi::String::New(env, name));
	failure.Set("errno", Napi::Number::New(env, error));
	failure.ThrowAsJavaScriptException();
	return env.Undefined();
}

/* `::` accepts both families; a zone after % is a link's name. */
bool parse_address(const std::string &text, uint16_t port, sockaddr_storage &out, socklen_t &size)
{
	out = {};
	auto *in4 = reinterpret_cast<sockaddr_in *>(&out);
	auto *in6 = reinterpret_cast<sockaddr_in6 *>(&out);
	if (inet_pton(AF_INET, text.c_str(), &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		size = sizeof(*in4);
		return true;
	}
	const size_t zone = text.find('%');
	if (inet_pton(AF_INET6, text.substr(0, zone).c_str(), &in6->sin6_addr) != 1)
		return false;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	if (zone != std::string::npos)
		in6->sin6_scope_id = if_nametoindex(text.c_str() + zone + 1);
	size = sizeof(*in6);
	return zone == std::string::npos || in6->sin6_scope_id != 0;
}

class Socket : public Napi::ObjectWrap<Socket> {
public:
	static Napi::Function define(Napi::Env env)
	{
		return DefineClass(env, "DatagramSocket",
				   {InstanceMethod<&Socket::receive>("receive"),
				    InstanceMethod<&Socket::send>("send"),
				    InstanceMethod<&Socket::port>("port"),
				    InstanceMethod<&Socket::close>("close")});
	}

	/* new DatagramSocket(address, port, receiveBuffer, onReadable) */
	explicit Socket(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Socket>(info)
	{
		Napi::Env env = info.Env();
		const std::string address = info[0].ToString().Utf8Value();
		const uint32_t number = info[1].ToNumber().Uint32Value();
		sockaddr_storage name;
		socklen_t size;
		if (number > 65535 || !parse_address(address, number, name, size)) {
			refuse(env, EINVAL, address.c_str());
			return;
		}
		const int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0) {
			refuse(env, errno, "socket");
			return;
		}
		family = name.ss_family;
		prepare(fd, name, info[2].ToNumber().Int32Value());
		if (bind(fd, reinterpret_cast<sockaddr *>(&name), size) < 0) {
			const int error = errno;
			::close(fd);
			refuse(env, error, "bind");
			return;
		}
		watch(env, fd, info[3].As<Napi::Function>());
	}

	~Socket()
	{
		if (state)
			watcher::close(state);
	}

private:
	void prepare(int fd, const sockaddr_storage &name, int buffer);
	void watch(Napi::Env env, int fd, Napi::Function callback);
	Napi::Value receive(const Napi::CallbackInfo &info);
	Napi::Value send(const Napi::CallbackInfo &info);
	Napi::Value port(const Napi::CallbackInfo &info);
	Napi::Value close(const Napi::CallbackInfo &info);
	void describe(const mmsghdr &message, slot_header &header);
	void address(Ring &ring, uint32_t slot, msghdr &out);

	watcher *state = nullptr;
	sa_family_t family = AF_UNSPEC;
	bool wildcard = false;
};

void Socket::prepare(int fd, const sockaddr_storage &name, int buffer)
{
	const int on = 1, off = 0;
	if (name.ss_family == AF_INET6) {
		const auto &in6 = reinterpret_cast<const sockaddr_in6 &>(name);
		wildcard = IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, wildcard ? &off : &on, sizeof(on));
		if (wildcard)
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	} else {
		wildcard = reinterpret_cast<const sockaddr_in &>(name).sin_addr.s_addr == INADDR_ANY;
		if (wildcard)
			setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	}
	/* An answer may be fragmented on the way rather than lost, and no forged ICMP error can make
	 * it smaller (RFC 9000 calls this PMTUD attack). */
	const int omit = IP_PMTUDISC_OMIT;
	if (name.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &omit, sizeof(omit));
	if (name.ss_family == AF_INET || wildcard)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit, sizeof(omit));
	if (buffer > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
}

void Socket::watch(Napi::Env env, int fd, Napi::Function callback)
{
	uv_loop_s *loop = nullptr;
	napi_get_uv_event_loop(env, &loop);
	state = new watcher;
	state->env = env;
	state->fd = fd;
	state->owner = &state;
	napi_create_reference(env, callback, 1, &state->callback);
	napi_async_init(env, nullptr, Napi::String::New(env, "DatagramSocket"), &state->context);
	watcher::start(state, loop);
}

void Socket::describe(const mmsghdr &message, slot_header &header)
{
	header = {};
	header.length = std::min(message.msg_len, PAYLOAD_SIZE);
	header.truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0;
	const auto *name = static_cast<const sockaddr_storage *>(message.msg_hdr.msg_name);
	if (name->ss_family == AF_INET) {
		const auto *in4 = reinterpret_cast<const sockaddr_in *>(name);
		header.family = 4;
		header.port = ntohs(in4->sin_port);
		memcpy(header.peer, &in4->sin_addr, 4);
	} else {
		const auto *in6 = reinterpret_cast<const sockaddr_in6 *>(name);
		const bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
		header.family = mapped ? 4 : 6;
		header.port = ntohs(in6->sin6_port);
		header.scope = in6->sin6_scope_id;
		if (mapped)
			memcpy(header.peer, in6->sin6_addr.s6_addr + 12, 4);
		else
			memcpy(header.peer, &in6->sin6_addr, 16);
	}
	if (!wildcard)
		return;
	auto *hdr = const_cast<msghdr *>(&message.msg_hdr);
	for (cmsghdr *part = CMSG_FIRSTHDR(hdr); part; part = CMSG_NXTHDR(hdr, part)) {
		if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO)
			memcpy(header.local,
			       &reinterpret_cast<in6_pktinfo *>(CMSG_DATA(part))->ipi6_addr, 16);
		else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO)
			memcpy(header.local,
			       &reinterpret_cast<in_pktinfo *>(CMSG_DATA(part))->ipi_addr, 4);
	}
}

/* Fills name and PKTINFO of an outgoing message from the slot's header alone. */
void Socket::address(Ring &ring, uint32_t slot, msghdr &out)
{
	const slot_header &header = ring.header(slot);
	sockaddr_storage &name = ring.out.names[slot];
	if (family == AF_INET) {
		auto &in4 = reinterpret_cast<sockaddr_in &>(name);
		in4 = {};
		in4.sin_family = AF_INET;
		in4.sin_port = htons(header.port);
		memcpy(&in4.sin_addr, header.peer, 4);
		out.msg_namelen = sizeof(in4);
	} else {
		auto &in6 = reinterpret_cast<sockaddr_in6 &>(name);
		in6 = {};
		in6.sin6_family = AF_INET6;
		in6.sin6_port = htons(header.port);
		if (header.family == 4) {
			in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
			memcpy(in6.sin6_addr.s6_addr + 12, header.peer, 4);
		} else {
			memcpy(&in6.sin6_addr, header.peer, 16);
			in6.sin6_scope_id = header.scope;
		}
		out.msg_namelen = sizeof(in6);
	}
	out.msg_name = &name;
	static const uint8_t zero[16] = {};
	if (!wildcard || memcmp(header.local, zero, 16) == 0)
		return;
	/* No interface index: the route decides where the answer leaves, the scope where it must. */
	control &space = ring.out.controls[slot];
	space.align = {};
	out.msg_control = &space;
	auto *part = &space.align;
	if (family == AF_INET) {
		in_pktinfo pktinfo = {};
		memcpy(&pktinfo.ipi_spec_dst, header.local, 4);
		part->cmsg_level = IPPROTO_IP;
		part->cmsg_type = IP_PKTINFO;
		part->cmsg_len = CMSG_LEN(sizeof(pktinfo));
		memcpy(CMSG_DATA(part), &pktinfo, sizeof(pktinfo));
		out.msg_controllen = CMSG_SPACE(sizeof(pktinfo));
	} else {
		in6_pktinfo pktinfo = {};
		memcpy(&pktinfo.ipi6_addr, header.local, 16);
		part->cmsg_level = IPPROTO_IPV6;
		part->cmsg_type = IPV6_PKTINFO;
		part->cmsg_len = CMSG_LEN(sizeof(pktinfo));
		memcpy(CMSG_DATA(part), &pktinfo, sizeof(pktinfo));
		out.msg_controllen = CMSG_SPACE(sizeof(pktinfo));
	}
}

/* receive(ring) → datagrams now in the first slots; 0 when none waits. */
Napi::Value Socket::receive(const Napi::CallbackInfo &info)
{
	if (!state)
		return Napi::Number::New(info.Env(), 0);
	Ring &ring = *Ring::Unwrap(info[0].As<Napi::Object>());
	const int got = recvmmsg(state->fd, ring.in.messages.data(), ring.count, MSG_DONTWAIT, nullptr);
	for (int slot = 0; slot < got; slot++) {
		describe(ring.in.messages[slot], ring.header(slot));
		ring.rearm(slot);
	}
	return Napi::Number::New(info.Env(), std::max(got, 0));
}

/* send(ring, count) → how many of the first `count` slots with a length could not be sent. */
Napi::Value Socket::send(const Napi::CallbackInfo &info)
{
	Ring &ring = *Ring::Unwrap(info[0].As<Napi::Object>());
	const uint32_t count = std::min(info[1].As<Napi::Number>().Uint32Value(), ring.count);
	uint32_t ready = 0;
	for (uint32_t slot = 0; slot < count; slot++) {
		const uint32_t length = std::min(ring.header(slot).length, PAYLOAD_SIZE);
		if (length == 0)
			continue;
		msghdr &out = ring.out.messages[ready].msg_hdr;
		out = {};
		ring.out.vectors[ready] = {ring.payload(slot), length};
		out.msg_iov = &ring.out.vectors[ready];
		out.msg_iovlen = 1;
		address(ring, slot, out);
		ready++;
	}
	/* sendmmsg stops at the first failure: count that one and go on behind it. */
	uint32_t failed = state ? 0 : ready;
	for (uint32_t sent = 0; state && sent < ready;) {
		const int done = sendmmsg(state->fd, ring.out.messages.data() + sent, ready - sent, MSG_DONTWAIT);
		if (done > 0) {
			sent += done;
			continue;
		}
		if (done < 0 && errno == EINTR)
			continue;
		sent++;
		failed++;
	}
	return Napi::Number::New(info.Env(), failed);
}

Napi::Value Socket::port(const Napi::CallbackInfo &info)
{
	sockaddr_storage name = {};
	socklen_t size = sizeof(name);
	if (!state || getsockname(state->fd, reinterpret_cast<sockaddr *>(&name), &size) < 0)
		return Napi::Number::New(info.Env(), 0);
	const uint16_t port = name.ss_family == AF_INET
				  ? reinterpret_cast<sockaddr_in &>(name).sin_port
				  : reinterpret_cast<sockaddr_in6 &>(name).sin6_port;
	return Napi::Number::New(info.Env(), ntohs(port));
}

Napi::Value Socket::close(const Napi::CallbackInfo &info)
{
	if (state)
		watcher::close(state);
	return info.Env().Undefined();
}

} // namespace

void register_datagram(Napi::Env env, Napi::Object exports)
{
	exports.Set("DatagramRing", Ring::define(env));
	exports.Set("DatagramSocket", Socket::define(env));
}
