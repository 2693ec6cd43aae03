#include "support.h"
#include "tls/collect.h"
#include "tls/extension.h"
#include "tls/hello.h"
#include "tls/list.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t room[131072];

static struct bytes build(const struct hello_parts *parts)
{
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	put_hello(&w, parts);
	assert_true(writer_done(&w, &body));
	return body;
}

/* A hello with one extension. */
static enum hello_result parse_with(uint16_t type, struct bytes data, struct client_hello *hello)
{
	static uint8_t block_room[65536];
	struct writer w = writer_over(block_room, sizeof(block_room));
	struct bytes block;
	put_extension(&w, type, data);
	assert_true(writer_done(&w, &block));
	return client_hello_parse(build(&(struct hello_parts){.extensions = block}), hello);
}

static void assert_faulty(uint16_t type, struct bytes data)
{
	struct client_hello hello;
	assert_int_equal(parse_with(type, data, &hello), HELLO_OK);
	if (hello.faults != 1 || hello.faulty != type)
		fail_msg("extension %u is not found faulty", (unsigned)type);
	assert_true(client_hello_has(&hello, type));
}

static struct client_hello good(uint16_t type, struct bytes data)
{
	struct client_hello hello;
	assert_int_equal(parse_with(type, data, &hello), HELLO_OK);
	if (hello.faults != 0)
		fail_msg("extension %u is found faulty", (unsigned)type);
	return hello;
}

static void the_plain_fields_are_views_of_the_body(void **state)
{
	(void)state;
	struct bytes body = build(&(struct hello_parts){
		.session_id = RAW(7, 8), .suites = RAW(0x13, 1, 0xc0, 0x2b), .compression = RAW(0, 1), .bare = true});
	struct client_hello hello;
	assert_int_equal(client_hello_parse(body, &hello), HELLO_OK);
	assert_ptr_equal(hello.body.data, body.data);
	assert_int_equal(hello.legacy_version, 0x0303);
	assert_ptr_equal(hello.random.data, room + 2);
	assert_int_equal(hello.random.len, HELLO_RANDOM);
	assert_true(bytes_equal(hello.session_id, RAW(7, 8)));
	assert_true(bytes_equal(hello.suites, RAW(0x13, 1, 0xc0, 0x2b)));
	assert_true(bytes_equal(hello.compression, RAW(0, 1)));
	assert_false(hello.has_extensions);
	assert_int_equal(hello.extension_count, 0);
	assert_int_equal(hello.sni, SNI_ABSENT);
	assert_int_equal(hello.ech, ECH_ABSENT);
	assert_false(client_hello_has(&hello, 0));
}

static void each_broken_structure_has_its_result(void **state)
{
	(void)state;
	struct client_hello hello;
	assert_int_equal(client_hello_parse(BYTES_NONE, &hello), HELLO_TRUNCATED);
	uint8_t id[33] = {0};
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.session_id = bytes_of(id, 33)}), &hello),
		HELLO_BAD_SESSION_ID);
	assert_int_equal(
		client_hello_parse(build(&(struct hello_parts){.suites = RAW(1, 2, 3)}), &hello), HELLO_BAD_SUITES);
	struct bytes body = build(&(struct hello_parts){.bare = true});
	room[body.len - 2] = 0; /* the length of the compression methods */
	assert_int_equal(client_hello_parse(body, &hello), HELLO_BAD_COMPRESSION);
	body = build(&(struct hello_parts){.extensions = RAW(0, 10, 0, 1)});
	assert_int_equal(client_hello_parse(body, &hello), HELLO_BAD_EXTENSIONS);
	body = build(&(struct hello_parts){.extensions = RAW(0, 23, 0, 0, 0, 23, 0, 0)});
	assert_int_equal(client_hello_parse(body, &hello), HELLO_DUPLICATE_EXTENSION);
	assert_int_equal(hello.faulty, 23);
	body = build(&(struct hello_parts){.extensions = RAW(0, 41, 0, 0, 0, 23, 0, 0)});
	assert_int_equal(client_hello_parse(body, &hello), HELLO_PSK_NOT_LAST);
	body = build(&(struct hello_parts){.extensions = RAW(0, 23, 0, 0)});
	room[body.len] = 0;
	assert_int_equal(client_hello_parse(bytes_of(body.data, body.len + 1), &hello), HELLO_TRAILING);
	/* No suites at all. */
	static const uint8_t none[] = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0};
	assert_int_equal(client_hello_parse(bytes_of(none, sizeof(none)), &hello), HELLO_BAD_SUITES);
	for (enum hello_result r = HELLO_OK; r <= HELLO_PSK_NOT_LAST; r++)
		assert_string_not_equal(hello_result_text(r), "unknown result");
}

