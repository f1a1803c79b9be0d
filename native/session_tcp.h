// SPDX-License-Identifier: Apache-2.0
/**
 * The TCP state machine of RFC 6146 section 3.5.2.2 as one table, apart from everything that it
 * acts on.
 */
#pragma once

#include "session.h"

namespace sixgate {

enum class TcpEvent : uint8_t {
	V6_SYN,
	V6_FIN,
	V6_RST,
	V6_OTHER,
	V4_SYN,
	V4_FIN,
	V4_RST,
	V4_OTHER
};

/** What a step does to the session's lifetime. */
enum class TcpTimer : uint8_t { KEEP, TRANS, EST };

struct TcpStep {
	State state;
	TcpTimer timer;
};

inline TcpEvent tcp_event(bool from_v6, uint8_t flags)
{
	unsigned kind = flags & TCP_RST ? 2 : flags & TCP_SYN ? 0 : flags & TCP_FIN ? 1 : 3;
	return static_cast<TcpEvent>(kind + (from_v6 ? 0 : 4));
}

/** Only a SYN without ACK or RST opens a session. */
inline bool tcp_opens(uint8_t flags)
{
	return (flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/**
 * The next state of a session that exists. It differs from RFC 6146 twice: a RST moves the
 * half-closed states to TRANS as well (RFC 7857 section 2.2), and a SYN after both FINs opens anew,
 * since a client that takes a port again within four minutes must not lose its connection then.
 */
inline TcpStep tcp_step(State state, TcpEvent event)
{
	using enum State;
	using T = TcpTimer;
	constexpr TcpStep none = { CLOSED, T::KEEP }, open6 = { V6_INIT, T::TRANS },
			  open4 = { V4_INIT, T::TRANS }, six = { V6_INIT, T::KEEP },
			  four = { V4_INIT, T::KEEP }, up = { ESTABLISHED, T::EST },
			  fin6 = { V6_FIN_RCV, T::EST }, fin4 = { V4_FIN_RCV, T::EST },
			  fins = { V4_FIN_V6_FIN_RCV, T::TRANS },
			  done = { V4_FIN_V6_FIN_RCV, T::KEEP }, reset = { TRANS, T::TRANS },
			  trans = { TRANS, T::KEEP };
	// clang-format off
	static constexpr TcpStep table[8][8] = {
		/* V6:  SYN    FIN   RST    other   V4:  SYN    FIN   RST    other */
		{       open6, none, none,  none,        open4, none, none,  none  }, /* CLOSED */
		{       up,    four, four,  four,        four,  four, four,  four  }, /* V4_INIT */
		{       open6, six,  six,   six,         up,    six,  six,   six   }, /* V6_INIT */
		{       up,    fin6, reset, up,          up,    fin4, reset, up    }, /* up */
		{       fin4,  fins, reset, fin4,        fin4,  fin4, reset, fin4  }, /* fin4 */
		{       fin6,  fin6, reset, fin6,        fin6,  fins, reset, fin6  }, /* fin6 */
		{       open6, done, done,  done,        open4, done, done,  done  }, /* both */
		{       up,    up,   trans, up,          up,    up,   trans, up    }, /* TRANS */
	};
	// clang-format on
	return table[static_cast<unsigned>(state)][static_cast<unsigned>(event)];
}

} // namespace sixgate
