#include "base/clock.h"
#include "proxy/resolver_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct error err;
static struct resolver_client *client;

struct heard {
	struct resolver_answer answer;
	enum resolver_result result;
	unsigned calls;
};

static unsigned wanted, got; /* calls until the loop stops */

static void done(enum resolver_result result, const struct resolver_answer *answer, void *ctx)
{
	struct heard *heard = ctx;
	heard->result = result;
	heard->answer = *answer;
	heard->calls++;
	if (++got == wanted)
		loop_stop(loop);
}

static void run(unsigned calls)
{
	got = 0;
	wanted = calls;
	assert_true(loop_run(loop));
	assert_int_equal(got, calls);
}

static struct resolver_wait *ask(const char *host, struct heard *heard, uint64_t within_ns)
{
	struct resolver_wait *wait =
		resolver_client_resolve(client, bytes_str(host), clock_monotonic_ns() + within_ns, done, heard);
	assert_non_null(wait);
	assert_int_equal(heard->calls, 0); /* never inside the call */
	return wait;
}

/* A resolver that says and does what the test wants: the other end of the socket. */
static int other_end;

static void start_silent(const struct resolver_limits *limits, void (*gone)(void *))
{
	int fds[2];
	loop = loop_new();
	assert_true(ipc_pair(fds, &err));
	other_end = fds[1];
	client = resolver_client_new(loop, fds[0], limits, gone, NULL, &err);
	assert_non_null(client);
}

static struct resolver *resolver;

static void start_real(void)
{
	start_silent(NULL, NULL);
	resolver = resolver_serve(other_end, 2, &err);
	assert_non_null(resolver);
	other_end = -1;
}

static int stop(void **state)
{
	(void)state;
	resolver_client_free(client);
	resolver_free(resolver);
	if (other_end >= 0)
		close(other_end);
	loop_free(loop);
	client = NULL;
	resolver = NULL;
	other_end = -1;
	return 0;
}

/* The question that waits on the other end; false when there is none. */
static bool question(uint32_t *id, char name[RESOLVER_NAME_MAX + 1])
{
	uint8_t datagram[512];
	struct ipc_message message;
	ssize_t n = recv(other_end, datagram, sizeof(datagram), MSG_DONTWAIT);
	if (n <= 0)
		return false;
	assert_true(ipc_unpack(bytes_of(datagram, (size_t)n), &message));
	assert_int_equal(message.kind, RESOLVER_RESOLVE);
	memcpy(name, message.body.data, message.body.len);
	name[message.body.len] = '\0';
	*id = message.id;
	return true;
}

static void reply(uint32_t id, struct bytes body)
{
	uint8_t datagram[512];
	struct ipc_message message = {.kind = RESOLVER_RESOLVED, .id = id, .body = body};
	size_t len = ipc_pack(datagram, sizeof(datagram), &message);
	assert_int_equal(send(other_end, datagram, len, 0), len);
}

static const uint8_t one_address[] = {0, 4, 192, 0, 2, 1};

static void localhost_is_found_as_the_machine_says(void **state)
{
	(void)state;
	struct heard heard = {0};
	start_real();
	ask("LocalHost", &heard, 20 * NS_PER_S);
	run(1);
	assert_int_equal(heard.result, RESOLVER_OK);
	assert_true(heard.answer.count >= 1);
	for (size_t i = 0; i < heard.answer.count; i++) {
		const union resolver_address *a = &heard.answer.addresses[i];
		if (a->any.sa_family == AF_INET)
			assert_int_equal(ntohl(a->v4.sin_addr.s_addr) >> 24, 127);
		else
			assert_true(IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr));
	}
}

static void numbers_are_answered_without_asking_anybody(void **state)
{
	(void)state;
	struct heard heard[3] = {0};
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	start_silent(NULL, NULL);
	ask("192.0.2.7", &heard[0], NS_PER_S);
	ask("2001:db8::7", &heard[1], NS_PER_S);
	ask("[2001:db8::7]", &heard[2], NS_PER_S);
	run(3);
	assert_int_equal(heard[0].answer.addresses[0].v4.sin_addr.s_addr, htonl(0xc0000207));
	assert_int_equal(heard[1].answer.addresses[0].any.sa_family, AF_INET6);
	assert_memory_equal(&heard[1].answer, &heard[2].answer, sizeof(heard[1].answer));
	assert_false(question(&id, name));
}

static void one_question_per_name_is_on_the_way_and_its_answer_is_remembered(void **state)
{
	(void)state;
	struct heard heard[4] = {0};
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	start_silent(NULL, NULL);
	ask("example.com", &heard[0], 20 * NS_PER_S);
	ask("EXAMPLE.com.", &heard[1], 20 * NS_PER_S);
	assert_true(question(&id, name));
	assert_string_equal(name, "example.com");
	assert_false(question(&(uint32_t){0}, name));
	reply(id, bytes_of(one_address, sizeof(one_address)));
	run(2);
	assert_int_equal(heard[1].answer.addresses[0].v4.sin_addr.s_addr, htonl(0xc0000201));
	ask("example.com", &heard[2], 20 * NS_PER_S);
	run(1);
	assert_int_equal(heard[2].result, RESOLVER_OK);
	assert_false(question(&id, name));
	struct resolver_client_counts counts = resolver_client_count(client);
	assert_int_equal(counts.asked, 1);
	assert_int_equal(counts.shared, 1);
	assert_int_equal(counts.pending, 0);
	assert_int_equal(counts.cached, 1);
}

