// SPDX-License-Identifier: Apache-2.0
/** The TCP state machine of RFC 6146 section 3.5.2.2 as one table, apart from everything that it acts on. */
#pragma once

#include "session.h"

namespace sixgate {

enum class TcpEvent : uint8_t { V6_SYN, V6_FIN, V6_RST, V6_OTHER, V4_SYN, V4_FIN, V4_RST, V4_OTHER };

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
 * The next state of a session that exists. Two rows differ from RFC 6146: a RST moves the half-closed states
 * to TRANS as well (RFC 7857 section 2.2), and a SYN after both FINs opens anew (RFC 7857 section 2.1), since
 * a client that takes a port again within four minutes must not lose the connection at their end.
 */
inline TcpStep tcp_step(State state, TcpEvent event)
{
	using enum State;
	using T = TcpTimer;
	static constexpr TcpStep table[8][8] = {
		/* V6: SYN, FIN, RST, other; V4: SYN, FIN, RST, other */
		/* CLOSED: opened elsewhere, by tcp_opens() */
		{ { V6_INIT, T::TRANS }, { CLOSED, T::KEEP }, { CLOSED, T::KEEP }, { CLOSED, T::KEEP },
		  { V4_INIT, T::TRANS }, { CLOSED, T::KEEP }, { CLOSED, T::KEEP }, { CLOSED, T::KEEP } },
		/* V4_INIT */
		{ { ESTABLISHED, T::EST }, { V4_INIT, T::KEEP }, { V4_INIT, T::KEEP }, { V4_INIT, T::KEEP },
		  { V4_INIT, T::KEEP }, { V4_INIT, T::KEEP }, { V4_INIT, T::KEEP }, { V4_INIT, T::KEEP } },
		/* V6_INIT */
		{ { V6_INIT, T::TRANS }, { V6_INIT, T::KEEP }, { V6_INIT, T::KEEP }, { V6_INIT, T::KEEP },
		  { ESTABLISHED, T::EST }, { V6_INIT, T::KEEP }, { V6_INIT, T::KEEP }, { V6_INIT, T::KEEP } },
		/* ESTABLISHED */
		{ { ESTABLISHED, T::EST }, { V6_FIN_RCV, T::EST }, { TRANS, T::TRANS }, { ESTABLISHED, T::EST },
		  { ESTABLISHED, T::EST }, { V4_FIN_RCV, T::EST }, { TRANS, T::TRANS }, { ESTABLISHED, T::EST } },
		/* V4_FIN_RCV */
		{ { V4_FIN_RCV, T::EST }, { V4_FIN_V6_FIN_RCV, T::TRANS }, { TRANS, T::TRANS }, { V4_FIN_RCV, T::EST },
		  { V4_FIN_RCV, T::EST }, { V4_FIN_RCV, T::EST }, { TRANS, T::TRANS }, { V4_FIN_RCV, T::EST } },
		/* V6_FIN_RCV */
		{ { V6_FIN_RCV, T::EST }, { V6_FIN_RCV, T::EST }, { TRANS, T::TRANS }, { V6_FIN_RCV, T::EST },
		  { V6_FIN_RCV, T::EST }, { V4_FIN_V6_FIN_RCV, T::TRANS }, { TRANS, T::TRANS }, { V6_FIN_RCV, T::EST } },
		/* V4_FIN_V6_FIN_RCV */
		{ { V6_INIT, T::TRANS }, { V4_FIN_V6_FIN_RCV, T::KEEP }, { V4_FIN_V6_FIN_RCV, T::KEEP },
		  { V4_FIN_V6_FIN_RCV, T::KEEP }, { V4_INIT, T::TRANS }, { V4_FIN_V6_FIN_RCV, T::KEEP },
		  { V4_FIN_V6_FIN_RCV, T::KEEP }, { V4_FIN_V6_FIN_RCV, T::KEEP } },
		/* TRANS */
		{ { ESTABLISHED, T::EST }, { ESTABLISHED, T::EST }, { TRANS, T::KEEP }, { ESTABLISHED, T::EST },
		  { ESTABLISHED, T::EST }, { ESTABLISHED, T::EST }, { TRANS, T::KEEP }, { ESTABLISHED, T::EST } },
	};
	return table[static_cast<unsigned>(state)][static_cast<unsigned>(event)];
}

} // namespace sixgate
