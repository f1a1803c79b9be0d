/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batched UDP sockets for JavaScript: recvmmsg and sendmmsg over a ring of fixed slots that both
 * sides see, driven by the environment's own event loop.
 */
#ifndef SIXGATE_DATAGRAM_H
#define SIXGATE_DATAGRAM_H

#include <napi.h>

void register_datagram(Napi::Env env, Napi::Object exports);

#endif
