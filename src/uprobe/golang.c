#include "uprobe/golang.h"

#define MAGIC_118    0xfffffff0U
#define MAGIC_120    0xfffffff1U
#define MAGIC_OLDER  0xfffffffaU /* of Go 1.16; 0xfffffffb of Go 1.2 */
#define MAGIC_OLD    0xfffffffbU
#define INFO_SECTION ".go.buildinfo"
#define INFO_INLINE  2 /* flag: the version stands right here, as Go 1.18 and later write it */
#define INFO_TEXT    32
#define RELA_OCTETS  24
#define POINTER      8
#define TEXT_START   24 /* octets into the table */

static bool is_table(struct bytes in, uint32_t magic)
{
	static const uint8_t zeroes[2];
	uint32_t found;
	uint8_t quantum, pointer;
	return elf_u32(&in, &found) && found == magic && bytes_starts(in, bytes_of(zeroes, 2)) && bytes_skip(&in, 2) &&
	       bytes_u8(&in, &quantum) && (quantum == 1 || quantum == 4) && bytes_u8(&in, &pointer) &&
	       pointer == POINTER;
}

static bool is_new(struct bytes in)
{
	return is_table(in, MAGIC_118) || is_table(in, MAGIC_120);
}

/* Loads what holds the table; `*at` is where it begins there. The system's linker merges it into other data. */
static const struct elf_section *load_table(const struct elf *elf, struct elf_loaded *out, uint64_t *at)
{
	static const char *const own[] = {".gopclntab", ".data.rel.ro.gopclntab"};
	*out = (struct elf_loaded){0};
	*at = 0;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		const struct elf_section *section = elf_find(elf, own[i]);
		if (section)
			return elf_load(elf, section, out) ? section : NULL;
	}
	const struct elf_section *merged = elf_find(elf, ".data.rel.ro");
	if (!merged || !elf_find(elf, INFO_SECTION) || !elf_load(elf, merged, out))
		return NULL;
	for (; *at < out->len; *at += POINTER) {
		if (is_new(elf_from(elf_octets(out), *at)))
			return merged;
	}
	elf_unload(out);
	return NULL;
}

static void read_version(const struct elf *elf, char *version)
{
	static const char magic[] = "\xff Go buildinf:";
	const struct elf_section *section = elf_find(elf, INFO_SECTION);
	struct elf_loaded loaded;
	version[0] = '\0';
	if (!section || !elf_load(elf, section, &loaded))
		return;
	struct bytes in = elf_octets(&loaded), text, rest = in;
	uint8_t flags = 0, len = 0;
	/* Behind the magic: the size of a pointer, then the flags. */
	if (bytes_starts(in, bytes_str(magic)) && bytes_skip(&in, sizeof(magic)) && bytes_u8(&in, &flags) &&
		(flags & INFO_INLINE) != 0 && bytes_skip(&rest, INFO_TEXT) && bytes_u8(&rest, &len) &&
		len <= GOLANG_VERSION_MAX && bytes_take(&rest, len, &text) && len > 0) {
		memcpy(version, text.data, len);
		version[len] = '\0';
	}
	elf_unload(&loaded);
}

enum golang_result golang_look(const struct elf *elf, char version[GOLANG_VERSION_MAX + 1])
{
	struct elf_loaded loaded;
	uint64_t at;
	read_version(elf, version);
	if (!load_table(elf, &loaded, &at))
		return version[0] || elf_find(elf, INFO_SECTION) ? GOLANG_LOST : GOLANG_NOT;
	struct bytes table = elf_from(elf_octets(&loaded), at);
	enum golang_result result = GOLANG_LOST;
	if (is_new(table))
		result = GOLANG_OK;
	else if (is_table(table, MAGIC_OLD) || is_table(table, MAGIC_OLDER))
		result = GOLANG_OLD;
	elf_unload(&loaded);
	return result;
}

/*
 * Where the code begins, which the addresses in the table count from. In a program that may be moved the loader writes
 * it there; what it will write stands among the relocations.
 */
static uint64_t find_text(const struct elf *elf, uint64_t said, uint64_t place)
{
	const struct elf_section *text = elf_find(elf, ".text"), *moves = elf_find(elf, ".rela.dyn");
	struct elf_loaded loaded;
	uint64_t where, info, addend, found = said;
	if (found == 0 && moves && elf_load(elf, moves, &loaded)) {
		struct bytes in = elf_octets(&loaded), one;
		while (found == 0 && bytes_take(&in, RELA_OCTETS, &one)) {
			if (elf_u64(&one, &where) && where == place && elf_u64(&one, &info) && elf_u64(&one, &addend))
				found = addend;
		}
		elf_unload(&loaded);
	}
	return found == 0 && text ? text->address : found;
}

struct table {
	uint64_t functions, text;
	struct bytes names, entries; /* entries: pairs of offsets, of code and of what is known of it */
};

static bool read_table(const struct elf *elf, struct bytes whole, uint64_t address, struct table *table)
{
	struct bytes in = whole;
	uint64_t files, names, skipped, lines;
	if (!bytes_skip(&in, POINTER) || !elf_u64(&in, &table->functions) || !elf_u64(&in, &files) ||
		!elf_u64(&in, &table->text) || !elf_u64(&in, &names) || !elf_u64(&in, &skipped) ||
		!elf_u64(&in, &skipped) || !elf_u64(&in, &skipped) || !elf_u64(&in, &lines))
		return false;
	table->text = find_text(elf, table->text, address + TEXT_START);
	table->names = elf_from(whole, names);
	table->entries = elf_from(whole, lines);
	return table->names.len > 0 && table->entries.len > 0;
}

static void match(const struct table *table, uint32_t code, uint32_t about, const char *const *names, size_t count,
	uint64_t *addresses)
{
	uint32_t name;
	struct bytes in = elf_from(table->entries, about);
	if (!bytes_skip(&in, sizeof(name)) || !elf_u32(&in, &name))
		return;
	struct bytes found = elf_from(table->names, name);
	for (size_t i = 0; i < count; i++) {
		struct bytes wanted = bytes_str(names[i]);
		if (addresses[i] == 0 && found.len > wanted.len && bytes_starts(found, wanted) &&
			found.data[wanted.len] == '\0')
			addresses[i] = table->text + code;
	}
}

bool golang_functions(const struct elf *elf, const char *const *names, size_t count, uint64_t *addresses)
{
	struct elf_loaded loaded;
	struct table table;
	uint64_t at;
	const struct elf_section *section = load_table(elf, &loaded, &at);
	if (!section)
		return false;
	bool ok = is_new(elf_from(elf_octets(&loaded), at)) &&
	          read_table(elf, elf_from(elf_octets(&loaded), at), section->address + at, &table);
	struct bytes in = ok ? table.entries : BYTES_NONE;
	uint32_t code, about;
	for (uint64_t i = 0; ok && i < table.functions && elf_u32(&in, &code) && elf_u32(&in, &about); i++)
		match(&table, code, about, names, count, addresses);
	elf_unload(&loaded);
	return ok;
}