static void lists_are_read(void **state)
{
	(void)state;
	struct client_hello h = good(EXT_SUPPORTED_VERSIONS, RAW(4, 3, 4, 3, 3));
	assert_true(h.has_versions && bytes_equal(h.versions, RAW(3, 4, 3, 3)));
	h = good(EXT_SUPPORTED_GROUPS, RAW(0, 2, 0, 29));
	assert_true(h.has_groups && client_hello_offers_group(&h, 29));
	assert_false(client_hello_offers_group(&h, 23));
	h = good(EXT_SIGNATURE_ALGORITHMS, RAW(0, 2, 4, 3));
	assert_true(h.has_sigalgs && client_hello_offers_sigalg(&h, 0x0403));
	assert_false(client_hello_offers_sigalg(&h, 0x0401));
	h = good(EXT_SIGNATURE_ALGORITHMS_CERT, RAW(0, 2, 4, 3));
	assert_true(list_holds(h.sigalgs_cert, 0x0403));
	h = good(EXT_COMPRESS_CERTIFICATE, RAW(2, 0, 2));
	assert_true(list_holds(h.cert_compress, 2));
	h = good(EXT_EC_POINT_FORMATS, RAW(1, 0));
	assert_int_equal(h.point_formats.len, 1);
	h = good(EXT_PSK_KEY_EXCHANGE_MODES, RAW(1, 1));
	assert_true(h.has_psk_modes && bytes_equal(h.psk_modes, RAW(1)));
}

static void malformed_lists_are_faults_and_leave_their_views_empty(void **state)
{
	(void)state;
	struct client_hello hello;
	assert_int_equal(parse_with(EXT_SUPPORTED_VERSIONS, RAW(3, 3, 4, 3), &hello), HELLO_OK);
	assert_int_equal(hello.faults, 1);
	assert_false(hello.has_versions);
	assert_int_equal(hello.versions.len, 0);
	assert_faulty(EXT_SUPPORTED_VERSIONS, RAW(0));
	assert_faulty(EXT_SUPPORTED_VERSIONS, RAW(2, 3, 4, 0));
	assert_faulty(EXT_SUPPORTED_GROUPS, RAW(0, 0));
	assert_faulty(EXT_SUPPORTED_GROUPS, RAW(0, 4, 0, 29));
	assert_faulty(EXT_SIGNATURE_ALGORITHMS, RAW(0, 1, 4));
	assert_faulty(EXT_SIGNATURE_ALGORITHMS_CERT, BYTES_NONE);
	assert_faulty(EXT_COMPRESS_CERTIFICATE, RAW(1, 2));
	assert_faulty(EXT_EC_POINT_FORMATS, RAW(0));
	assert_faulty(EXT_PSK_KEY_EXCHANGE_MODES, RAW(1, 1, 1));
}

