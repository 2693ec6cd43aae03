#include "audit/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_checkpoint_is_three_lines(void **state)
{
	(void)state;
	struct checkpoint made = {.origin = bytes_str("test.example/log"), .head = {.size = 20852163}};
	struct checkpoint read;
	char text[CHECKPOINT_TEXT_MAX];
	struct writer w = writer_over(text, sizeof(text));
	memset(made.head.root.octets, 0x5a, MERKLE_HASH);
	checkpoint_write(&w, &made);
	assert_true(bytes_equal(bytes_of(text, w.len),
		bytes_str("test.example/log\n20852163\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\n")));
	assert_true(checkpoint_read(bytes_of(text, w.len), &read));
	assert_true(bytes_equal(read.origin, made.origin) && read.head.size == made.head.size);
	assert_true(merkle_same(&read.head.root, &made.head.root));
#define ROOT "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo="
	assert_true(checkpoint_read(bytes_str("a\n0\n" ROOT "\nextension\n"), &read));
	static const char *const bad[] = {"", "a\n", "a\n1\n", "\n1\n" ROOT "\n", "a\n01\n" ROOT "\n",
		"a\n-1\n" ROOT "\n", "a\n1\n" ROOT, "a\n1\n" ROOT "=\n", "a\n1\nWlpa\n", "a\n1\n" ROOT "\n\n",
		"a\n1\n" ROOT "\nextension", "a\n99999999999999999999\n" ROOT "\n", "a\n+1\n" ROOT "\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (checkpoint_read(bytes_str(bad[i]), &read))
			fail_msg("case %zu was taken for a checkpoint", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_checkpoint_is_three_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
