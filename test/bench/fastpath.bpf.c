// SPDX-License-Identifier: GPL-2.0-only
/* Around the gateway's programs: a generator, a sink, and what restores a frame between test runs.
 */
#include <linux/bpf.h>
#include <stdint.h>

#include <bpf/bpf_helpers.h>

#define HEADERS 62 /* Ethernet, IPv6, UDP */
#define PORTS 16384

struct bench {
	uint32_t flows, random, ifindex, reserved;
	uint64_t received;
	uint8_t headers[64]; /* of the frames, but for the client's last four bytes and port */
};

struct bench bench SEC(".data.bench");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint32_t);
} target SEC(".maps");

static inline __attribute__((always_inline)) int restore(struct xdp_md *ctx, uint32_t flow)
{
	uint8_t *frame = (uint8_t *)(long)ctx->data;
	uint32_t i;

	if ((void *)(frame + HEADERS) > (void *)(long)ctx->data_end)
		return -1;
	for (i = 0; i < 56; i += 8)
		*(uint64_t *)(frame + i) = *(uint64_t *)(bench.headers + i);
	*(uint32_t *)(frame + 56) = *(uint32_t *)(bench.headers + 56);
	*(uint16_t *)(frame + 60) = *(uint16_t *)(bench.headers + 60);
	*(uint32_t *)(frame + 34) = __builtin_bswap32(1 + flow / PORTS);
	*(uint16_t *)(frame + 54) = __builtin_bswap16(1024 + flow % PORTS);
	return 0;
}

/* Any of the flows, each as likely as the others: xorshift. */
static inline __attribute__((always_inline)) uint32_t next_flow(void)
{
	uint32_t x = bench.random;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	bench.random = x;
	return (uint32_t)((uint64_t)x * bench.flows >> 32);
}

SEC("xdp.frags")
int generate(struct xdp_md *ctx)
{
	if (restore(ctx, next_flow()))
		return XDP_ABORTED;
	return bpf_redirect(bench.ifindex, 0);
}

SEC("xdp.frags")
int sink(struct xdp_md *ctx)
{
	(void)ctx;
	bench.received++;
	return XDP_DROP;
}

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* A test run feeds back what came out: 20 bytes shorter after the gateway. */
SEC("xdp.frags")
int again(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, -20) || restore(ctx, next_flow()))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int once(struct xdp_md *ctx)
{
	if (restore(ctx, next_flow()))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

/* The end of `once` that does nothing, and that of `again` that only moves the start back. */
SEC("xdp.frags")
int nothing(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp.frags")
int shorten(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, 20) ? XDP_ABORTED : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