static void key_shares_are_iterated(void **state)
{
	(void)state;
	struct client_hello h = good(EXT_KEY_SHARE, RAW(0, 11, 0, 29, 0, 2, 1, 2, 0x11, 0xec, 0, 1, 9));
	struct bytes list = h.key_shares, key;
	uint16_t group;
	assert_true(h.has_key_share);
	assert_true(key_share_next(&list, &group, &key));
	assert_int_equal(group, 29);
	assert_true(bytes_equal(key, RAW(1, 2)));
	assert_true(key_share_next(&list, &group, &key));
	assert_int_equal(group, 0x11ec);
	assert_false(key_share_next(&list, &group, &key));
	assert_true(client_hello_shares_group(&h, 0x11ec));
	assert_false(client_hello_shares_group(&h, 23));
	h = good(EXT_KEY_SHARE, RAW(0, 0));
	assert_true(h.has_key_share);
	assert_faulty(EXT_KEY_SHARE, RAW(0, 4, 0, 29, 0, 0));
	assert_faulty(EXT_KEY_SHARE, RAW(0, 5, 0, 29, 0, 2, 1));
	assert_faulty(EXT_KEY_SHARE, BYTES_NONE);
}

static void protocols_are_iterated(void **state)
{
	(void)state;
	struct client_hello h = good(EXT_ALPN, RAW(0, 6, 2, 'h', '2', 2, 'h', '1'));
	struct bytes list = h.alpn, name;
	assert_true(h.has_alpn);
	assert_true(alpn_next(&list, &name) && bytes_equal(name, bytes_str("h2")));
	assert_true(alpn_next(&list, &name) && bytes_equal(name, bytes_str("h1")));
	assert_false(alpn_next(&list, &name));
	assert_true(client_hello_offers_alpn(&h, bytes_str("h1")));
	assert_false(client_hello_offers_alpn(&h, bytes_str("h")));
	assert_false(client_hello_offers_alpn(&h, bytes_str("H2")));
	assert_faulty(EXT_ALPN, RAW(0, 0));
	assert_faulty(EXT_ALPN, RAW(0, 1, 0));
	assert_faulty(EXT_ALPN, RAW(0, 3, 3, 'h', '2'));
}

static void names_are_judged(void **state)
{
	(void)state;
	struct client_hello h = good(EXT_SERVER_NAME, RAW(0, 6, 0, 0, 3, 'a', '.', 'b'));
	assert_int_equal(h.sni, SNI_OK);
	assert_true(bytes_equal(h.server_name, bytes_str("a.b")));
	h = good(EXT_SERVER_NAME, BYTES_NONE);
	assert_int_equal(h.sni, SNI_EMPTY);
	h = good(EXT_SERVER_NAME, RAW(0, 5, 0, 0, 2, 'a', 0));
	assert_int_equal(h.sni, SNI_BAD_OCTET);
	assert_faulty(EXT_SERVER_NAME, RAW(0, 0));
}

/* A pre_shared_key extension's data with so many identities "key" and binders of 32 octets. */
static struct bytes psk_data(unsigned identities, unsigned binders)
{
	static uint8_t data[512];
	static const uint8_t binder[32];
	struct writer w = writer_over(data, sizeof(data));
	struct bytes psk;
	size_t mark = writer_open(&w, 2);
	for (unsigned i = 0; i < identities; i++)
		writer_bytes(&w, RAW(0, 3, 'k', 'e', 'y', 0, 0, 1, 0));
	writer_close(&w, mark, 2);
	mark = writer_open(&w, 2);
	for (unsigned i = 0; i < binders; i++)
		writer_vec8(&w, bytes_of(binder, sizeof(binder)));
	writer_close(&w, mark, 2);
	assert_true(writer_done(&w, &psk));
	return psk;
}

static void psk_identities_are_iterated(void **state)
{
	(void)state;
	struct client_hello h = good(EXT_PRE_SHARED_KEY, psk_data(2, 2));
	struct bytes list = h.psk_identities, identity;
	uint32_t age;
	assert_true(h.has_psk);
	assert_true(psk_identity_next(&list, &identity, &age));
	assert_true(psk_identity_next(&list, &identity, &age));
	assert_true(bytes_equal(identity, bytes_str("key")));
	assert_int_equal(age, 256);
	assert_false(psk_identity_next(&list, &identity, &age));
	assert_int_equal(h.psk_binders.len, 66);
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_PSK);
}

