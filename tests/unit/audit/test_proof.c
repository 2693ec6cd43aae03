#include "audit/proof.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t written[4096], room[AUDIT_PROOF_MAX];

#define NOTE   "origin\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 origin AAAA\n"
#define HASH   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
#define LEAF   "c2sp.org/tlog-proof@v1\n"
#define GROWTH "overt.internal/tlog-growth@v1\n"

static struct bytes write_proof(const struct audit_proof *proof)
{
	struct bytes out;
	struct writer w = writer_over(written, sizeof(written));
	assert_true(audit_proof_write(&w, proof));
	assert_true(writer_done(&w, &out));
	return out;
}

static void a_proof_of_a_line_reads_as_documented_and_back(void **state)
{
	(void)state;
	struct audit_proof proof = {.kind = AUDIT_PROOF_LEAF,
		.extra = bytes_str("{\"seq\":4}"),
		.index = 3,
		.path = {.count = 2},
		.note = bytes_str(NOTE)};
	struct audit_proof read;
	struct bytes octets = write_proof(&proof);
	assert_true(bytes_equal(octets, bytes_str(LEAF "extra eyJzZXEiOjR9\nindex 3\n" HASH HASH "\n" NOTE)));
	assert_true(audit_proof_read(octets, room, &read));
	assert_int_equal(read.kind, AUDIT_PROOF_LEAF);
	assert_int_equal(read.index, 3);
	assert_int_equal(read.path.count, 2);
	assert_true(bytes_equal(read.extra, proof.extra) && bytes_equal(read.note, proof.note));
}

static void a_proof_of_growth_reads_as_documented_and_back(void **state)
{
	(void)state;
	struct audit_proof proof = {
		.kind = AUDIT_PROOF_GROWTH, .extra = bytes_str("old\n"), .path = {.count = 1}, .note = bytes_str(NOTE)};
	struct audit_proof read;
	struct bytes octets = write_proof(&proof);
	assert_true(bytes_equal(octets, bytes_str(GROWTH "old b2xkCg==\n" HASH "\n" NOTE)));
	assert_true(audit_proof_read(octets, room, &read));
	assert_int_equal(read.kind, AUDIT_PROOF_GROWTH);
	assert_int_equal(read.path.count, 1);
	assert_true(bytes_equal(read.extra, proof.extra) && bytes_equal(read.note, proof.note));
}

static void what_begins_as_no_proof_is_left_whole_for_a_checkpoint(void **state)
{
	(void)state;
	struct audit_proof read;
	assert_true(audit_proof_read(bytes_str(NOTE), room, &read));
	assert_int_equal(read.kind, AUDIT_PROOF_NONE);
	assert_true(bytes_equal(read.note, bytes_str(NOTE)));
}

static void a_broken_proof_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {LEAF, LEAF "index 3\n\n" NOTE, LEAF "extra AA\nindex 3\n\n" NOTE,
		LEAF "extra AAAA\nindex 03\n\n" NOTE, LEAF "extra AAAA\nindex -3\n\n" NOTE,
		LEAF "extra AAAA\nindex \n\n" NOTE, LEAF "extra AAAA\nindex 3\nAAAA\n\n" NOTE,
		LEAF "extra AAAA\nindex 3\n" HASH, LEAF "extra AAAA\nindex 3", GROWTH, GROWTH "old\n\n" NOTE,
		GROWTH "old AAAA\nindex 3\n\n" NOTE, GROWTH "old AAAA\n" HASH};
	struct audit_proof read;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (audit_proof_read(bytes_str(bad[i]), room, &read))
			fail_msg("case %zu was taken for a proof", i);
	}
	/* One hash more than a tree of the largest size has levels. */
	struct bytes out;
	struct writer w = writer_over(written, sizeof(written));
	writer_bytes(&w, bytes_str(LEAF "extra AAAA\nindex 3\n"));
	for (int i = 0; i < MERKLE_PROOF_MAX; i++)
		writer_bytes(&w, bytes_str(HASH));
	size_t mark = w.len;
	writer_bytes(&w, bytes_str("\n" NOTE));
	assert_true(writer_done(&w, &out) && audit_proof_read(out, room, &read));
	w.len = mark;
	writer_bytes(&w, bytes_str(HASH "\n" NOTE));
	assert_true(writer_done(&w, &out) && !audit_proof_read(out, room, &read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proof_of_a_line_reads_as_documented_and_back),
		cmocka_unit_test(a_proof_of_growth_reads_as_documented_and_back),
		cmocka_unit_test(what_begins_as_no_proof_is_left_whole_for_a_checkpoint),
		cmocka_unit_test(a_broken_proof_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
