// SPDX-License-Identifier: Apache-2.0
/*
 * No thread, no wake-up across threads, nothing to lock. Node exports libuv's symbols but its headers are not
 * installed, so the few functions are declared here; handles are opaque and sized by uv_handle_size(), and the ABI
 * of libuv 1.x is fixed.
 */
#include "datagram_watch.h"

#include <napi.h>
#include <unistd.h>

#include <cstdlib>

extern "C" {
struct uv_loop_s;
struct uv_handle_s;
struct uv_poll_s;
size_t uv_handle_size(int type);
int uv_poll_init(uv_loop_s *loop, uv_poll_s *handle, int fd);
int uv_poll_start(uv_poll_s *handle, int events, void (*cb)(uv_poll_s *, int, int));
void uv_close(uv_handle_s *handle, void (*cb)(uv_handle_s *));
void *uv_handle_get_data(const uv_handle_s *handle);
void uv_handle_set_data(uv_handle_s *handle, void *data);
}

namespace datagram {

constexpr int UV_POLL_TYPE = 8; /* uv_handle_type of libuv 1.x */
constexpr int UV_READABLE_EVENT = 1;

void watcher::start(watcher *self, uv_loop_s *loop)
{
	self->poll = static_cast<uv_poll_s *>(calloc(1, uv_handle_size(UV_POLL_TYPE)));
	uv_poll_init(loop, self->poll, self->fd);
	uv_handle_set_data(reinterpret_cast<uv_handle_s *>(self->poll), self);
	uv_poll_start(self->poll, UV_READABLE_EVENT, readable);
	napi_add_async_cleanup_hook(
	    self->env,
	    [](napi_async_cleanup_hook_handle, void *data) { close(static_cast<watcher *>(data)); },
	    self, &self->hook);
}

void watcher::readable(uv_poll_s *poll, int, int)
{
	auto *self = static_cast<watcher *>(uv_handle_get_data(reinterpret_cast<uv_handle_s *>(poll)));
	Napi::Env env(self->env);
	Napi::HandleScope scope(env);
	napi_value function, global, result;
	if (self->closing || napi_get_reference_value(env, self->callback, &function) != napi_ok)
		return;
	napi_get_global(env, &global);
	if (napi_make_callback(env, self->context, global, function, 0, nullptr, &result) ==
	    napi_pending_exception) {
		napi_value error;
		napi_get_and_clear_last_exception(env, &error);
		napi_fatal_exception(env, error);
	}
}

void watcher::close(watcher *self)
{
	if (self->closing)
		return;
	self->closing = true;
	if (self->owner)
		*self->owner = nullptr;
	auto *handle = reinterpret_cast<uv_handle_s *>(self->poll);
	uv_close(handle, [](uv_handle_s *closed) {
		auto *done = static_cast<watcher *>(uv_handle_get_data(closed));
		Napi::HandleScope scope{Napi::Env(done->env)};
		napi_delete_reference(done->env, done->callback);
		napi_async_destroy(done->env, done->context);
		napi_remove_async_cleanup_hook(done->hook);
		free(closed);
		delete done;
	});
	/* libuv no longer polls it: the port is free when close() returns, not a turn later. */
	::close(self->fd);
}

} // namespace datagram
