#include "support.h"
#include "tls/handshake.h"
#include "tls/psk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PSK_EXTENSION RAW(0, 15, 0, 1, 'a', 0, 0, 0, 5, 0, 2, 'b', 'c', 0, 0, 0, 6, 0, 66)

static uint8_t room[400];

/* A ClientHello message with two PSKs, or none. */
static struct bytes make_hello(bool with_psks)
{
	static uint8_t body_room[400];
	uint8_t extensions[200], psks[150], binder[32] = {9};
	struct writer e = writer_over(extensions, sizeof(extensions)), p = writer_over(psks, sizeof(psks));
	struct writer b = writer_over(body_room, sizeof(body_room)), m = writer_over(room, sizeof(room));
	struct bytes block, body, whole;
	writer_bytes(&p, PSK_EXTENSION);
	for (int i = 0; i < 2; i++) {
		binder[31] = (uint8_t)i;
		writer_vec8(&p, bytes_of(binder, sizeof(binder)));
	}
	if (with_psks)
		put_extension(&e, 41, bytes_of(psks, p.len));
	assert_true(writer_done(&p, &block) && writer_done(&e, &block));
	put_hello(&b, &(struct hello_parts){.extensions = block});
	assert_true(writer_done(&b, &body));
	put_message(&m, HANDSHAKE_CLIENT_HELLO, body);
	assert_true(writer_done(&m, &whole));
	return whole;
}

static struct client_hello parse(struct bytes whole)
{
	struct client_hello hello;
	assert_true(bytes_skip(&whole, HANDSHAKE_HEADER));
	assert_int_equal(client_hello_parse(whole, &hello), HELLO_OK);
	return hello;
}

static void identities_and_binders_go_together(void **state)
{
	(void)state;
	struct client_hello hello = parse(make_hello(true));
	struct bytes identity, binder;
	assert_true(hello.has_psk);
	assert_true(psk_at(&hello, 0, &identity, &binder));
	assert_true(bytes_equal(identity, RAW('a')) && binder.len == 32 && binder.data[31] == 0);
	assert_true(psk_at(&hello, 1, &identity, &binder));
	assert_true(bytes_equal(identity, RAW('b', 'c')) && binder.data[31] == 1);
	assert_false(psk_at(&hello, 2, &identity, &binder));
}

static void the_hello_is_cut_before_its_binders(void **state)
{
	(void)state;
	struct bytes whole = make_hello(true), front = BYTES_NONE;
	struct client_hello hello = parse(whole);
	assert_true(psk_truncated(whole, &hello, &front));
	assert_int_equal(front.len, whole.len - 68);
	assert_ptr_equal(front.data, whole.data);
	/* Not this hello's message. */
	struct bytes shorter = bytes_of(whole.data, whole.len - 1);
	assert_false(psk_truncated(shorter, &hello, &front));
	assert_false(psk_truncated(BYTES_NONE, &hello, &front));
	uint8_t other[400];
	memcpy(other, whole.data, whole.len);
	other[20] ^= 1;
	assert_false(psk_truncated(bytes_of(other, whole.len), &hello, &front));
	whole = make_hello(false);
	hello = parse(whole);
	assert_false(psk_truncated(whole, &hello, &front));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities_and_binders_go_together),
		cmocka_unit_test(the_hello_is_cut_before_its_binders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
