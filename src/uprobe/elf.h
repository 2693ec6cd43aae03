/*
 * uprobe/elf.h — reading ELF files of programs (System V ABI, ELF-64 object file format): what kind they are, their
 * sections, and where in the file a function begins. Of a file of any size only what is asked for is read. Files are
 * strangers': nothing in one can make these functions read outside of it, or take more memory than ELF_LOAD_MAX.
 */
#ifndef UPROBE_ELF_H
#define UPROBE_ELF_H

#include "base/bytes.h"

#define ELF_SEGMENTS_MAX 64
#define ELF_SECTIONS_MAX 1024
#define ELF_LOAD_MAX     ((size_t)512 << 20) /* octets of one section that is loaded */

/* Of e_machine. */
#define ELF_X86_64  62
#define ELF_AARCH64 183

/* Where the octets come from. `read` gets all `len` octets at `at`, or says false; it is asked for nothing past `size`. */
struct elf_source {
	bool (*read)(void *arg, uint64_t at, void *out, size_t len);
	void *arg;
	uint64_t size;
};

struct elf_segment {
	uint32_t type;
	uint64_t offset, address, size; /* size: in the file */
};

struct elf_section {
	uint32_t name, type, link;
	uint64_t offset, address, size;
};

struct elf {
	struct elf_source source;
	uint16_t machine;
	bool loader; /* a dynamic loader is asked for */
	struct elf_segment segments[ELF_SEGMENTS_MAX];
	struct elf_section *sections;
	size_t segment_count, section_count;
	struct elf_loaded {
		uint8_t *data;
		size_t len;
	} names; /* of sections */
};

enum elf_result {
	ELF_OK,
	ELF_NOT_ELF, /* a script, or nothing that can be started */
	ELF_FOREIGN, /* not of 64 bits, not little-endian, or not for a machine that is known here */
	ELF_DAMAGED,
	ELF_NO_MEMORY,
};

/* Reads the heads. Whatever comes back, elf_free afterwards; the source must stay until then. */
must_check enum elf_result elf_open(const struct elf_source *source, struct elf *elf);
void elf_free(struct elf *elf);

/* A section by its name. NULL when there is none. */
must_check const struct elf_section *elf_find(const struct elf *elf, const char *name);
/* Its octets: to be given back by elf_unload. False when they are not in the file, too many, or without memory. */
must_check bool elf_load(const struct elf *elf, const struct elf_section *section, struct elf_loaded *out);
void elf_unload(struct elf_loaded *loaded);
must_check struct bytes elf_octets(const struct elf_loaded *loaded);
/* The same for `len` octets at a place of the file. */
must_check bool elf_load_at(const struct elf *elf, uint64_t offset, uint64_t len, struct elf_loaded *out);

/* From an address of the running program (before it is moved as a whole) to a place in the file. */
must_check bool elf_place(const struct elf *elf, uint64_t address, uint64_t *offset);
/*
 * The addresses of functions in the symbol tables; what is there already is left alone, what is not found stays 0.
 * Returns whether there was a table at all that has functions in it.
 */
bool elf_functions(const struct elf *elf, const char *const *names, size_t count, uint64_t *addresses);

/* Little-endian readers, as those of base/bytes. */
must_check bool elf_u16(struct bytes *in, uint16_t *out);
must_check bool elf_u32(struct bytes *in, uint32_t *out);
must_check bool elf_u64(struct bytes *in, uint64_t *out);
/* What stands from `at` on; empty when that is past the end. */
must_check struct bytes elf_from(struct bytes in, uint64_t at);

#endif
