#include "proxy/ipc.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct error err;

/* One end of a channel, and what came in on it. */
struct end {
	struct ipc *ipc;
	unsigned received, closed;
	uint16_t kind;
	uint32_t last_id;
	size_t body_len;
	uint8_t body[32];
	int taken_fd;
	bool reason;
	unsigned stop_after;
	bool free_when_received, echo;
};

static void received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct end *end = ctx;
	assert_ptr_equal(ipc, end->ipc);
	end->received++;
	end->kind = message->kind;
	end->last_id = message->id;
	end->body_len = message->body.len;
	if (message->body.len)
		memcpy(end->body, message->body.data,
			message->body.len < sizeof(end->body) ? message->body.len : sizeof(end->body));
	if (message->fd_count) {
		end->taken_fd = message->fds[0];
		message->fds[0] = -1;
	}
	if (end->echo)
		assert_int_equal(ipc_send(ipc, message), IPC_SENT);
	if (end->free_when_received) {
		ipc_free(ipc);
		end->ipc = NULL;
	}
	if (end->received == end->stop_after)
		loop_stop(loop);
}

static void closed(struct ipc *ipc, const char *reason, void *ctx)
{
	struct end *end = ctx;
	end->closed++;
	end->reason = reason != NULL;
	assert_int_equal(ipc_send(ipc, &(struct ipc_message){.kind = 1}), IPC_CLOSED);
	ipc_free(ipc);
	end->ipc = NULL;
	loop_stop(loop);
}

static const struct ipc_handlers handlers = {.received = received, .closed = closed};

static void open_ends(struct end *a, struct end *b, size_t queue_cap)
{
	int fds[2];
	loop = loop_new();
	assert_true(ipc_pair(fds, &err));
	a->ipc = ipc_new(loop, fds[0], queue_cap, &handlers, a, &err);
	b->ipc = ipc_new(loop, fds[1], queue_cap, &handlers, b, &err);
	assert_non_null(a->ipc);
	assert_non_null(b->ipc);
}

static void close_ends(struct end *a, struct end *b)
{
	ipc_free(a->ipc);
	ipc_free(b->ipc);
	loop_free(loop);
}

static void a_message_arrives_whole_with_kind_id_and_body(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {.stop_after = 2};
	open_ends(&a, &b, 1 << 20);
	struct ipc_message message = {.kind = 7, .id = 0xdeadbeef, .body = bytes_str("hello")};
	assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 1}), IPC_SENT);
	assert_int_equal(ipc_send(a.ipc, &message), IPC_SENT);
	assert_int_equal(b.received, 0); /* never inside a call */
	assert_true(loop_run(loop));
	assert_int_equal(b.received, 2);
	assert_int_equal(b.kind, 7);
	assert_int_equal(b.last_id, 0xdeadbeef);
	assert_int_equal(b.body_len, 5);
	assert_memory_equal(b.body, "hello", 5);
	close_ends(&a, &b);
}

static void the_longest_body_passes_and_one_octet_more_is_refused(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {.stop_after = 1};
	open_ends(&a, &b, 1 << 20);
	uint8_t *body = calloc(1, IPC_BODY_MAX + 1);
	struct ipc_message message = {.kind = 2, .body = bytes_of(body, IPC_BODY_MAX + 1)};
	assert_int_equal(ipc_send(a.ipc, &message), IPC_TOO_LONG);
	message.body.len--;
	assert_int_equal(ipc_send(a.ipc, &message), IPC_SENT);
	assert_true(loop_run(loop));
	assert_int_equal(b.body_len, IPC_BODY_MAX);
	free(body);
	close_ends(&a, &b);
}