static void what_was_remembered_ends(void **state)
{
	(void)state;
	struct heard heard[4] = {0};
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	start_silent(&(struct resolver_limits){.positive_ns = 1, .negative_ns = 3600 * NS_PER_S}, NULL);
	for (int i = 0; i < 2; i++) {
		ask("found.example", &heard[i], 20 * NS_PER_S);
		assert_true(question(&id, name)); /* each time anew */
		reply(id, bytes_of(one_address, sizeof(one_address)));
		run(1);
	}
	ask("missing.example", &heard[2], 20 * NS_PER_S);
	assert_true(question(&id, name));
	reply(id, bytes_str("\x0cno such name"));
	run(1);
	assert_int_equal(heard[2].result, RESOLVER_FAILED);
	assert_string_equal(heard[2].answer.text, "no such name");
	ask("missing.example", &heard[3], 20 * NS_PER_S);
	assert_false(question(&id, name)); /* that there is none is remembered too */
	run(1);
	assert_int_equal(heard[3].result, RESOLVER_FAILED);
}

static void a_deadline_ends_a_wait_and_the_late_answer_is_still_of_use(void **state)
{
	(void)state;
	struct heard heard[2] = {0};
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	start_silent(NULL, NULL);
	ask("slow.example", &heard[0], NS_PER_MS);
	run(1);
	assert_int_equal(heard[0].result, RESOLVER_TIMEOUT);
	assert_true(heard[0].answer.text[0] != '\0');
	assert_int_equal(resolver_client_count(client).timeouts, 1);
	assert_true(question(&id, name));
	/* The next one joins the flight, and gets the answer. */
	ask("slow.example", &heard[1], 20 * NS_PER_S);
	assert_false(question(&(uint32_t){0}, name));
	reply(id, bytes_of(one_address, sizeof(one_address)));
	run(1);
	assert_int_equal(heard[1].result, RESOLVER_OK);
	assert_int_equal(heard[0].calls, 1);
}

static void a_cancelled_wait_is_never_called(void **state)
{
	(void)state;
	struct heard heard[4] = {0};
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	start_silent(NULL, NULL);
	struct resolver_wait *first = ask("a.example", &heard[0], NS_PER_MS);
	ask("a.example", &heard[1], 20 * NS_PER_S);
	resolver_wait_cancel(first);
	struct resolver_wait *numeric = ask("192.0.2.1", &heard[2], NS_PER_S);
	resolver_wait_cancel(numeric);
	assert_true(question(&id, name));
	reply(id, bytes_of(one_address, sizeof(one_address)));
	run(1);
	assert_int_equal(heard[0].calls + heard[2].calls, 0);
	assert_int_equal(heard[1].calls, 1);
	assert_int_equal(resolver_client_count(client).pending, 0);
}

static void more_than_the_cap_is_refused_and_counted(void **state)
{
	(void)state;
	struct heard heard[3] = {0};
	start_silent(&(struct resolver_limits){.pending = 2}, NULL);
	ask("a.example", &heard[0], 20 * NS_PER_S);
	ask("b.example", &heard[1], 20 * NS_PER_S);
	ask("c.example", &heard[2], 20 * NS_PER_S);
	run(1);
	assert_int_equal(heard[2].result, RESOLVER_REFUSED);
	assert_int_equal(resolver_client_count(client).refused, 1);
	assert_int_equal(heard[0].calls + heard[1].calls, 0);
}

static void what_is_no_name_is_refused(void **state)
{
	(void)state;
	struct heard heard[2] = {0};
	char long_name[300];
	memset(long_name, 'a', sizeof(long_name));
	long_name[RESOLVER_NAME_MAX + 1] = '\0';
	start_silent(NULL, NULL);
	ask(long_name, &heard[0], NS_PER_S);
	ask("", &heard[1], NS_PER_S);
	run(2);
	assert_int_equal(heard[0].result, RESOLVER_REFUSED);
	assert_int_equal(heard[1].result, RESOLVER_REFUSED);
}

static unsigned times_gone;

static void resolver_gone(void *ctx)
{
	(void)ctx;
	times_gone++;
}

static void a_lost_resolver_fails_what_waits_and_a_new_one_serves_on(void **state)
{
	(void)state;
	struct heard heard[3] = {0};
	int fds[2];
	times_gone = 0;
	start_silent(NULL, resolver_gone);
	ask("a.example", &heard[0], 20 * NS_PER_S);
	close(other_end);
	run(1);
	assert_int_equal(heard[0].result, RESOLVER_GONE);
	assert_int_equal(times_gone, 1);
	ask("a.example", &heard[1], 20 * NS_PER_S);
	run(1);
	assert_int_equal(heard[1].result, RESOLVER_GONE);
	assert_true(ipc_pair(fds, &err));
	other_end = fds[1];
	assert_true(resolver_client_attach(client, fds[0], &err));
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	ask("a.example", &heard[2], 20 * NS_PER_S);
	assert_true(question(&id, name));
	reply(id, bytes_of(one_address, sizeof(one_address)));
	run(1);
	assert_int_equal(heard[2].result, RESOLVER_OK);
}

