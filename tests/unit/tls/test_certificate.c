#include "support.h"
#include "tls/certificate.h"
#include "tls/handshake.h"
#include "tls/list.h"

#include <openssl/x509.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void both_forms_are_read(void **state)
{
	(void)state;
	struct certificate_message list;
	struct certificate_entry entry;
	assert_true(certificate_parse(RAW(0, 0, 9, 0, 0, 1, 'a', 0, 0, 2, 'b', 'c'), 0x0303, &list));
	assert_int_equal(list.count, 2);
	assert_false(list.tls13);
	assert_true(certificate_next(&list, &entry) && bytes_equal(entry.der, bytes_str("a")));
	assert_true(certificate_next(&list, &entry) && bytes_equal(entry.der, bytes_str("bc")));
	assert_int_equal(entry.extensions.len, 0);
	assert_false(certificate_next(&list, &entry));

	struct bytes body = RAW(1, 7, 0, 0, 16, 0, 0, 1, 'a', 0, 0, 0, 0, 1, 'b', 0, 4, 0, 18, 0, 0);
	assert_true(certificate_parse(body, 0x0304, &list));
	assert_true(list.tls13);
	assert_true(bytes_equal(list.context, RAW(7)));
	assert_int_equal(list.count, 2);
	assert_true(certificate_next(&list, &entry) && certificate_next(&list, &entry));
	assert_true(bytes_equal(entry.extensions, RAW(0, 18, 0, 0)));
}

static void no_certificate_is_a_message_too(void **state)
{
	(void)state;
	struct certificate_message list;
	assert_true(certificate_parse(RAW(0, 0, 0), 0x0303, &list));
	assert_int_equal(list.count, 0);
	assert_true(certificate_parse(RAW(0, 0, 0, 0), 0x0304, &list));
	assert_int_equal(list.count, 0);
}

static void malformed_lists_are_refused(void **state)
{
	(void)state;
	struct certificate_message list;
	assert_false(certificate_parse(BYTES_NONE, 0x0303, &list));
	assert_false(certificate_parse(RAW(0, 0, 3, 0, 0, 0), 0x0303, &list));
	assert_false(certificate_parse(RAW(0, 0, 4, 0, 0, 2, 'a'), 0x0303, &list));
	assert_false(certificate_parse(RAW(0, 0, 4, 0, 0, 1, 'a', 9), 0x0303, &list));
	assert_false(certificate_parse(RAW(0, 0, 0, 4, 0, 0, 1, 'a'), 0x0304, &list));
	assert_false(certificate_parse(RAW(0, 0, 0, 8, 0, 0, 1, 'a', 0, 2, 0, 5), 0x0304, &list));
	assert_false(certificate_parse(RAW(0, 0, 0, 14, 0, 0, 1, 'a', 0, 8, 0, 5, 0, 0, 0, 5, 0, 0), 0x0304, &list));
}

static void a_staple_is_found(void **state)
{
	(void)state;
	struct certificate_entry entry = {.extensions = RAW(0, 18, 0, 0, 0, 5, 0, 6, 1, 0, 0, 2, 'o', 'k')};
	struct bytes ocsp;
	assert_true(certificate_staple(&entry, &ocsp));
	assert_true(bytes_equal(ocsp, bytes_str("ok")));
	entry.extensions = RAW(0, 18, 0, 0);
	assert_false(certificate_staple(&entry, &ocsp));
	entry.extensions = RAW(0, 5, 0, 4, 1, 0, 0, 0);
	assert_false(certificate_staple(&entry, &ocsp));
	entry.extensions = RAW(0, 5, 0, 6, 2, 0, 0, 2, 'o', 'k');
	assert_false(certificate_staple(&entry, &ocsp));
	entry.extensions = RAW(0, 5, 0, 6, 1, 0, 0, 1, 'o', 'k');
	assert_false(certificate_staple(&entry, &ocsp));
}

static void requests_of_both_forms_are_read(void **state)
{
	(void)state;
	struct certificate_request r;
	struct bytes list, name;
	assert_true(certificate_request_parse(RAW(2, 1, 64, 0, 2, 4, 3, 0, 4, 0, 2, 'd', 'n'), 0x0303, &r));
	assert_true(bytes_equal(r.types, RAW(1, 64)));
	assert_true(list_holds(r.sigalgs, 0x0403));
	list = r.authorities;
	assert_true(authority_next(&list, &name) && bytes_equal(name, bytes_str("dn")));
	assert_false(authority_next(&list, &name));
	/* TLS 1.1 has no signature algorithms. */
	assert_true(certificate_request_parse(RAW(1, 1, 0, 0), 0x0302, &r));
	assert_int_equal(r.sigalgs.len, 0);

	struct bytes body = RAW(1, 9, 0, 24, 0, 13, 0, 4, 0, 2, 4, 3, 0, 50, 0, 4, 0, 2, 4, 1, 0, 47, 0, 4, 0, 2, 0, 0);
	assert_false(certificate_request_parse(body, 0x0304, &r)); /* an empty name */
	body = RAW(1, 9, 0, 25, 0, 13, 0, 4, 0, 2, 4, 3, 0, 50, 0, 4, 0, 2, 4, 1, 0, 47, 0, 5, 0, 3, 0, 1, 'n');
	assert_true(certificate_request_parse(body, 0x0304, &r));
	assert_true(bytes_equal(r.context, RAW(9)));
	/* What it does not know it passes over. */
	assert_true(certificate_request_parse(RAW(0, 0, 12, 0, 18, 0, 0, 0, 13, 0, 4, 0, 2, 4, 3), 0x0304, &r));
	assert_true(certificate_request_parse(body, 0x0304, &r));
	assert_true(list_holds(r.sigalgs, 0x0403) && list_holds(r.sigalgs_cert, 0x0401));
	assert_int_equal(r.authorities.len, 3);
	assert_int_equal(r.extensions.len, 25);
}

