#include "share/octets.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
	int client, server;
	struct hostport at[2];
};

static void name_of(int fd, bool peer, struct hostport *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	assert_int_equal((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&sa, &len), 0);
	assert_true(hostport_from_sockaddr(out, (struct sockaddr *)&sa, len));
}

static void connect_them(int family, struct pair *pair)
{
	struct sockaddr_storage sa = {.ss_family = (sa_family_t)family};
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (family == AF_INET)
		((struct sockaddr_in *)&sa)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&sa)->sin6_addr = in6addr_loopback;
	int door = socket(family, SOCK_STREAM, 0);
	if (door < 0 || bind(door, (struct sockaddr *)&sa, len) != 0)
		skip();
	assert_int_equal(listen(door, 1), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&sa, &len), 0);
	pair->client = socket(family, SOCK_STREAM, 0);
	assert_int_equal(connect(pair->client, (struct sockaddr *)&sa, len), 0);
	pair->server = accept(door, NULL, NULL);
	close(door);
	name_of(pair->client, false, &pair->at[0]);
	name_of(pair->client, true, &pair->at[1]);
}

static void carries_what_was_said(int family)
{
	struct octets *octets = octets_new();
	struct pair pair;
	char room[100] = "";
	uint64_t count = 0;
	if (!octets)
		skip();
	connect_them(family, &pair);
	assert_true(octets_of(octets, &pair.at[0], &pair.at[1], &count));
	assert_true(count <= 1);
	assert_int_equal(write(pair.client, room, 100), 100);
	assert_int_equal(recv(pair.server, room, 100, MSG_WAITALL), 100);
	assert_int_equal(write(pair.server, room, 23), 23);
	assert_int_equal(recv(pair.client, room, 23, MSG_WAITALL), 23);
	/* What the client said is acknowledged with what the server did. */
	assert_true(octets_of(octets, &pair.at[0], &pair.at[1], &count));
	assert_in_range(count, 123, 124);
	close(pair.client);
	close(pair.server);
	pair.at[0].port ^= 1;
	assert_false(octets_of(octets, &pair.at[0], &pair.at[1], &count));
	octets_free(octets);
}

static void a_connection_has_carried_what_was_said_both_ways(void **state)
{
	(void)state;
	carries_what_was_said(AF_INET);
}

static void so_it_has_over_ipv6(void **state)
{
	(void)state;
	carries_what_was_said(AF_INET6);
}

static void what_has_no_address_is_not_asked_for(void **state)
{
	(void)state;
	const struct hostport none = {0};
	struct octets *octets = octets_new();
	uint64_t count;
	if (!octets)
		skip();
	assert_false(octets_of(octets, &none, &none, &count));
	octets_free(octets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_has_carried_what_was_said_both_ways),
		cmocka_unit_test(so_it_has_over_ipv6),
		cmocka_unit_test(what_has_no_address_is_not_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
