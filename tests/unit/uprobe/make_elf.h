/* An ELF file of 64 bits in memory, made section by section, for tests of its readers. */
#ifndef TESTS_UPROBE_MAKE_ELF_H
#define TESTS_UPROBE_MAKE_ELF_H

#include "uprobe/elf.h"

#define MADE_OCTETS   ((size_t)64 * 1024)
#define MADE_SECTIONS 16
#define MADE_BASE     0x400000U /* the address of the file's first octet in the running program */

struct made_section {
	const char *name;
	uint32_t type, link;
	uint64_t offset, address, size;
};

/* Zeroed when new; `machine` first. */
struct made {
	uint16_t machine;
	bool loader;
	size_t len;
	size_t count;
	struct made_section sections[MADE_SECTIONS];
	uint8_t octets[MADE_OCTETS];
};

void made_begin(struct made *made, uint16_t machine, bool loader);
/* Appends a section; its number, from 1 on. Its address is MADE_BASE and where it stands. */
uint32_t made_section(struct made *made, const char *name, uint32_t type, uint32_t link, struct bytes content);
/* .symtab and .strtab with these functions. */
void made_symbols(struct made *made, const char *const *names, const uint64_t *addresses, size_t count);
/* .gopclntab (or `name`) with these functions at `text` and 256 octets between each; `magic` of the version. */
void made_gopclntab(
	struct made *made, const char *name, uint32_t magic, uint64_t text, const char *const *names, size_t count);
void made_buildinfo(struct made *made, const char *version);
/* The whole file; `source` reads from `made`. */
void made_end(struct made *made, struct elf_source *source);

/* Little-endian, at the end. */
void made_u16(struct writer *to, uint16_t value);
void made_u32(struct writer *to, uint32_t value);
void made_u64(struct writer *to, uint64_t value);

#endif