static void psk_identities_and_binders_are_as_many(void **state)
{
	(void)state;
	assert_faulty(EXT_PRE_SHARED_KEY, psk_data(1, 2));
	assert_faulty(EXT_PRE_SHARED_KEY, psk_data(2, 1));
	assert_faulty(EXT_PRE_SHARED_KEY, psk_data(1, 0));
	assert_faulty(EXT_PRE_SHARED_KEY, psk_data(0, 0));
	struct bytes cut = psk_data(1, 1);
	assert_faulty(EXT_PRE_SHARED_KEY, bytes_of(cut.data, cut.len - 1));
	/* A binder too short to be one. */
	assert_faulty(EXT_PRE_SHARED_KEY, RAW(0, 7, 0, 1, 'k', 0, 0, 0, 0, 0, 2, 1, 5));
}

static void ech_is_told_apart(void **state)
{
	(void)state;
	assert_int_equal(good(EXT_ENCRYPTED_CLIENT_HELLO, RAW(1)).ech, ECH_INNER);
	assert_int_equal(
		good(EXT_ENCRYPTED_CLIENT_HELLO, RAW(0, 0, 1, 0, 1, 7, 0, 1, 'e', 0, 2, 'p', 'q')).ech, ECH_OUTER);
	/* After a HelloRetryRequest enc is empty. */
	assert_int_equal(good(EXT_ENCRYPTED_CLIENT_HELLO, RAW(0, 0, 1, 0, 1, 7, 0, 0, 0, 1, 'p')).ech, ECH_OUTER);
	assert_faulty(EXT_ENCRYPTED_CLIENT_HELLO, BYTES_NONE);
	assert_faulty(EXT_ENCRYPTED_CLIENT_HELLO, RAW(1, 1));
	assert_faulty(EXT_ENCRYPTED_CLIENT_HELLO, RAW(2));
	assert_faulty(EXT_ENCRYPTED_CLIENT_HELLO, RAW(0, 0, 1, 0, 1, 7, 0, 1, 'e', 0, 0));
	assert_faulty(EXT_ENCRYPTED_CLIENT_HELLO, RAW(0, 0, 1, 0, 1, 7, 0, 1, 'e', 0, 1, 'p', 'x'));
	struct client_hello hello;
	assert_int_equal(parse_with(EXT_ENCRYPTED_CLIENT_HELLO, RAW(9), &hello), HELLO_OK);
	assert_int_equal(hello.ech, ECH_MALFORMED);
}

static void single_values_are_read(void **state)
{
	(void)state;
	assert_int_equal(good(EXT_RECORD_SIZE_LIMIT, RAW(0x40, 1)).record_size_limit, 0x4001);
	assert_faulty(EXT_RECORD_SIZE_LIMIT, RAW(0, 63));
	assert_faulty(EXT_RECORD_SIZE_LIMIT, RAW(1));
	assert_int_equal(good(EXT_MAX_FRAGMENT_LENGTH, RAW(4)).max_fragment, 4);
	assert_faulty(EXT_MAX_FRAGMENT_LENGTH, RAW(5));
	assert_faulty(EXT_MAX_FRAGMENT_LENGTH, RAW(1, 1));
	assert_true(bytes_equal(good(EXT_COOKIE, RAW(0, 1, 'c')).cookie, bytes_str("c")));
	assert_true(good(EXT_COOKIE, RAW(0, 1, 'c')).has_cookie);
	assert_faulty(EXT_COOKIE, RAW(0, 0));
	assert_true(good(EXT_STATUS_REQUEST, RAW(1, 0, 0, 0, 0)).has_status_request);
	assert_true(good(EXT_STATUS_REQUEST, RAW(2, 9)).has_status_request);
	assert_faulty(EXT_STATUS_REQUEST, RAW(1, 0, 0, 0));
	assert_faulty(EXT_STATUS_REQUEST, BYTES_NONE);
	struct client_hello h = good(EXT_RENEGOTIATION_INFO, RAW(2, 8, 9));
	assert_true(h.has_renegotiation_info && bytes_equal(h.renegotiated, RAW(8, 9)));
	assert_faulty(EXT_RENEGOTIATION_INFO, BYTES_NONE);
	h = good(EXT_SESSION_TICKET, RAW(1, 2));
	assert_true(h.has_ticket && bytes_equal(h.ticket, RAW(1, 2)));
}