static void a_broken_answer_is_a_failure_and_one_to_nobody_is_ignored(void **state)
{
	(void)state;
	struct heard heard = {0};
	uint32_t id = 0;
	char name[RESOLVER_NAME_MAX + 1] = "";
	start_silent(NULL, NULL);
	ask("a.example", &heard, 20 * NS_PER_S);
	assert_true(question(&id, name));
	reply(id + 77, bytes_of(one_address, sizeof(one_address)));
	reply(id, bytes_str("\x01"));
	run(1);
	assert_int_equal(heard.result, RESOLVER_FAILED);
}

static void answers_read_as_written_and_in_no_other_way(void **state)
{
	(void)state;
	uint8_t room[1024];
	struct resolver_answer answer = {.count = 2};
	struct resolver_answer read;
	struct bytes body;
	answer.addresses[0].v4.sin_family = AF_INET;
	answer.addresses[0].v4.sin_addr.s_addr = htonl(0xc0000201);
	answer.addresses[1].v6.sin6_family = AF_INET6;
	answer.addresses[1].v6.sin6_addr = in6addr_loopback;
	struct writer w = writer_over(room, sizeof(room));
	resolver_answer_write(&w, &answer);
	assert_true(writer_done(&w, &body));
	assert_true(resolver_answer_read(body, &read));
	assert_memory_equal(&read, &answer, sizeof(answer));
	for (size_t cut = 0; cut < body.len; cut++) {
		if (cut != 6) /* there the first address ends */
			assert_false(resolver_answer_read(bytes_of(body.data, cut), &read));
	}
	/* More addresses than there is room for; neither addresses nor a reason; both. */
	w = writer_over(room, sizeof(room));
	writer_u8(&w, 0);
	for (int i = 0; i <= RESOLVER_ADDRESSES_MAX; i++)
		writer_bytes(&w, bytes_of(one_address + 1, 5));
	assert_true(writer_done(&w, &body));
	assert_false(resolver_answer_read(body, &read));
	assert_false(resolver_answer_read(bytes_of("", 1), &read));
	assert_false(resolver_answer_read(bytes_of("\x01x\x04\x01\x02\x03\x04", 7), &read));
}

static void *process(void *arg)
{
	int *fds = arg;
	return (void *)(intptr_t)resolver_main(fds[0], fds + 1, 1, 1);
}

static void a_resolver_process_takes_new_workers_and_ends_with_its_last_channel(void **state)
{
	(void)state;
	int control[2], old[2], fresh[2];
	struct heard heard = {0};
	pthread_t thread;
	void *code;
	assert_true(ipc_pair(control, &err));
	assert_true(ipc_pair(old, &err));
	assert_true(ipc_pair(fresh, &err));
	int given[2] = {control[0], old[0]};
	assert_int_equal(pthread_create(&thread, NULL, process, given), 0);
	loop = loop_new();
	const struct ipc_handlers none = {0};
	struct ipc *supervisor = ipc_new(loop, control[1], 1024, &none, NULL, &err);
	assert_int_equal(
		ipc_send(supervisor, &(struct ipc_message){.kind = 1, .fds = {fresh[0]}, .fd_count = 1}), IPC_SENT);
	close(fresh[0]);
	client = resolver_client_new(loop, fresh[1], NULL, NULL, NULL, &err);
	ask("localhost", &heard, 20 * NS_PER_S);
	run(1);
	assert_int_equal(heard.result, RESOLVER_OK);
	resolver_client_free(client);
	client = NULL;
	ipc_free(supervisor);
	close(old[1]);
	assert_int_equal(pthread_join(thread, &code), 0);
	assert_null(code);
	other_end = -1;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, stop)
	const struct CMUnitTest tests[] = {
		CASE(localhost_is_found_as_the_machine_says),
		CASE(numbers_are_answered_without_asking_anybody),
		CASE(one_question_per_name_is_on_the_way_and_its_answer_is_remembered),
		CASE(what_was_remembered_ends),
		CASE(a_deadline_ends_a_wait_and_the_late_answer_is_still_of_use),
		CASE(a_cancelled_wait_is_never_called),
		CASE(more_than_the_cap_is_refused_and_counted),
		CASE(what_is_no_name_is_refused),
		CASE(a_lost_resolver_fails_what_waits_and_a_new_one_serves_on),
		CASE(a_broken_answer_is_a_failure_and_one_to_nobody_is_ignored),
		cmocka_unit_test(answers_read_as_written_and_in_no_other_way),
		CASE(a_resolver_process_takes_new_workers_and_ends_with_its_last_channel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
