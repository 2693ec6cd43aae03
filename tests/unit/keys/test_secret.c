#include "keys/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void a_secret_holds_what_it_was_given_and_nothing_longer(void **state)
{
	(void)state;
	struct secret secret = {0};
	uint8_t long_one[SECRET_MAX + 1] = {1};
	assert_true(secret_set(&secret, bytes_str("hush")));
	assert_true(bytes_equal(secret_bytes(&secret), bytes_str("hush")));
	assert_false(secret_set(&secret, bytes_of(long_one, sizeof(long_one))));
	assert_true(bytes_equal(secret_bytes(&secret), bytes_str("hush")));
	assert_true(secret_set(&secret, bytes_of(long_one, SECRET_MAX)));
	assert_int_equal(secret.len, SECRET_MAX);
	/* A shorter value leaves nothing of the longer one behind. */
	assert_true(secret_set(&secret, bytes_str("x")));
	assert_int_equal(secret.octets[1], 0);
	assert_true(secret_set(&secret, BYTES_NONE));
	assert_int_equal(secret.len, 0);
}

static void a_wiped_secret_is_all_zero(void **state)
{
	(void)state;
	struct secret secret = {0};
	struct secret zero = {0};
	assert_true(secret_random(&secret, 48));
	assert_memory_not_equal(&secret, &zero, sizeof(zero));
	secret_wipe(&secret);
	assert_memory_equal(&secret, &zero, sizeof(zero));
	secret_wipe(NULL);
}

static void secrets_are_equal_only_octet_for_octet_and_in_length(void **state)
{
	(void)state;
	struct secret a = {0};
	struct secret b = {0};
	assert_true(secret_equal(&a, &b));
	assert_true(secret_set(&a, bytes_str("aaaa")));
	assert_true(secret_set(&b, bytes_str("aaab")));
	assert_false(secret_equal(&a, &b));
	assert_true(secret_set(&b, bytes_str("aaa")));
	assert_false(secret_equal(&a, &b));
	assert_true(secret_set(&b, bytes_str("aaaa")));
	assert_true(secret_equal(&a, &b));
}

static void two_random_secrets_differ(void **state)
{
	(void)state;
	struct secret a = {0};
	struct secret b = {0};
	assert_true(secret_random(&a, 32));
	assert_true(secret_random(&b, 32));
	assert_false(secret_equal(&a, &b));
	assert_false(secret_random(&a, SECRET_MAX + 1));
	assert_int_equal(a.len, 0);
}

/* The flags of the mapping that holds `address`, from smaps. */
static bool mapping_has_flag(const void *address, const char *flag)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[512];
	bool inside = false;
	bool found = false;
	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		char *end;
		unsigned long long low = strtoull(line, &end, 16);
		if (end != line && *end == '-')
			inside = (uintptr_t)address >= low && (uintptr_t)address < strtoull(end + 1, NULL, 16);
		else if (inside && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag))
			found = true;
	}
	fclose(smaps);
	return found;
}

static void long_lived_secrets_stay_out_of_core_dumps_and_begin_zeroed(void **state)
{
	(void)state;
	uint8_t *memory = secret_alloc(100);
	assert_non_null(memory);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(memory[i], 0);
	if (access("/proc/self/smaps", R_OK) == 0)
		assert_true(mapping_has_flag(memory, " dd"));
	memory[99] = 1;
	secret_free(memory);
	secret_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_holds_what_it_was_given_and_nothing_longer),
		cmocka_unit_test(a_wiped_secret_is_all_zero),
		cmocka_unit_test(secrets_are_equal_only_octet_for_octet_and_in_length),
		cmocka_unit_test(two_random_secrets_differ),
		cmocka_unit_test(long_lived_secrets_stay_out_of_core_dumps_and_begin_zeroed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
