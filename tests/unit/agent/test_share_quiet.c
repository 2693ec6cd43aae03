#include "agent/share_quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_pending(void)
{
	sigset_t pending;
	sigpending(&pending);
	return sigismember(&pending, SIGPIPE) == 1;
}

static void a_pipe_that_breaks_meanwhile_is_not_noticed(void **state)
{
	struct share_quiet quiet;
	sigset_t before, after;
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	close(ends[1]);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	errno = EXDEV;
	share_quiet_begin(&quiet);
	/* It would end this program. */
	assert_int_equal(write(ends[0], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	share_quiet_end(&quiet);
	assert_int_equal(errno, EXDEV);
	assert_false(is_pending());
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
	assert_int_equal(sigismember(&after, SIGPIPE), sigismember(&before, SIGPIPE));
	close(ends[0]);
}

static void a_signal_of_the_program_that_waits_goes_on_waiting(void **state)
{
	struct share_quiet quiet;
	const struct timespec none = {0};
	sigset_t set, before;
	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
	raise(SIGPIPE);
	share_quiet_begin(&quiet);
	share_quiet_end(&quiet);
	assert_true(is_pending());
	assert_int_equal(sigtimedwait(&set, NULL, &none), SIGPIPE);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void nothing_is_written_to_a_peer_that_has_closed_or_has_no_room(void **state)
{
	char room[4096] = {0};
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_true(share_quiet_writable(-1));
	assert_true(share_quiet_writable(ends[0]));
	while (write(ends[0], room, sizeof(room)) > 0)
		;
	assert_false(share_quiet_writable(ends[0]));
	while (read(ends[1], room, sizeof(room)) > 0)
		;
	assert_true(share_quiet_writable(ends[0]));
	assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
	assert_false(share_quiet_writable(ends[0]));
	close(ends[0]);
	close(ends[1]);
}

static void whether_a_read_would_wait_is_known(void **state)
{
	int ends[2];
	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_false(share_quiet_nonblocking(ends[0]));
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_true(share_quiet_nonblocking(ends[0]));
	assert_true(share_quiet_nonblocking(-1));
	close(ends[0]);
	close(ends[1]);
	assert_false(share_quiet_nonblocking(ends[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipe_that_breaks_meanwhile_is_not_noticed),
		cmocka_unit_test(a_signal_of_the_program_that_waits_goes_on_waiting),
		cmocka_unit_test(nothing_is_written_to_a_peer_that_has_closed_or_has_no_room),
		cmocka_unit_test(whether_a_read_would_wait_is_known),
	};
	return cmocka_run_group_tests_name("agent/share_quiet", tests, NULL, NULL);
}
