#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/identity.h"
#include "assess/path_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void products_are_known_by_their_issuers(void **state)
{
	(void)state;
	assert_string_equal(product_of("O=mitmproxy,CN=mitmproxy"), "mitmproxy");
	assert_string_equal(product_of("CN=Overt CA host 2026-11,O=Overt"), "Overt");
	assert_string_equal(product_of("CN=PortSwigger CA,O=PortSwigger"), "Burp Suite");
	assert_string_equal(product_of("CN=do_not_trust_fiddlerroot"), "Fiddler");
	assert_null(product_of("CN=R11,O=Let's Encrypt,C=US"));
	assert_null(product_of(""));
}

static void public_names_are_told_from_those_of_a_house(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool is_public;
	} rows[] = {{"www.example.org", true}, {"a.de", true}, {"localhost", false}, {"printer", false},
		{"a.test", false}, {"test.a.org", true}, {"box.lan", false}, {"nas.home.arpa", false},
		{"192.0.2.1", false}, {"[::1]", false}, {"latest", false}, {"x.latest", true}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct subject_name name;
		assert_int_equal(subject_name_parse(bytes_str(rows[i].name), &name), NAME_OK);
		if (name_is_public(&name) != rows[i].is_public)
			fail_msg("%s", rows[i].name);
	}
}

static void roots_of_browsers_are_read_from_a_file_or_a_folder(void **state)
{
	(void)state;
	char folder[] = "/tmp/overt-roots-XXXXXX", path[64];
	uint8_t digest[VANTAGE_DIGEST], other[VANTAGE_DIGEST] = {0};
	struct error err = {""};
	assert_non_null(mkdtemp(folder));
	struct identity_maker *maker = identity_maker_new("a.test", folder, &err);
	assert_non_null(maker);
	assert_int_equal(X509_digest(identity_root(maker), EVP_sha256(), digest, NULL), 1);
	snprintf(path, sizeof(path), "%s/root.pem", folder);
	assert_int_equal(root_of_web(path, digest, &err), YES);
	assert_int_equal(root_of_web(folder, digest, &err), YES);
	assert_int_equal(root_of_web(path, other, &err), NO);
	assert_int_equal(root_of_web(folder, other, &err), NO);
	assert_int_equal(root_of_web("/nothing/here", digest, &err), NOT_KNOWN);
	assert_non_null(strstr(err.text, "/nothing/here"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(root_of_web(folder, digest, &err), NOT_KNOWN);
	identity_maker_free(maker);
	snprintf(path, sizeof(path), "%s/root.key", folder);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/root.crl", folder);
	(void)unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

static void an_answer_is_told_in_words_that_two_places_can_compare(void **state)
{
	(void)state;
	char text[ANSWER_TEXT];
	struct offer offer = {.random = {1, 2, 3}};
	struct flight flight = {.kind = FLIGHT_HELLO,
		.version = TLS_VERSION_13,
		.suite = 0x1301,
		.group = 0x001d,
		.extension = {0x002b, 0x0033},
		.extensions = 2,
		.session_id_len = 32};
	memcpy(flight.session_id, offer.random, 32);
	answer_tell(PROBE_ANSWERED, &flight, &offer, text, sizeof(text));
	assert_string_equal(text, "TLS 1.3, TLS_AES_128_GCM_SHA256, x25519, extensions 002b-0033, session id echoed");
	flight.session_id[0] = 9;
	answer_tell(PROBE_ANSWERED, &flight, &offer, text, sizeof(text));
	assert_non_null(strstr(text, "session id of its own"));
	answer_tell(PROBE_CLOSED, &flight, &offer, text, sizeof(text));
	assert_string_equal(text, "closed the connection");
	answer_tell(PROBE_SILENT, &flight, &offer, text, sizeof(text));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_are_known_by_their_issuers),
		cmocka_unit_test(public_names_are_told_from_those_of_a_house),
		cmocka_unit_test(roots_of_browsers_are_read_from_a_file_or_a_folder),
		cmocka_unit_test(an_answer_is_told_in_words_that_two_places_can_compare),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
