/* What the laboratory says of its connections is what is true of them. */
#include "explain/lab.h"

#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/schedule13.h"
#include "tls/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The client handshake traffic secret, from the key exchange's secret and both hellos (RFC 8446, 7.1). */
static void compute(const struct lab_end *client, struct tls_secret *out)
{
	struct crypto *crypto = crypto_new();
	struct bytes rest = lab_messages(client);
	struct tls_secret shared, early, handshake, hash;
	struct transcript transcript;
	struct handshake message;
	assert_non_null(crypto);
	assert_true(lab_shared(client, &shared));
	transcript_init(&transcript, TRANSCRIPT_CAP);
	assert_int_equal(transcript_choose(&transcript, SUITE_HASH_SHA256), TRANSCRIPT_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(handshake_read(&rest, LAB_STREAM, &message), HANDSHAKE_OK);
		assert_int_equal(transcript_add(&transcript, message.whole), TRANSCRIPT_OK);
	}
	assert_int_equal(transcript_value(&transcript, &hash), TRANSCRIPT_OK);
	assert_true(schedule13_early(crypto, SUITE_HASH_SHA256, BYTES_NONE, &early));
	assert_true(schedule13_handshake(crypto, SUITE_HASH_SHA256, &early, tls_secret_bytes(&shared), &handshake));
	assert_true(schedule13_derive(
		crypto, SUITE_HASH_SHA256, &handshake, SCHEDULE13_C_HS_TRAFFIC, tls_secret_bytes(&hash), out));
	transcript_free(&transcript);
	crypto_free(crypto);
}

static void the_shared_secret_is_that_of_the_key_log_in_every_group(void **state)
{
	(void)state;
	static const char *const groups[] = {
		"X25519", "P-256", "P-384", "X448", LAB_HYBRID, "SecP256r1MLKEM768", "MLKEM768"};
	struct error err = {0};
	struct lab *lab = lab_new(&err);
	assert_non_null(lab);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		const struct lab_setup setup = {
			.version = TLS_VERSION_13, .suites = "TLS_AES_128_GCM_SHA256", .groups = groups[i]};
		struct tls_secret computed, logged;
		/* Hybrids are of OpenSSL 3.5. */
		if (!lab_has_group(groups[i]))
			continue;
		struct lab_end *client = lab_client(lab, &setup, &err), *server = lab_server(lab, &setup, &err);
		assert_non_null(client);
		assert_non_null(server);
		assert_true(lab_join(client, server, NULL, NULL, &err));
		compute(client, &computed);
		assert_true(lab_secret(client, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", 0, &logged));
		assert_int_equal(computed.len, logged.len);
		assert_memory_equal(computed.octets, logged.octets, logged.len);
		lab_end_free(client);
		lab_end_free(server);
	}
	lab_free(lab);
}

static void groups_that_do_not_exist_are_not_had(void **state)
{
	(void)state;
	assert_true(lab_has_group("X25519"));
	assert_false(lab_has_group("X25520"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shared_secret_is_that_of_the_key_log_in_every_group),
		cmocka_unit_test(groups_that_do_not_exist_are_not_had),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
