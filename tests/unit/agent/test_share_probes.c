#include "agent/share_probes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
