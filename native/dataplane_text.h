// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses come and go as canonical text. What JavaScript passes it has judged; inet_ntop() writes
 * RFC 5952 for what is not IPv4 in disguise.
 */
#pragma once

#include <cstdlib>
#include <string>

#include <arpa/inet.h>

#include "session.h"

namespace sixgate {

inline Ip6 parse6(const std::string &text)
{
	Ip6 address{};
	inet_pton(AF_INET6, text.c_str(), address.bytes);
	return address;
}

inline uint32_t parse4(const std::string &text)
{
	in_addr address{};
	inet_pton(AF_INET, text.c_str(), &address);
	return ntohl(address.s_addr);
}

inline std::string text6(const Ip6 &address)
{
	char text[INET6_ADDRSTRLEN];
	return inet_ntop(AF_INET6, address.bytes, text, sizeof(text));
}

inline std::string text4(uint32_t host)
{
	char text[INET_ADDRSTRLEN];
	in_addr address{htonl(host)};
	return inet_ntop(AF_INET, &address, text, sizeof(text));
}

inline std::string endpoint6(const Ip6 &address, uint16_t port)
{
	return "[" + text6(address) + "]:" + std::to_string(port);
}

inline std::string endpoint4(uint32_t address, uint16_t port)
{
	return text4(address) + ":" + std::to_string(port);
}

/* "ADDRESS/LENGTH", or an address alone. */
inline uint8_t split_prefix(std::string &text, uint8_t whole)
{
	size_t slash = text.find('/');
	if (slash == std::string::npos)
		return whole;
	uint8_t length = static_cast<uint8_t>(std::atoi(text.c_str() + slash + 1));
	text.resize(slash);
	return length;
}

inline Prefix6 parse_prefix6(std::string text)
{
	uint8_t length = split_prefix(text, 128);
	return {parse6(text), length};
}

inline Prefix4 parse_prefix4(std::string text)
{
	uint8_t length = split_prefix(text, 32);
	return {parse4(text), length};
}

/* "[ADDRESS]:PORT" or "ADDRESS:PORT". */
inline uint16_t split_endpoint(std::string &text)
{
	size_t colon = text.rfind(':');
	uint16_t port = static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1));
	text.resize(colon);
	if (!text.empty() && text.front() == '[')
		text = text.substr(1, text.size() - 2);
	return port;
}

inline Protocol parse_protocol(const std::string &name)
{
	return name == "tcp" ? Protocol::TCP : name == "udp" ? Protocol::UDP : Protocol::ICMP;
}

inline const char *protocol_name(Protocol protocol)
{
	return protocol == Protocol::TCP ? "tcp" : protocol == Protocol::UDP ? "udp" : "icmp";
}

} // namespace sixgate
