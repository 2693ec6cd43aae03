#include "proxy/local_peer.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Both ends of a connection over loopback: [0] accepted, [1] connected. */
static void connect_both(int family, int fds[2])
{
	struct sockaddr_storage at = {.ss_family = (sa_family_t)family};
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (family == AF_INET)
		((struct sockaddr_in *)(void *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)(void *)&at)->sin6_addr = in6addr_loopback;
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (family == AF_INET6 && (listener < 0 || bind(listener, (struct sockaddr *)&at, len) != 0)) {
		close(listener);
		skip();
	}
	assert_true(listener >= 0);
	if (family == AF_INET)
		assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	fds[1] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&at, len), 0);
	fds[0] = accept(listener, NULL, NULL);
	assert_true(fds[0] >= 0);
	close(listener);
}

static void the_owner_of_the_other_end_is_told(void **state)
{
	(void)state;
	static const int families[] = {AF_INET, AF_INET6};
	for (size_t i = 0; i < 2; i++) {
		struct local_peer_asker asker = {.fd = -1};
		struct error err;
		int fds[2];
		uid_t uid = (uid_t)-1;
		assert_true(local_peer_open(&asker, &err));
		connect_both(families[i], fds);
		assert_int_equal(local_peer_ask(&asker, fds[0], &uid), LOCAL_PEER_OWNER);
		assert_int_equal(uid, getuid());
		/* Again, with the same socket. */
		assert_int_equal(local_peer_ask(&asker, fds[1], &uid), LOCAL_PEER_OWNER);
		close(fds[0]);
		close(fds[1]);
		local_peer_close(&asker);
	}
}

static void an_end_that_was_closed_has_no_owner(void **state)
{
	(void)state;
	struct local_peer_asker asker = {.fd = -1};
	struct error err;
	int fds[2];
	uid_t uid = 4711;
	assert_true(local_peer_open(&asker, &err));
	connect_both(AF_INET, fds);
	assert_int_equal(send(fds[1], "x", 1, 0), 1);
	close(fds[1]);
	assert_int_not_equal(local_peer_ask(&asker, fds[0], &uid), LOCAL_PEER_OWNER);
	assert_int_equal(uid, 4711);
	close(fds[0]);
	local_peer_close(&asker);
}

static void what_is_no_connection_of_this_machine_has_none_either(void **state)
{
	(void)state;
	struct local_peer_asker asker = {.fd = -1};
	struct error err;
	int pair[2];
	uid_t uid;
	assert_true(local_peer_open(&asker, &err));
	assert_int_equal(local_peer_ask(&asker, -1, &uid), LOCAL_PEER_UNKNOWN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(local_peer_ask(&asker, pair[0], &uid), LOCAL_PEER_UNKNOWN);
	close(pair[0]);
	close(pair[1]);
	local_peer_close(&asker);
	local_peer_close(&asker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owner_of_the_other_end_is_told),
		cmocka_unit_test(an_end_that_was_closed_has_no_owner),
		cmocka_unit_test(what_is_no_connection_of_this_machine_has_none_either),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
