#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "make_elf.h"

#include <cmocka.h>

static struct made made;
static struct elf_source source;
static struct elf elf;

static const char *const names[] = {"first", "second", "second.part"};
static const uint64_t addresses[] = {MADE_BASE + 0x10, MADE_BASE + 0x20, MADE_BASE + 0x30};

static void make(bool loader)
{
	made_begin(&made, ELF_X86_64, loader);
	(void)made_section(&made, ".text", 1, 0, bytes_str("code that is long enough to have places in it"));
	made_symbols(&made, names, addresses, 3);
	made_end(&made, &source);
}

static void functions_are_found_by_their_whole_names(void **state)
{
	static const char *const wanted[] = {"second", "firs", "first", "third"};
	uint64_t found[4] = {0};
	uint64_t place;
	(void)state;
	make(false);
	assert_int_equal(elf_open(&source, &elf), ELF_OK);
	assert_true(elf_functions(&elf, wanted, 4, found));
	assert_int_equal(found[0], MADE_BASE + 0x20);
	assert_int_equal(found[1], 0);
	assert_int_equal(found[2], MADE_BASE + 0x10);
	assert_int_equal(found[3], 0);
	assert_true(elf_place(&elf, found[0], &place));
	assert_int_equal(place, 0x20);
	elf_free(&elf);
}

static void an_address_outside_of_what_is_loaded_has_no_place(void **state)
{
	uint64_t place;
	(void)state;
	make(false);
	assert_int_equal(elf_open(&source, &elf), ELF_OK);
	assert_false(elf_place(&elf, MADE_BASE - 1, &place));
	assert_false(elf_place(&elf, MADE_BASE + made.len, &place));
	assert_false(elf_place(&elf, UINT64_MAX, &place));
	elf_free(&elf);
}

static void a_loader_is_seen(void **state)
{
	(void)state;
	make(true);
	assert_int_equal(elf_open(&source, &elf), ELF_OK);
	assert_true(elf.loader);
	elf_free(&elf);
	make(false);
	assert_int_equal(elf_open(&source, &elf), ELF_OK);
	assert_false(elf.loader);
	elf_free(&elf);
}

static void what_is_no_elf_file_is_told_from_a_foreign_one(void **state)
{
	(void)state;
	make(false);
	made.octets[4] = 1; /* 32 bits */
	assert_int_equal(elf_open(&source, &elf), ELF_FOREIGN);
	elf_free(&elf);
	made.octets[0] = '#';
	assert_int_equal(elf_open(&source, &elf), ELF_NOT_ELF);
	elf_free(&elf);
	source.size = 20;
	assert_int_equal(elf_open(&source, &elf), ELF_NOT_ELF);
	elf_free(&elf);
}

/* Wherever it ends, and whatever octet is changed: nothing is read outside of it (the sanitizers look). */
static void no_damage_leads_outside_of_the_file(void **state)
{
	uint64_t found[3];
	(void)state;
	make(false);
	size_t whole = made.len;
	for (size_t at = 0; at < whole; at++) {
		uint8_t kept = made.octets[at];
		for (unsigned way = 0; way < 3; way++) {
			source.size = way == 0 ? at : whole;
			if (way > 0)
				made.octets[at] = way == 1 ? 0xff : (uint8_t)(kept ^ 1);
			memset(found, 0, sizeof(found));
			if (elf_open(&source, &elf) == ELF_OK)
				(void)elf_functions(&elf, names, 3, found);
			elf_free(&elf);
			made.octets[at] = kept;
		}
	}
}

static void a_section_that_is_not_in_the_file_is_not_loaded(void **state)
{
	struct elf_loaded loaded;
	(void)state;
	make(false);
	assert_int_equal(elf_open(&source, &elf), ELF_OK);
	struct elf_section section = *elf_find(&elf, ".text");
	assert_true(elf_load(&elf, &section, &loaded));
	assert_true(bytes_starts(elf_octets(&loaded), bytes_str("code that")));
	elf_unload(&loaded);
	section.size = made.len;
	assert_false(elf_load(&elf, &section, &loaded));
	section.offset = UINT64_MAX;
	section.size = 2;
	assert_false(elf_load(&elf, &section, &loaded));
	assert_null(elf_find(&elf, ".texts"));
	assert_null(elf_find(&elf, ".tex"));
	elf_free(&elf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_found_by_their_whole_names),
		cmocka_unit_test(an_address_outside_of_what_is_loaded_has_no_place),
		cmocka_unit_test(a_loader_is_seen),
		cmocka_unit_test(what_is_no_elf_file_is_told_from_a_foreign_one),
		cmocka_unit_test(no_damage_leads_outside_of_the_file),
		cmocka_unit_test(a_section_that_is_not_in_the_file_is_not_loaded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
