#include "tls/ech_context.h"

#include "base/text.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct bytes unhex(uint8_t *room, size_t cap, const char *hex)
{
	size_t len;
	assert_true(text_unhex(room, cap, &len, bytes_str(hex)));
	return bytes_of(room, len);
}

/* RFC 9180, A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. */
static void the_vector_of_rfc_9180_opens(void **state)
{
	(void)state;
	struct crypto *crypto = crypto_new();
	uint8_t a[64], b[64], c[64], d[64], out[64];
	struct ech_context hpke;
	struct bytes shared = unhex(a, sizeof(a), "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc");
	/* In two parts. */
	struct bytes info[2] = {bytes_str("Ode on a "), bytes_str("Grecian Urn")};
	assert_true(ech_context_begin(crypto, (struct ech_suite){0x20, 1, 1}, shared, info, 2, &hpke));
	assert_true(bytes_equal(bytes_of(hpke.key, 16), unhex(b, sizeof(b), "4531685d41d65f03dc48f6b8302c05b0")));
	assert_true(bytes_equal(bytes_of(hpke.nonce, ECH_NONCE), unhex(c, sizeof(c), "56d890e5accaaf011cff4b7d")));
	struct bytes sealed = unhex(d, sizeof(d),
		"f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a");
	assert_true(ech_context_open(crypto, &hpke, 0, bytes_str("Count-0"), sealed, out));
	assert_memory_equal(out, "Beauty is truth, truth beauty", 29);
	assert_false(ech_context_open(crypto, &hpke, 1, bytes_str("Count-0"), sealed, out));
	assert_false(ech_context_open(crypto, &hpke, 0, bytes_str("Count-1"), sealed, out));
	assert_false(ech_context_open(crypto, &hpke, 0, BYTES_NONE, bytes_of(sealed.data, ECH_TAG - 1), out));
	ech_context_wipe(&hpke);
	crypto_free(crypto);
}

static void a_suite_that_is_not_done_is_refused(void **state)
{
	(void)state;
	struct crypto *crypto = crypto_new();
	struct ech_context hpke;
	struct bytes shared = bytes_str("a shared secret");
	assert_true(ech_context_begin(crypto, (struct ech_suite){0x10, 3, 3}, shared, NULL, 0, &hpke));
	assert_false(ech_context_begin(crypto, (struct ech_suite){0x20, 0, 1}, shared, NULL, 0, &hpke));
	assert_false(ech_context_begin(crypto, (struct ech_suite){0x20, 4, 1}, shared, NULL, 0, &hpke));
	assert_false(ech_context_begin(crypto, (struct ech_suite){0x20, 1, 0}, shared, NULL, 0, &hpke));
	/* Export only. */
	assert_false(ech_context_begin(crypto, (struct ech_suite){0x20, 1, 0xffff}, shared, NULL, 0, &hpke));
	crypto_free(crypto);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vector_of_rfc_9180_opens),
		cmocka_unit_test(a_suite_that_is_not_done_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