static void malformed_requests_are_refused(void **state)
{
	(void)state;
	struct certificate_request r;
	assert_false(certificate_request_parse(RAW(0, 0, 2, 4, 3, 0, 0), 0x0303, &r));
	assert_false(certificate_request_parse(RAW(1, 1, 0, 1, 4, 0, 0), 0x0303, &r));
	assert_false(certificate_request_parse(RAW(1, 1, 0, 2, 4, 3), 0x0303, &r));
	assert_false(certificate_request_parse(RAW(1, 1, 0, 2, 4, 3, 0, 0, 0), 0x0303, &r));
	assert_false(certificate_request_parse(RAW(1, 1, 0, 2, 4, 3, 0, 2, 0, 1), 0x0303, &r));
	assert_false(certificate_request_parse(RAW(0, 0, 0), 0x0304, &r));
	assert_false(certificate_request_parse(RAW(0, 0, 6, 0, 13, 0, 2, 0, 0), 0x0304, &r));
	assert_false(certificate_request_parse(RAW(0, 0, 5, 0, 13, 0, 4, 0), 0x0304, &r));
}

static int accept_any(int preverified, X509_STORE_CTX *ctx)
{
	(void)preverified;
	(void)ctx;
	return 1;
}

static void ask_the_client(SSL *client, SSL *server)
{
	SSL_set_verify(client, SSL_VERIFY_NONE, NULL);
	SSL_set_verify(server, SSL_VERIFY_PEER, accept_any);
	X509 *cert = SSL_get_certificate(server);
	SSL_add_client_CA(server, cert);
}

static void assert_refused_when_cut(struct bytes body, uint16_t version, bool request)
{
	for (size_t n = 0; n < body.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		struct certificate_message list;
		struct certificate_request r;
		assert_non_null(copy);
		memcpy(copy, body.data, n);
		if (request)
			assert_false(certificate_request_parse(bytes_of(copy, n), version, &r));
		else
			assert_false(certificate_parse(bytes_of(copy, n), version, &list));
		free(copy);
	}
}

static void what_openssl_sends_is_read_and_never_when_cut_short(void **state)
{
	(void)state;
	static struct handshake_log log;
	const uint16_t versions[] = {0x0303, 0x0304};
	for (size_t i = 0; i < 2; i++) {
		assert_true(openssl_handshake(versions[i], ask_the_client, &log));
		struct bytes body = log_message(&log, true, HANDSHAKE_CERTIFICATE);
		struct certificate_message list;
		struct certificate_entry entry;
		assert_true(bytes_skip(&body, HANDSHAKE_HEADER));
		assert_true(certificate_parse(body, versions[i], &list));
		assert_int_equal(list.count, 1);
		assert_true(certificate_next(&list, &entry));
		const unsigned char *der = entry.der.data;
		X509 *cert = d2i_X509(NULL, &der, (long)entry.der.len);
		assert_non_null(cert);
		assert_ptr_equal(der, entry.der.data + entry.der.len);
		X509_free(cert);
		assert_refused_when_cut(body, versions[i], false);

		struct certificate_request r;
		struct bytes name;
		body = log_message(&log, true, HANDSHAKE_CERTIFICATE_REQUEST);
		assert_true(bytes_skip(&body, HANDSHAKE_HEADER));
		assert_true(certificate_request_parse(body, versions[i], &r));
		assert_true(list_holds(r.sigalgs, 0x0403));
		assert_true(authority_next(&r.authorities, &name));
		assert_int_equal(r.authorities.len, 0);
		assert_refused_when_cut(body, versions[i], true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_forms_are_read),
		cmocka_unit_test(no_certificate_is_a_message_too),
		cmocka_unit_test(malformed_lists_are_refused),
		cmocka_unit_test(a_staple_is_found),
		cmocka_unit_test(requests_of_both_forms_are_read),
		cmocka_unit_test(malformed_requests_are_refused),
		cmocka_unit_test(what_openssl_sends_is_read_and_never_when_cut_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