static void flags_are_flags_only_when_empty(void **state)
{
	(void)state;
	assert_true(good(EXT_EARLY_DATA, BYTES_NONE).has_early_data);
	assert_true(good(EXT_EXTENDED_MASTER_SECRET, BYTES_NONE).has_extended_master_secret);
	assert_true(good(EXT_ENCRYPT_THEN_MAC, BYTES_NONE).has_encrypt_then_mac);
	assert_true(good(EXT_SIGNED_CERTIFICATE_TIMESTAMP, BYTES_NONE).has_sct);
	assert_true(good(EXT_POST_HANDSHAKE_AUTH, BYTES_NONE).has_post_handshake_auth);
	assert_faulty(EXT_EARLY_DATA, RAW(0));
	assert_faulty(EXT_EXTENDED_MASTER_SECRET, RAW(0));
	assert_faulty(EXT_ENCRYPT_THEN_MAC, RAW(0));
	assert_faulty(EXT_SIGNED_CERTIFICATE_TIMESTAMP, RAW(0));
	assert_faulty(EXT_POST_HANDSHAKE_AUTH, RAW(0));
}

static void unknown_extensions_and_grease_are_no_fault(void **state)
{
	(void)state;
	struct client_hello h = good(0x5a5a, RAW(1, 2, 3));
	assert_int_equal(h.extension_count, 1);
	assert_true(client_hello_has(&h, 0x5a5a));
	h = good(0xfff0, BYTES_NONE);
	assert_int_equal(h.extension_count, 1);
}

static void two_faults_are_counted_and_the_first_is_named(void **state)
{
	(void)state;
	struct client_hello hello;
	struct bytes body = build(&(struct hello_parts){.extensions = RAW(0, 23, 0, 1, 0, 0, 22, 0, 1, 0)});
	assert_int_equal(client_hello_parse(body, &hello), HELLO_OK);
	assert_int_equal(hello.faults, 2);
	assert_int_equal(hello.faulty, 23);
}

static void offered_versions_follow_supported_versions(void **state)
{
	(void)state;
	struct client_hello h = good(EXT_SUPPORTED_VERSIONS, RAW(6, 0x7a, 0x7a, 3, 4, 3, 3));
	assert_true(client_hello_offers_version(&h, TLS_VERSION_13));
	assert_true(client_hello_offers_version(&h, TLS_VERSION_12));
	assert_false(client_hello_offers_version(&h, TLS_VERSION_11));
	assert_int_equal(client_hello_max_version(&h), TLS_VERSION_13);
	h = good(EXT_SUPPORTED_VERSIONS, RAW(2, 0x7f, 0x1c));
	assert_int_equal(client_hello_max_version(&h), 0);
}