static size_t open_descriptors(void)
{
	size_t count = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void a_descriptor_comes_through_closed_on_exec_and_those_not_taken_are_closed(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {.stop_after = 1, .taken_fd = -1};
	open_ends(&a, &b, 1 << 20);
	int pipe_fds[2];
	char byte = 0;
	assert_int_equal(pipe(pipe_fds), 0);
	size_t before = open_descriptors();
	struct ipc_message message = {
		.kind = 3, .fds = {pipe_fds[1], pipe_fds[0], pipe_fds[0], pipe_fds[0]}, .fd_count = 4};
	assert_int_equal(ipc_send(a.ipc, &message), IPC_SENT);
	assert_true(loop_run(loop));
	assert_int_equal(open_descriptors(), before + 1); /* four came, one was taken */
	assert_true(fcntl(b.taken_fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(b.taken_fd, "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	message.fd_count = 5;
	assert_int_equal(ipc_send(a.ipc, &message), IPC_TOO_LONG);
	close(b.taken_fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close_ends(&a, &b);
}

static void a_slow_peer_fills_the_queue_and_the_rest_is_refused_and_counted(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {0};
	open_ends(&a, &b, 65536);
	static uint8_t body[8192];
	uint32_t sent = 0;
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	struct ipc_message message = {.kind = 4, .body = bytes_of(body, sizeof(body))};
	for (;; sent++) {
		message.id = sent;
		if (ipc_send(a.ipc, &message) != IPC_SENT)
			break;
	}
	assert_in_range(sent, 8, 1000);
	struct ipc_counts counts = ipc_count(a.ipc);
	assert_int_equal(counts.sent, sent);
	assert_int_equal(counts.refused, 1);
	assert_in_range(counts.queued, 1, 65536);
	/* When the peer reads again, all of it arrives, in order, and there is room again. */
	b.stop_after = sent;
	assert_true(loop_run(loop));
	assert_int_equal(b.received, sent);
	assert_int_equal(b.last_id, sent - 1);
	assert_int_equal(ipc_count(a.ipc).queued, 0);
	assert_int_equal(ipc_send(a.ipc, &message), IPC_SENT);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close_ends(&a, &b);
}

static void descriptors_in_the_queue_survive_the_senders_closing_them(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {.taken_fd = -1};
	open_ends(&a, &b, 1 << 20);
	static uint8_t body[65536];
	int pipe_fds[2];
	uint32_t sent = 0;
	assert_int_equal(pipe(pipe_fds), 0);
	struct ipc_message message = {.kind = 4, .body = bytes_of(body, sizeof(body))};
	while (ipc_count(a.ipc).queued == 0) {
		assert_int_equal(ipc_send(a.ipc, &message), IPC_SENT);
		sent++;
	}
	struct ipc_message carrier = {.kind = 5, .fds = {pipe_fds[1]}, .fd_count = 1};
	assert_int_equal(ipc_send(a.ipc, &carrier), IPC_SENT);
	close(pipe_fds[1]);
	b.stop_after = sent + 1;
	assert_true(loop_run(loop));
	assert_int_equal(write(b.taken_fd, "x", 1), 1);
	close(b.taken_fd);
	close(pipe_fds[0]);
	close_ends(&a, &b);
}

static void the_peers_end_is_told_once_after_all_it_sent(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {0};
	open_ends(&a, &b, 1 << 20);
	for (int i = 0; i < 200; i++)
		assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 1}), IPC_SENT);
	/* The peer dies with a message of ours unread: the kernel then reports a reset before its last words. */
	assert_int_equal(ipc_send(b.ipc, &(struct ipc_message){.kind = 1}), IPC_SENT);
	ipc_free(a.ipc);
	a.ipc = NULL;
	assert_true(loop_run(loop));
	assert_int_equal(b.received, 200);
	assert_int_equal(b.closed, 1);
	assert_false(b.reason);
	close_ends(&a, &b);
}

static void what_is_no_message_closes_the_channel_with_a_reason(void **state)
{
	(void)state;
	struct end a = {0};
	int fds[2];
	loop = loop_new();
	assert_true(ipc_pair(fds, &err));
	a.ipc = ipc_new(loop, fds[0], 1 << 20, &handlers, &a, &err);
	assert_int_equal(write(fds[1], "short", 5), 5);
	assert_true(loop_run(loop));
	assert_int_equal(a.received, 0);
	assert_int_equal(a.closed, 1);
	assert_true(a.reason);
	close(fds[1]);
	loop_free(loop);
}

static void a_datagram_over_the_limit_closes_the_channel(void **state)
{
	(void)state;
	struct end a = {0};
	int fds[2];
	loop = loop_new();
	assert_true(ipc_pair(fds, &err));
	a.ipc = ipc_new(loop, fds[0], 1 << 20, &handlers, &a, &err);
	size_t len = IPC_HEAD + IPC_BODY_MAX + 1;
	uint8_t *datagram = calloc(1, len);
	assert_int_equal(send(fds[1], datagram, len, 0), len);
	assert_true(loop_run(loop));
	assert_int_equal(a.closed, 1);
	free(datagram);
	close(fds[1]);
	loop_free(loop);
}

static void a_channel_may_be_freed_inside_its_callback(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {.free_when_received = true};
	open_ends(&a, &b, 1 << 20);
	assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 1}), IPC_SENT);
	assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 2}), IPC_SENT);
	assert_true(loop_run(loop)); /* until a hears that b is gone */
	assert_int_equal(b.received, 1);
	assert_int_equal(b.closed, 0);
	assert_int_equal(a.closed, 1);
	close_ends(&a, &b);
}

