#include "sink/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void url(const char *in, const char *expected)
{
	char out[256];
	size_t n = mask_url(bytes_str(in), out, sizeof(out) - 1);
	out[n] = '\0';
	assert_string_equal(out, expected);
}

static void header(const char *name, const char *value, const char *expected)
{
	char out[256];
	size_t n = mask_header(bytes_str(name), bytes_str(value), out, sizeof(out) - 1);
	out[n] = '\0';
	assert_string_equal(out, expected);
}

static void secrets_in_a_query_are_hidden_and_their_names_stay(void **state)
{
	(void)state;
	url("/a?token=abc&page=2", "/a?token=***&page=2");
	url("/a?page=2&access_token=abc;api_key=1#id_token=x&n=1",
		"/a?page=2&access_token=***;api_key=***#id_token=***&n=1");
	url("/a?X-Amz-Signature=ff&X-Amz-Security-Token=gg&X-Amz-Date=1",
		"/a?X-Amz-Signature=***&X-Amz-Security-Token=***&X-Amz-Date=1");
	url("/cb?code=xyz&client_secret=s&pass%77ord=p", "/cb?code=***&client_secret=***&pass%77ord=***");
	url("/a;jsessionid=12?sig=1", "/a;jsessionid=***");
	url("https://user:pw@h.example/p?key=1", "https://***@h.example/p?key=***");
	url("/go?next=https://u:p@h.example/&x=1", "/go?next=https://***@h.example/&x=1");
	url("/go?next=/b?token=1/2", "/go?next=/b?token=***");
}

static void what_is_no_secret_stays_as_it_was(void **state)
{
	(void)state;
	url("/", "/");
	url("", "");
	url("/a//b?x=1&keyword=token&tokens&token=", "/a//b?x=1&keyword=token&tokens&token=");
	url("//token/x?", "//token/x?");
	header("Accept", "token=abc", "token=abc");
	header("Content-Type", "text/html; charset=utf-8", "text/html; charset=utf-8");
	assert_false(mask_concerns(bytes_str("accept")));
}

static void credentials_in_headers_are_hidden(void **state)
{
	(void)state;
	header("Authorization", "Bearer abc.def", "Bearer ***");
	header("AUTHORIZATION", "abc", "***");
	header("proxy-authorization", "Basic dTpw", "Basic ***");
	header("cookie", "sid=1; theme=dark; bare", "sid=***; theme=***;***");
	header("Set-Cookie", "sid=1; Path=/; HttpOnly; Max-Age=3", "sid=***; Path=/; HttpOnly; Max-Age=3");
	header("X-Api-Key", "k", "***");
	header("x-amz-security-token", "k", "***");
	header("X-A-Very-Long-Name-Of-A-Header-With-An-Access-Token", "k", "***");
	header("Location", "https://h/cb?code=1", "https://h/cb?code=***");
	header("Referer", "https://h/?q=1", "https://h/?q=1");
}

static void a_short_buffer_cuts_and_never_overruns(void **state)
{
	(void)state;
	const char *in = "https://u:p@h/a?token=abcdefgh&b=c#access_token=1";
	char full[256];
	size_t whole = mask_url(bytes_str(in), full, sizeof(full));
	for (size_t cap = 1; cap <= whole; cap++) {
		char *out = malloc(cap); /* exact, so that a write past the end is seen */
		assert_non_null(out);
		size_t n = mask_url(bytes_str(in), out, cap);
		assert_true(n <= cap);
		assert_null(memmem(out, n, "abcdefgh", 8));
		(void)mask_header(bytes_str("cookie"), bytes_str("a=1; b=2"), out, cap);
		(void)mask_header(bytes_str("authorization"), bytes_str("Bearer xyz"), out, cap);
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_in_a_query_are_hidden_and_their_names_stay),
		cmocka_unit_test(what_is_no_secret_stays_as_it_was),
		cmocka_unit_test(credentials_in_headers_are_hidden),
		cmocka_unit_test(a_short_buffer_cuts_and_never_overruns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