static void without_supported_versions_the_legacy_version_counts(void **state)
{
	(void)state;
	struct client_hello h;
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.version = 0x0303}), &h), HELLO_OK);
	assert_false(client_hello_offers_version(&h, TLS_VERSION_13));
	assert_true(client_hello_offers_version(&h, TLS_VERSION_12));
	assert_true(client_hello_offers_version(&h, TLS_VERSION_10));
	assert_false(client_hello_offers_version(&h, TLS_VERSION_SSL30));
	assert_int_equal(client_hello_max_version(&h), TLS_VERSION_12);
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.version = 0x0304}), &h), HELLO_OK);
	assert_int_equal(client_hello_max_version(&h), TLS_VERSION_12);
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.version = 0x0301}), &h), HELLO_OK);
	assert_int_equal(client_hello_max_version(&h), TLS_VERSION_10);
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.version = 0x0300}), &h), HELLO_OK);
	assert_int_equal(client_hello_max_version(&h), TLS_VERSION_SSL30);
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.version = 0x0200}), &h), HELLO_OK);
	assert_int_equal(client_hello_max_version(&h), 0);
}

static void signalling_suites_are_seen(void **state)
{
	(void)state;
	struct client_hello h;
	struct bytes body = build(&(struct hello_parts){.suites = RAW(0xc0, 0x2f, 0x56, 0, 0, 0xff)});
	assert_int_equal(client_hello_parse(body, &h), HELLO_OK);
	assert_true(client_hello_is_fallback(&h));
	assert_true(client_hello_secure_renegotiation(&h));
	assert_true(client_hello_offers_suite(&h, 0xc02f));
	assert_false(client_hello_offers_suite(&h, 0x2f56));
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){0}), &h), HELLO_OK);
	assert_false(client_hello_is_fallback(&h));
	assert_false(client_hello_secure_renegotiation(&h));
	h = good(EXT_RENEGOTIATION_INFO, RAW(0));
	assert_true(client_hello_secure_renegotiation(&h));
}

static void resumption_attempts_are_told_apart(void **state)
{
	(void)state;
	struct client_hello h;
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){0}), &h), HELLO_OK);
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_NONE);
	h = good(EXT_SESSION_TICKET, BYTES_NONE);
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_NONE);
	h = good(EXT_SESSION_TICKET, RAW(1));
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_TICKET);
	assert_int_equal(client_hello_parse(build(&(struct hello_parts){.session_id = RAW(1)}), &h), HELLO_OK);
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_SESSION_ID);
	struct bytes body = build(&(struct hello_parts){.session_id = RAW(1), .extensions = RAW(0, 43, 0, 3, 2, 3, 4)});
	assert_int_equal(client_hello_parse(body, &h), HELLO_OK);
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_PERHAPS);
}

static void tune_hello(SSL *client)
{
	char name[] = "www.example.test"; /* the macro casts const away, which clang sees */
	SSL_set_tlsext_host_name(client, name);
	SSL_set_alpn_protos(client, (const unsigned char *)"\2h2\10http/1.1", 12);
	SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
}

static struct bytes openssl_body(uint8_t *stream, size_t cap)
{
	struct collect c;
	collect_init(&c, NULL, 0);
	size_t n = openssl_hello(tune_hello, stream, cap);
	assert_int_equal(collect_more(&c, bytes_of(stream, n)), COLLECT_DONE);
	return c.body;
}

static void an_openssl_hello_is_read_whole(void **state)
{
	(void)state;
	static uint8_t stream[16384];
	struct client_hello h;
	assert_int_equal(client_hello_parse(openssl_body(stream, sizeof(stream)), &h), HELLO_OK);
	assert_int_equal(h.faults, 0);
	assert_int_equal(h.sni, SNI_OK);
	assert_true(bytes_equal(h.server_name, bytes_str("www.example.test")));
	assert_true(client_hello_offers_alpn(&h, bytes_str("h2")));
	assert_true(client_hello_offers_version(&h, TLS_VERSION_13));
	assert_true(client_hello_offers_version(&h, TLS_VERSION_12));
	assert_true(client_hello_offers_suite(&h, 0x1301));
	assert_true(client_hello_offers_group(&h, 29));
	assert_true(client_hello_shares_group(&h, 29));
	assert_true(client_hello_offers_sigalg(&h, 0x0403));
	assert_true(h.has_status_request && h.has_extended_master_secret && h.has_encrypt_then_mac && h.has_psk_modes);
	assert_true(client_hello_secure_renegotiation(&h));
	assert_false(h.has_psk);
	assert_int_equal(client_hello_resumption(&h), RESUMPTION_PERHAPS);
}