static void an_answer_may_be_sent_inside_the_callback(void **state)
{
	(void)state;
	struct end a = {.stop_after = 1000};
	struct end b = {.echo = true};
	open_ends(&a, &b, 1 << 20);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 9, .id = i}), IPC_SENT);
	assert_true(loop_run(loop));
	assert_int_equal(a.received, 1000);
	assert_int_equal(a.last_id, 999);
	close_ends(&a, &b);
}

static void a_released_channel_goes_on_elsewhere_with_what_nobody_had_read(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {.stop_after = 3};
	open_ends(&a, &b, 1 << 20);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 9, .id = i}), IPC_SENT);
	int fd = ipc_release(b.ipc, 0);
	assert_true(fd >= 0);
	assert_int_equal(ipc_send(a.ipc, &(struct ipc_message){.kind = 9, .id = 2}), IPC_SENT);
	b.ipc = ipc_new(loop, fd, 1 << 20, &handlers, &b, &err);
	assert_non_null(b.ipc);
	assert_true(loop_run(loop));
	assert_int_equal(b.received, 3);
	assert_int_equal(b.last_id, 2);
	close_ends(&a, &b);
}

static void a_channel_whose_messages_found_no_way_out_is_closed_instead(void **state)
{
	(void)state;
	struct end a = {0};
	struct end b = {0};
	open_ends(&a, &b, 1 << 20);
	uint8_t *body = calloc(1, 65536);
	struct ipc_message message = {.kind = 2, .body = bytes_of(body, 65536)};
	while (ipc_count(a.ipc).queued == 0)
		assert_int_equal(ipc_send(a.ipc, &message), IPC_SENT);
	assert_int_equal(ipc_release(a.ipc, 1), -1);
	a.ipc = NULL;
	free(body);
	close_ends(&a, &b);
}

static void packing_and_unpacking_are_one_anothers_inverse(void **state)
{
	(void)state;
	uint8_t datagram[16];
	struct ipc_message message = {.kind = 0x1234, .id = 0x56789abc, .body = bytes_str("body")};
	struct ipc_message read;
	assert_int_equal(ipc_pack(datagram, 9, &message), 0);
	assert_int_equal(ipc_pack(datagram, sizeof(datagram), &message), 10);
	assert_true(ipc_unpack(bytes_of(datagram, 10), &read));
	assert_int_equal(read.kind, 0x1234);
	assert_int_equal(read.id, 0x56789abc);
	assert_true(bytes_equal(read.body, bytes_str("body")));
	for (size_t i = 0; i < IPC_HEAD; i++)
		assert_false(ipc_unpack(bytes_of(datagram, i), &read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_whole_with_kind_id_and_body),
		cmocka_unit_test(the_longest_body_passes_and_one_octet_more_is_refused),
		cmocka_unit_test(a_descriptor_comes_through_closed_on_exec_and_those_not_taken_are_closed),
		cmocka_unit_test(a_slow_peer_fills_the_queue_and_the_rest_is_refused_and_counted),
		cmocka_unit_test(descriptors_in_the_queue_survive_the_senders_closing_them),
		cmocka_unit_test(the_peers_end_is_told_once_after_all_it_sent),
		cmocka_unit_test(what_is_no_message_closes_the_channel_with_a_reason),
		cmocka_unit_test(a_datagram_over_the_limit_closes_the_channel),
		cmocka_unit_test(a_channel_may_be_freed_inside_its_callback),
		cmocka_unit_test(an_answer_may_be_sent_inside_the_callback),
		cmocka_unit_test(a_released_channel_goes_on_elsewhere_with_what_nobody_had_read),
		cmocka_unit_test(a_channel_whose_messages_found_no_way_out_is_closed_instead),
		cmocka_unit_test(packing_and_unpacking_are_one_anothers_inverse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
