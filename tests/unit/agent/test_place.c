#include "agent/place.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char file[] = "/tmp/overt-place-XXXXXX";

static void put(const void *octets, size_t len, mode_t mode)
{
	FILE *out = fopen(file, "we");
	assert_non_null(out);
	assert_int_equal(fwrite(octets, 1, len, out), len);
	fclose(out);
	assert_int_equal(chmod(file, mode), 0);
}

static int make(void **state)
{
	(void)state;
	int fd = mkstemp(file);
	return fd >= 0 ? close(fd) : -1;
}

static int drop(void **state)
{
	(void)state;
	return unlink(file);
}

static Elf64_Ehdr head(unsigned char class)
{
	Elf64_Ehdr head = {.e_phoff = sizeof(head), .e_phnum = 1, .e_phentsize = sizeof(Elf64_Phdr)};
	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = class;
	return head;
}

static void programs_with_a_loader_and_scripts_are_reached(void **state)
{
	(void)state;
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment;
	} program = {head(ELFCLASS64), {.p_type = PT_INTERP}};
	assert_null(place_barrier("sh"));
	put(&program, sizeof(program), 0700);
	assert_null(place_barrier(file));
	put("#!/bin/sh\n", 10, 0700);
	assert_null(place_barrier(file));
	put("", 0, 0700);
	assert_null(place_barrier(file));
	assert_null(place_barrier("/there/is/no/such/program"));
}

static void static_foreign_and_privileged_programs_are_not(void **state)
{
	(void)state;
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment;
	} program = {head(ELFCLASS64), {.p_type = PT_LOAD}};
	put(&program, sizeof(program), 0700);
	assert_non_null(strstr(place_barrier(file), "statically"));
	put(&program, sizeof(program.head), 0700);
	assert_non_null(strstr(place_barrier(file), "statically"));
	program.head = head(ELFCLASS32);
	put(&program, sizeof(program), 0700);
	assert_non_null(strstr(place_barrier(file), "64 bits"));
	program.head = head(ELFCLASS64);
	program.segment.p_type = PT_INTERP;
	put(&program, sizeof(program), 04700);
	assert_non_null(strstr(place_barrier(file), "rights"));
}

static void segments_at_the_end_of_the_world_are_not_looked_for(void **state)
{
	(void)state;
	Elf64_Ehdr wild = head(ELFCLASS64);
	wild.e_phoff = UINT64_MAX;
	wild.e_phnum = UINT16_MAX;
	put(&wild, sizeof(wild), 0700);
	assert_non_null(strstr(place_barrier(file), "statically"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_with_a_loader_and_scripts_are_reached),
		cmocka_unit_test(static_foreign_and_privileged_programs_are_not),
		cmocka_unit_test(segments_at_the_end_of_the_world_are_not_looked_for),
	};
	return cmocka_run_group_tests(tests, make, drop);
}
