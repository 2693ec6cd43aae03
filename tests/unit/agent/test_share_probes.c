#include "agent/share_probes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NS_PER_S  INT64_C(1000000000)
#define TICK_US   100000
#define TICKS_MAX 60 /* after which nothing interrupts any more */

/* A run, which answers nobody unless it has answered already. */
static int listener;
static struct share_settings settings;

static int listen_beside_the_door(void **state)
{
	struct sockaddr_un place;
	(void)state;
	settings = (struct share_settings){.on = true, .uid = getuid()};
	snprintf(settings.address, sizeof(settings.address), "@overt-test-%d", (int)getpid());
	socklen_t len = share_probes_address(settings.address, &place);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return listener >= 0 && bind(listener, (const struct sockaddr *)&place, len) == 0 && listen(listener, 4) == 0
	               ? 0
	               : -1;
}

static int stop_listening(void **state)
{
	(void)state;
	return close(listener);
}

/* What came with the one that has asked: octets. */
static ssize_t what_was_asked(void)
{
	char octet = 0;
	int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(sock >= 0);
	ssize_t n = recv(sock, &octet, 1, MSG_DONTWAIT);
	assert_true(n <= 0 || octet == PROBES_ASK);
	close(sock);
	return n;
}

static void another_user_s_is_not_asked(void **state)
{
	(void)state;
	settings.uid = getuid() + 1;
	share_probes_begin(&settings);
	assert_false(share_probes_self());
	assert_int_equal(what_was_asked(), 0);
}

static volatile sig_atomic_t ticks;

static void stop_ticking(void)
{
	const struct itimerval never = {0};
	(void)setitimer(ITIMER_REAL, &never, NULL);
}

static void on_tick(int number)
{
	(void)number;
	if (++ticks == TICKS_MAX)
		stop_ticking();
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void signals_do_not_make_it_wait_longer(void **state)
{
	const struct itimerval often = {.it_interval.tv_usec = TICK_US, .it_value.tv_usec = TICK_US};
	struct sigaction tick = {.sa_handler = on_tick}, before;
	(void)state;
	share_probes_begin(&settings);
	assert_int_equal(sigaction(SIGALRM, &tick, &before), 0);
	int64_t began = now_ns();
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	assert_false(share_probes_self());
	int64_t took = now_ns() - began;
	stop_ticking();
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	assert_int_equal(what_was_asked(), 1);
	assert_true(ticks > 1 && ticks < TICKS_MAX);
	assert_true(took >= NS_PER_S * PROBES_SECONDS && took < NS_PER_S * PROBES_SECONDS * 2);
}

static void the_socket_stands_beside_the_door(void **state)
{
	struct sockaddr_un place;
	(void)state;
	socklen_t len = share_probes_address("@overt-share-00ff", &place);
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 1 + strlen("overt-share-00ff-probes"));
	assert_int_equal(place.sun_family, AF_UNIX);
	assert_int_equal(place.sun_path[0], '\0');
	assert_string_equal(place.sun_path + 1, "overt-share-00ff-probes");
}

static void a_door_with_a_path_has_none(void **state)
{
	struct sockaddr_un place;
	(void)state;
	assert_int_equal(share_probes_address("/run/overt/share", &place), 0);
	assert_int_equal(share_probes_address("", &place), 0);
}

static void a_name_that_does_not_fit_is_refused(void **state)
{
	struct sockaddr_un place;
	char door[sizeof(place.sun_path)];
	(void)state;
	memset(door, 'a', sizeof(door));
	door[0] = '@';
	door[sizeof(door) - 1] = '\0';
	assert_int_equal(share_probes_address(door, &place), 0);
	door[sizeof(place.sun_path) - sizeof("-probes") - 1] = '\0';
	assert_int_not_equal(share_probes_address(door, &place), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_socket_stands_beside_the_door),
		cmocka_unit_test(a_door_with_a_path_has_none),
		cmocka_unit_test(a_name_that_does_not_fit_is_refused),
		cmocka_unit_test_setup_teardown(another_user_s_is_not_asked, listen_beside_the_door, stop_listening),
		cmocka_unit_test_setup_teardown(
			signals_do_not_make_it_wait_longer, listen_beside_the_door, stop_listening),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
