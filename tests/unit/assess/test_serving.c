#include "assess/serving.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS (30 * NS_PER_S)

static atomic_uint served;

/* A number for each, in the order in which they are served. */
static void number(void *arg, const struct serving *self, int fd)
{
	(void)self;
	const uint8_t octet = (uint8_t)(atomic_fetch_add((atomic_uint *)arg, 1) + 1);
	(void)!send(fd, &octet, 1, MSG_NOSIGNAL);
}

static void until_it_ends(void *arg, const struct serving *self, int fd)
{
	(void)fd;
	atomic_fetch_add((atomic_uint *)arg, 1);
	while (!serving_ends(self))
		(void)poll(NULL, 0, 1);
}

static int dial(uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void connections_are_served_in_turn_and_closed(void **state)
{
	(void)state;
	struct error err;
	uint8_t got[2];
	atomic_store(&served, 0);
	struct serving *serving = serving_new("127.0.0.1", 0, number, &served, &err);
	assert_non_null(serving);
	for (uint8_t i = 1; i <= 2; i++) {
		int fd = dial(serving_port(serving));
		/* The second octet never comes: the connection was closed. */
		assert_int_equal(recv(fd, got, sizeof(got), MSG_WAITALL), 1);
		assert_int_equal(got[0], i);
		close(fd);
	}
	serving_free(serving);
}

static void who_is_served_is_told_that_it_ends(void **state)
{
	(void)state;
	struct error err;
	atomic_store(&served, 0);
	struct serving *serving = serving_new("127.0.0.1", 0, until_it_ends, &served, &err);
	assert_non_null(serving);
	int fd = dial(serving_port(serving));
	uint64_t until_ns = clock_monotonic_ns() + PATIENCE_NS;
	while (atomic_load(&served) == 0 && clock_monotonic_ns() < until_ns)
		(void)poll(NULL, 0, 1);
	assert_int_equal(atomic_load(&served), 1);
	serving_free(serving); /* comes back */
	close(fd);
}

static void what_cannot_be_listened_on_is_an_error(void **state)
{
	(void)state;
	struct error err;
	struct serving *serving = serving_new("127.0.0.1", 0, number, &served, &err);
	assert_non_null(serving);
	assert_null(serving_new("127.0.0.1", serving_port(serving), number, &served, &err));
	assert_non_null(strstr(err.text, "cannot be listened on"));
	assert_null(serving_new("localhost", 0, number, &served, &err));
	assert_string_equal(err.text, "localhost: is no address to listen on");
	serving_free(serving);
	serving_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_served_in_turn_and_closed),
		cmocka_unit_test(who_is_served_is_told_that_it_ends),
		cmocka_unit_test(what_cannot_be_listened_on_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
