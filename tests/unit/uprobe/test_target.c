#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "make_elf.h"
#include "uprobe/target.h"

#include <cmocka.h>
#include <string.h>

#if defined(__aarch64__)
#define HERE  ELF_AARCH64
#define THERE ELF_X86_64
#else
#define HERE  ELF_X86_64
#define THERE ELF_AARCH64
#endif

#define GO_118 0xfffffff0U
#define GO_120 0xfffffff1U

static struct made made;
static struct elf_source source;
static struct target target;

static const char *const go[] = {"main.main", "crypto/tls.(*Config).writeKeyLog",
	"crypto/tls.(*cipherSuiteTLS13).trafficKey", "crypto/tls.(*Config).writeKeyLogs"};

static void look(void)
{
	made_end(&made, &source);
	target_look(&source, &target);
}

static void begin(bool loader)
{
	static const uint8_t code[4096];
	made_begin(&made, HERE, loader);
	(void)made_section(&made, ".text", 1, 0, bytes_of(code, sizeof(code)));
}

static const struct target_point *point(enum target_probe probe)
{
	for (size_t i = 0; i < target.count; i++) {
		if (target.points[i].probe == probe)
			return &target.points[i];
	}
	return NULL;
}

static void a_stripped_go_program_tells_its_functions(void **state)
{
	static const uint32_t magics[] = {GO_118, GO_120};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin(false);
		made_gopclntab(&made, ".gopclntab", magics[i], MADE_BASE + 0x100, go, 4);
		made_buildinfo(&made, "go1.21.3");
		look();
		assert_int_equal(target.kind, TARGET_GO);
		assert_string_equal(target.says, "it is a Go program (go1.21.3)");
		assert_int_equal(target.count, 2);
		assert_int_equal(point(TARGET_GO_LINE)->offset, 0x200);
		assert_int_equal(point(TARGET_GO_SUITE)->offset, 0x300);
	}
}

/* A program that is moved as a whole: where its code begins stands among the relocations. */
static void a_go_program_that_may_be_moved_is_read(void **state)
{
	uint8_t room[24];
	struct writer to = writer_over(room, sizeof(room));
	(void)state;
	begin(true);
	made_gopclntab(&made, ".data.rel.ro", GO_120, 0, go, 4);
	made_u64(&to, made.sections[made.count - 1].address + 24);
	made_u64(&to, 8);
	made_u64(&to, MADE_BASE + 0x400);
	(void)made_section(&made, ".rela.dyn", 4, 0, bytes_of(room, to.len));
	made_buildinfo(&made, "go1.24.4");
	look();
	assert_int_equal(target.kind, TARGET_GO);
	assert_true(target.dynamic);
	assert_int_equal(point(TARGET_GO_LINE)->offset, 0x500);
}

static void the_symbols_of_a_go_program_are_as_good(void **state)
{
	static const uint64_t addresses[] = {MADE_BASE + 0x40, MADE_BASE + 0x80, MADE_BASE + 0xc0, MADE_BASE + 0xe0};
	(void)state;
	begin(false);
	made_gopclntab(&made, ".gopclntab", GO_120, MADE_BASE, go, 1);
	made_symbols(&made, go, addresses, 4);
	look();
	assert_int_equal(target.kind, TARGET_GO);
	assert_string_equal(target.says, "it is a Go program");
	assert_int_equal(point(TARGET_GO_LINE)->offset, 0x80);
}

static void a_go_program_out_of_reach_is_said_to_be(void **state)
{
	(void)state;
	begin(false);
	made_gopclntab(&made, ".gopclntab", GO_120, MADE_BASE, go, 1);
	look();
	assert_int_equal(target.kind, TARGET_BARRED);
	assert_non_null(strstr(target.says, "without crypto/tls"));
	begin(false);
	made_gopclntab(&made, ".gopclntab", 0xfffffffaU, MADE_BASE, go, 4);
	look();
	assert_int_equal(target.kind, TARGET_BARRED);
	assert_non_null(strstr(target.says, "before Go 1.18"));
	begin(false);
	made_gopclntab(&made, ".gopclntab", 0xfffffff7U, MADE_BASE, go, 4);
	look();
	assert_int_equal(target.kind, TARGET_BARRED);
	assert_non_null(strstr(target.says, "cannot be read"));
}

static const char *const ssl[] = {"main", "nss_keylog_int", "derive_secret_key_and_iv"};
static const uint64_t ssl_addresses[] = {MADE_BASE + 0x110, MADE_BASE + 0x120, MADE_BASE + 0x130};

static void openssl_inside_a_static_program_is_found(void **state)
{
	(void)state;
	begin(false);
	made_symbols(&made, ssl, ssl_addresses, 3);
	look();
	assert_int_equal(target.kind, TARGET_OPENSSL);
	assert_int_equal(target.count, 2);
	assert_int_equal(point(TARGET_SSL_LINE)->offset, 0x120);
	assert_int_equal(point(TARGET_SSL_SUITE)->offset, 0x130);
}

static void a_dynamic_program_is_the_agents(void **state)
{
	(void)state;
	begin(true);
	made_symbols(&made, ssl, ssl_addresses, 3);
	look();
	assert_int_equal(target.kind, TARGET_FREE);
	assert_string_equal(target.says, "");
}

static void a_stripped_static_program_is_told_from_one_without_openssl(void **state)
{
	(void)state;
	begin(false);
	made_symbols(&made, ssl, ssl_addresses, 1);
	look();
	assert_int_equal(target.kind, TARGET_BARRED);
	assert_non_null(strstr(target.says, "no TLS library"));
	begin(false);
	look();
	assert_int_equal(target.kind, TARGET_BARRED);
	assert_non_null(strstr(target.says, "stripped"));
}

static void a_script_is_free_and_another_machine_is_not(void **state)
{
	(void)state;
	begin(false);
	made_end(&made, &source);
	memcpy(made.octets, "#!/bin/sh\n", 10);
	target_look(&source, &target);
	assert_int_equal(target.kind, TARGET_FREE);
	made_begin(&made, THERE, false);
	look();
	assert_int_equal(target.kind, TARGET_BARRED);
	assert_non_null(strstr(target.says, "another machine"));
}

static void no_damage_leads_outside_of_the_file(void **state)
{
	(void)state;
	made_begin(&made, HERE, false);
	made_gopclntab(&made, ".gopclntab", GO_120, 0, go, 4);
	made_buildinfo(&made, "go1.21.3");
	made_end(&made, &source);
	size_t whole = made.len;
	for (size_t at = 0; at < whole; at++) {
		uint8_t kept = made.octets[at];
		for (unsigned way = 0; way < 3; way++) {
			source.size = way == 0 ? at : whole;
			if (way > 0)
				made.octets[at] = way == 1 ? 0xff : (uint8_t)(kept ^ 1);
			target_look(&source, &target);
			for (size_t i = 0; i < target.count; i++)
				assert_true(target.points[i].offset < source.size);
			made.octets[at] = kept;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stripped_go_program_tells_its_functions),
		cmocka_unit_test(a_go_program_that_may_be_moved_is_read),
		cmocka_unit_test(the_symbols_of_a_go_program_are_as_good),
		cmocka_unit_test(a_go_program_out_of_reach_is_said_to_be),
		cmocka_unit_test(openssl_inside_a_static_program_is_found),
		cmocka_unit_test(a_dynamic_program_is_the_agents),
		cmocka_unit_test(a_stripped_static_program_is_told_from_one_without_openssl),
		cmocka_unit_test(a_script_is_free_and_another_machine_is_not),
		cmocka_unit_test(no_damage_leads_outside_of_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
