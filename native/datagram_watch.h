// SPDX-License-Identifier: Apache-2.0
/* Sockets watched by libuv inside the environment's loop. */
#pragma once

#include <node_api.h>

struct uv_loop_s;
struct uv_poll_s;

namespace datagram {

/* The part of a socket that libuv owns: it outlives the JavaScript object until uv_close is done. */
struct watcher {
	napi_env env = nullptr;
	napi_ref callback = nullptr;
	napi_async_context context = nullptr;
	napi_async_cleanup_hook_handle hook = nullptr;
	uv_poll_s *poll = nullptr;
	int fd = -1;
	bool closing = false;
	watcher **owner = nullptr;

	static void start(watcher *self, uv_loop_s *loop);
	static void close(watcher *self);
	static void readable(uv_poll_s *poll, int status, int events);
};

} // namespace datagram
