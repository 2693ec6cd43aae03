#include "base/local_socket.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DESCRIPTORS 64

/* Two ends, and a pipe whose ends are sent. */
struct pair {
	int ends[2], pipe[2];
};

static int setup(void **state)
{
	static struct pair pair;
	*state = &pair;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.ends) || pipe(pair.pipe);
}

static int teardown(void **state)
{
	struct pair *pair = *state;
	for (size_t i = 0; i < 2; i++) {
		close(pair->ends[i]);
		close(pair->pipe[i]);
	}
	return 0;
}

static size_t descriptors_open(void)
{
	size_t count = 0;
	for (int fd = 0; fd < DESCRIPTORS; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void a_descriptor_comes_with_its_octets(void **state)
{
	struct pair *pair = *state;
	char room[16], letter = 0;
	int fd;
	assert_true(local_socket_send(pair->ends[0], bytes_str("hello"), pair->pipe[1], 0));
	assert_int_equal(local_socket_receive(pair->ends[1], room, sizeof(room), &fd), 5);
	assert_memory_equal(room, "hello", 5);
	assert_true(fd >= 0 && fd != pair->pipe[1]);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(pair->pipe[0], &letter, 1), 1);
	assert_int_equal(letter, 'x');
	close(fd);
}

static void a_message_without_a_descriptor_has_none(void **state)
{
	struct pair *pair = *state;
	char room[3];
	int fd = 7;
	assert_int_equal(send(pair->ends[0], "hello", 5, 0), 5);
	assert_int_equal(local_socket_receive(pair->ends[1], room, sizeof(room), &fd), 3);
	assert_int_equal(fd, -1);
	fd = 7;
	assert_int_equal(shutdown(pair->ends[0], SHUT_WR), 0);
	assert_int_equal(local_socket_receive(pair->ends[1], room, sizeof(room), &fd), 0);
	assert_int_equal(fd, -1);
	fd = 7;
	assert_int_equal(local_socket_receive(-1, room, sizeof(room), &fd), -1);
	assert_int_equal(fd, -1);
}

static void of_two_descriptors_none_is_left_open_behind_our_back(void **state)
{
	struct pair *pair = *state;
	char room[8], octet = 'o';
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec part = {.iov_base = &octet, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *both = CMSG_FIRSTHDR(&message);
	*both = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int))};
	memcpy(CMSG_DATA(both), pair->pipe, 2 * sizeof(int));
	assert_int_equal(sendmsg(pair->ends[0], &message, 0), 1);
	size_t before = descriptors_open();
	int fd;
	assert_int_equal(local_socket_receive(pair->ends[1], room, sizeof(room), &fd), 1);
	assert_true(fd >= 0);
	assert_int_equal(descriptors_open(), before + 1);
	close(fd);
}

static void nobody_to_send_to_is_an_error_and_no_signal(void **state)
{
	struct pair *pair = *state;
	assert_int_equal(close(pair->ends[1]), 0);
	assert_false(local_socket_send(pair->ends[0], bytes_str("hello"), pair->pipe[0], 0));
	pair->ends[1] = dup(pair->ends[0]);
}

static void addresses_are_paths_or_names_with_an_at_sign(void **state)
{
	(void)state;
	char longest[sizeof(((struct sockaddr_un *)NULL)->sun_path)], longer[sizeof(longest) + 1];
	struct sockaddr_un at;
	assert_int_equal(local_socket_address("/run/x", &at), sizeof(at));
	assert_int_equal(at.sun_family, AF_UNIX);
	assert_string_equal(at.sun_path, "/run/x");
	assert_int_equal(local_socket_address("@name", &at), offsetof(struct sockaddr_un, sun_path) + 5);
	assert_memory_equal(at.sun_path, "\0name\0", 6);
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(local_socket_address(longest, &at), sizeof(at));
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(local_socket_address(longer, &at), 0);
	assert_int_equal(local_socket_address("", &at), 0);
	assert_int_equal(local_socket_address("@", &at), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_descriptor_comes_with_its_octets, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_without_a_descriptor_has_none, setup, teardown),
		cmocka_unit_test_setup_teardown(of_two_descriptors_none_is_left_open_behind_our_back, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_to_send_to_is_an_error_and_no_signal, setup, teardown),
		cmocka_unit_test(addresses_are_paths_or_names_with_an_at_sign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
