#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void base64_has_one_form_only(void **state)
{
	(void)state;
	static const char *const good[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"\xff\xfb\xf0", "//vw"}};
	static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", " Zg==", "Zg==\n",
		"Zg==Zg==", "Z===", "====", "Zm9-", "Zm9_", "Z=9v", "Zm=v"};
	uint8_t out[16];
	size_t len;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char text[32];
		struct writer w = writer_over(text, sizeof(text));
		base64_write(&w, bytes_str(good[i][0]));
		assert_true(bytes_equal(bytes_of(text, w.len), bytes_str(good[i][1])));
		assert_true(base64_read(bytes_str(good[i][1]), out, sizeof(out), &len));
		assert_true(bytes_equal(bytes_of(out, len), bytes_str(good[i][0])));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(base64_read(bytes_str(bad[i]), out, sizeof(out), &len));
	assert_false(base64_read(bytes_str("Zm9v"), out, 2, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_has_one_form_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
