#include "proxy/keeper_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t room[1 << 18];

static void a_welcome_reads_as_written_and_no_shorter(void **state)
{
	(void)state;
	struct keeper_welcome welcome = {.chain = {bytes_str("first"), bytes_str("second")},
		.chain_count = 2,
		.issuer = bytes_str("01234567890123456789012345678901"),
		.keys = {bytes_str("ec key"), BYTES_NONE},
		.tickets = {.count = 2, .key = {{.name = {1}, .aes = {2}, .hmac = {3}}, {.name = {4}}}},
		.audit_reason = bytes_str("disk full"),
		.refusal_lifetime_s = 7,
		.accord_key = bytes_str("accord key"),
		.accord_cert = bytes_str("accord certificate")};
	struct keeper_welcome read = {0};
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	keeper_welcome_write(&w, &welcome);
	assert_true(writer_done(&w, &body));
	assert_true(keeper_welcome_read(body, &read));
	assert_int_equal(read.chain_count, 2);
	assert_true(bytes_equal(read.chain[1], welcome.chain[1]));
	assert_true(bytes_equal(read.issuer, welcome.issuer));
	assert_true(bytes_equal(read.keys[0], welcome.keys[0]));
	assert_int_equal(read.keys[1].len, 0);
	assert_int_equal(read.tickets.count, 2);
	assert_memory_equal(&read.tickets.key[1], &welcome.tickets.key[1], sizeof(struct ticket_key));
	assert_true(bytes_equal(read.audit_reason, welcome.audit_reason));
	assert_int_equal(read.refusal_lifetime_s, 7);
	assert_true(bytes_equal(read.accord_key, welcome.accord_key));
	assert_true(bytes_equal(read.accord_cert, welcome.accord_cert));
	for (size_t cut = 0; cut < body.len; cut++)
		assert_false(keeper_welcome_read(bytes_of(body.data, cut), &read));
}

static void a_leaf_request_has_host_and_certificate_within_their_limits(void **state)
{
	(void)state;
	static uint8_t cert[KEEPER_CERT_MAX + 1];
	struct keeper_leaf_request request = {.key = KEEPER_KEY_RSA,
		.faults = 1ULL << 40,
		.host = bytes_str("a.example"),
		.upstream = bytes_str("DER")};
	struct keeper_leaf_request read;
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	keeper_leaf_request_write(&w, &request);
	assert_true(writer_done(&w, &body));
	assert_true(keeper_leaf_request_read(body, &read));
	assert_int_equal(read.key, KEEPER_KEY_RSA);
	assert_int_equal(read.faults, 1ULL << 40);
	assert_true(bytes_equal(read.host, request.host));
	for (size_t cut = 0; cut < body.len; cut++)
		assert_false(keeper_leaf_request_read(bytes_of(body.data, cut), &read));
	struct keeper_leaf_request bad[] = {request, request, request, request, request};
	bad[0].key = KEEPER_KEYS;
	bad[1].host = BYTES_NONE;
	bad[2].host = bytes_of(cert, KEEPER_HOST_MAX + 1);
	bad[3].upstream = BYTES_NONE;
	bad[4].upstream = bytes_of(cert, sizeof(cert));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w = writer_over(room, sizeof(room));
		keeper_leaf_request_write(&w, &bad[i]);
		assert_true(writer_done(&w, &body));
		assert_false(keeper_leaf_request_read(body, &read));
	}
}

static void a_refusal_reads_as_written_and_never_with_a_strange_alert(void **state)
{
	(void)state;
	struct refusal refusal = {
		.client = "192.0.2.1", .name = "a.example", .alert = 48, .count = 3, .first_s = 1, .last_s = 2};
	struct refusal read;
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	keeper_refusal_write(&w, &refusal);
	assert_true(writer_done(&w, &body));
	assert_true(keeper_refusal_read(body, &read));
	assert_memory_equal(&read, &refusal, sizeof(read));
	for (size_t cut = 0; cut < body.len; cut++)
		assert_false(keeper_refusal_read(bytes_of(body.data, cut), &read));
	const int32_t alerts[] = {REFUSAL_CLOSED, 255, 256, -2};
	for (size_t i = 0; i < 4; i++) {
		refusal.alert = alerts[i];
		w = writer_over(room, sizeof(room));
		keeper_refusal_write(&w, &refusal);
		assert_true(writer_done(&w, &body));
		assert_int_equal(keeper_refusal_read(body, &read), i < 2);
	}
	refusal.alert = 48;
	refusal.client[0] = '\0';
	w = writer_over(room, sizeof(room));
	keeper_refusal_write(&w, &refusal);
	assert_true(writer_done(&w, &body));
	assert_false(keeper_refusal_read(body, &read));
}

static void more_ticket_keys_than_there_are_places_are_refused(void **state)
{
	(void)state;
	struct ticket_keys keys;
	memset(room, 0, sizeof(room));
	room[0] = TICKET_KEYS_MAX + 1;
	assert_false(keeper_tickets_read(bytes_of(room, 1 + 4 * sizeof(struct ticket_key)), &keys));
	room[0] = 1;
	assert_true(keeper_tickets_read(bytes_of(room, 1 + sizeof(struct ticket_key)), &keys));
	assert_int_equal(keys.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_welcome_reads_as_written_and_no_shorter),
		cmocka_unit_test(a_leaf_request_has_host_and_certificate_within_their_limits),
		cmocka_unit_test(a_refusal_reads_as_written_and_never_with_a_strange_alert),
		cmocka_unit_test(more_ticket_keys_than_there_are_places_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