static void a_hello_cut_short_is_never_taken(void **state)
{
	(void)state;
	static uint8_t stream[16384];
	struct bytes body = openssl_body(stream, sizeof(stream));
	struct client_hello h;
	assert_int_equal(client_hello_parse(body, &h), HELLO_OK);
	size_t before_extensions = body.len - h.extensions.len - 2;
	for (size_t n = 0; n < body.len; n++) {
		/* On the heap to the octet, so that a read past the end is seen. */
		uint8_t *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, body.data, n);
		enum hello_result result = client_hello_parse(bytes_of(copy, n), &h);
		free(copy);
		/* A hello that ends before its extensions is one of the old kind. */
		if (n == before_extensions)
			assert_int_equal(result, HELLO_OK);
		else
			assert_int_equal(result, HELLO_TRUNCATED);
	}
}

static void turned_bits_do_no_harm(void **state)
{
	(void)state;
	static uint8_t stream[16384];
	struct bytes body = openssl_body(stream, sizeof(stream));
	uint8_t *copy = malloc(body.len);
	unsigned taken = 0, refused = 0;
	assert_non_null(copy);
	for (size_t bit = 0; bit < body.len * 8; bit++) {
		memcpy(copy, body.data, body.len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		struct client_hello h;
		bool ok = client_hello_parse(bytes_of(copy, body.len), &h) == HELLO_OK;
		taken += ok;
		refused += !ok;
		assert_true(!ok || (h.extensions.len <= body.len && h.suites.len <= body.len));
	}
	free(copy);
	assert_true(taken > 0 && refused > 0);
}

static void versions_have_names(void **state)
{
	(void)state;
	assert_string_equal(tls_version_name(0x0304), "TLS 1.3");
	assert_string_equal(tls_version_name(0x0303), "TLS 1.2");
	assert_string_equal(tls_version_name(0x0302), "TLS 1.1");
	assert_string_equal(tls_version_name(0x0301), "TLS 1.0");
	assert_string_equal(tls_version_name(0x0300), "SSL 3.0");
	assert_string_equal(tls_version_name(0x0002), "SSL 2.0");
	assert_null(tls_version_name(0x0305));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_fields_are_views_of_the_body),
		cmocka_unit_test(each_broken_structure_has_its_result),
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(malformed_lists_are_faults_and_leave_their_views_empty),
		cmocka_unit_test(key_shares_are_iterated),
		cmocka_unit_test(protocols_are_iterated),
		cmocka_unit_test(names_are_judged),
		cmocka_unit_test(psk_identities_are_iterated),
		cmocka_unit_test(psk_identities_and_binders_are_as_many),
		cmocka_unit_test(ech_is_told_apart),
		cmocka_unit_test(single_values_are_read),
		cmocka_unit_test(flags_are_flags_only_when_empty),
		cmocka_unit_test(unknown_extensions_and_grease_are_no_fault),
		cmocka_unit_test(two_faults_are_counted_and_the_first_is_named),
		cmocka_unit_test(offered_versions_follow_supported_versions),
		cmocka_unit_test(without_supported_versions_the_legacy_version_counts),
		cmocka_unit_test(signalling_suites_are_seen),
		cmocka_unit_test(resumption_attempts_are_told_apart),
		cmocka_unit_test(an_openssl_hello_is_read_whole),
		cmocka_unit_test(a_hello_cut_short_is_never_taken),
		cmocka_unit_test(turned_bits_do_no_harm),
		cmocka_unit_test(versions_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
