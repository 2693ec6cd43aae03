/*
 * uprobe/golang.h — what a Go program carries about itself, also when it is stripped: its table of functions
 * (.gopclntab, as Go 1.18 and 1.20 write it) and the version it was made by. No I/O but elf_load's.
 */
#ifndef UPROBE_GOLANG_H
#define UPROBE_GOLANG_H

#include "uprobe/elf.h"

#define GOLANG_VERSION_MAX 31

enum golang_result {
	GOLANG_OK,
	GOLANG_NOT,  /* it is no Go program */
	GOLANG_OLD,  /* of Go 1.17 or before: arguments are passed in other places */
	GOLANG_LOST, /* it is one, but its table cannot be read */
};

/* `version` ("go1.19.8") is empty when it is not said. */
must_check enum golang_result golang_look(const struct elf *elf, char version[GOLANG_VERSION_MAX + 1]);
/* As elf_functions, from the table that GOLANG_OK stands for. */
bool golang_functions(const struct elf *elf, const char *const *names, size_t count, uint64_t *addresses);

#endif
