#include "uprobe/elf.h"

#include <stdlib.h>

#define HEAD_OCTETS    64
#define SEGMENT_OCTETS 56
#define SECTION_OCTETS 64
#define SYMBOL_OCTETS  24

#define PT_LOAD    1
#define PT_INTERP  3
#define SHT_SYMTAB 2
#define SHT_NOBITS 8
#define SHT_DYNSYM 11
#define STT_FUNC   2

static bool little(struct bytes *in, size_t octets, uint64_t *out)
{
	struct bytes taken;
	uint64_t value = 0;
	if (!bytes_take(in, octets, &taken))
		return false;
	for (size_t i = octets; i > 0; i--)
		value = value << 8 | taken.data[i - 1];
	*out = value;
	return true;
}

bool elf_u16(struct bytes *in, uint16_t *out)
{
	uint64_t value;
	bool ok = little(in, sizeof(*out), &value);
	if (ok)
		*out = (uint16_t)value;
	return ok;
}

bool elf_u32(struct bytes *in, uint32_t *out)
{
	uint64_t value;
	bool ok = little(in, sizeof(*out), &value);
	if (ok)
		*out = (uint32_t)value;
	return ok;
}

bool elf_u64(struct bytes *in, uint64_t *out)
{
	return little(in, sizeof(*out), out);
}

struct bytes elf_from(struct bytes in, uint64_t at)
{
	return at <= in.len && bytes_skip(&in, (size_t)at) ? in : BYTES_NONE;
}

/* Loading. */

bool elf_load_at(const struct elf *elf, uint64_t offset, uint64_t len, struct elf_loaded *out)
{
	*out = (struct elf_loaded){0};
	if (len > ELF_LOAD_MAX || offset > elf->source.size || len > elf->source.size - offset)
		return false;
	out->data = malloc(len > 0 ? (size_t)len : 1);
	out->len = (size_t)len;
	if (out->data && elf->source.read(elf->source.arg, offset, out->data, out->len))
		return true;
	elf_unload(out);
	return false;
}

bool elf_load(const struct elf *elf, const struct elf_section *section, struct elf_loaded *out)
{
	*out = (struct elf_loaded){0};
	return section->type != SHT_NOBITS && elf_load_at(elf, section->offset, section->size, out);
}

void elf_unload(struct elf_loaded *loaded)
{
	free(loaded->data);
	*loaded = (struct elf_loaded){0};
}

struct bytes elf_octets(const struct elf_loaded *loaded)
{
	return bytes_of(loaded->data, loaded->len);
}

/* Heads. */

struct head {
	uint64_t segments, sections;
	uint16_t segment_octets, segment_count, section_octets, section_count, names;
};

static enum elf_result read_head(struct elf *elf, struct head *head)
{
	uint8_t room[HEAD_OCTETS] = {0};
	struct bytes in = bytes_of(room, sizeof(room));
	static const uint8_t magic[] = {0x7f, 'E', 'L', 'F'};
	if (elf->source.size < sizeof(room) || !elf->source.read(elf->source.arg, 0, room, sizeof(room)) ||
		!bytes_starts(in, bytes_of(magic, sizeof(magic))))
		return ELF_NOT_ELF;
	/* Class and order of octets; then type, machine, version and entry. */
	bool ok = bytes_skip(&in, 18) && elf_u16(&in, &elf->machine) && bytes_skip(&in, 12) &&
	          elf_u64(&in, &head->segments) && elf_u64(&in, &head->sections) && bytes_skip(&in, 6) &&
	          elf_u16(&in, &head->segment_octets) && elf_u16(&in, &head->segment_count) &&
	          elf_u16(&in, &head->section_octets) && elf_u16(&in, &head->section_count) &&
	          elf_u16(&in, &head->names);
	if (room[4] != 2 || room[5] != 1 || (elf->machine != ELF_X86_64 && elf->machine != ELF_AARCH64))
		return ELF_FOREIGN;
	return ok ? ELF_OK : ELF_DAMAGED;
}

static enum elf_result read_segments(struct elf *elf, const struct head *head)
{
	struct elf_loaded loaded;
	uint64_t skipped;
	if (head->segment_count == 0 || head->segment_count > ELF_SEGMENTS_MAX ||
		head->segment_octets != SEGMENT_OCTETS ||
		!elf_load_at(elf, head->segments, (uint64_t)head->segment_count * SEGMENT_OCTETS, &loaded))
		return ELF_DAMAGED;
	struct bytes in = elf_octets(&loaded);
	struct elf_segment *segment = elf->segments;
	while (elf->segment_count < head->segment_count && elf_u32(&in, &segment->type) && bytes_skip(&in, 4) &&
		elf_u64(&in, &segment->offset) && elf_u64(&in, &segment->address) && elf_u64(&in, &skipped) &&
		elf_u64(&in, &segment->size) && bytes_skip(&in, 16)) {
		elf->loader |= segment->type == PT_INTERP;
		elf->segment_count++;
		segment++;
	}
	elf_unload(&loaded);
	return ELF_OK;
}

/* A program needs no sections to run: without a table of them that makes sense there are none. */
static enum elf_result read_sections(struct elf *elf, const struct head *head)
{
	struct elf_loaded loaded;
	if (head->section_count == 0 || head->section_count > ELF_SECTIONS_MAX ||
		head->section_octets != SECTION_OCTETS || head->names >= head->section_count ||
		!elf_load_at(elf, head->sections, (uint64_t)head->section_count * SECTION_OCTETS, &loaded))
		return ELF_OK;
	elf->sections = calloc(head->section_count, sizeof(*elf->sections));
	struct bytes in = elf_octets(&loaded);
	struct elf_section *section = elf->sections;
	while (section && elf->section_count < head->section_count && elf_u32(&in, &section->name) &&
		elf_u32(&in, &section->type) && bytes_skip(&in, 8) && elf_u64(&in, &section->address) &&
		elf_u64(&in, &section->offset) && elf_u64(&in, &section->size) && elf_u32(&in, &section->link) &&
		bytes_skip(&in, 20)) {
		elf->section_count++;
		section++;
	}
	elf_unload(&loaded);
	if (!elf->sections)
		return ELF_NO_MEMORY;
	if (!elf_load(elf, &elf->sections[head->names], &elf->names))
		elf->section_count = 0;
	return ELF_OK;
}

enum elf_result elf_open(const struct elf_source *source, struct elf *elf)
{
	struct head head;
	*elf = (struct elf){.source = *source};
	enum elf_result result = read_head(elf, &head);
	if (result == ELF_OK)
		result = read_segments(elf, &head);
	if (result == ELF_OK)
		result = read_sections(elf, &head);
	return result;
}

void elf_free(struct elf *elf)
{
	free(elf->sections);
	elf_unload(&elf->names);
	*elf = (struct elf){0};
}

/* Whether a string of a table, ended by NUL, is this one. */
static bool is_named(struct bytes table, uint64_t at, struct bytes name)
{
	struct bytes rest = elf_from(table, at);
	return rest.len > name.len && bytes_starts(rest, name) && rest.data[name.len] == '\0';
}

const struct elf_section *elf_find(const struct elf *elf, const char *name)
{
	for (size_t i = 0; i < elf->section_count; i++) {
		if (is_named(elf_octets(&elf->names), elf->sections[i].name, bytes_str(name)))
			return &elf->sections[i];
	}
	return NULL;
}

bool elf_place(const struct elf *elf, uint64_t address, uint64_t *offset)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const struct elf_segment *segment = &elf->segments[i];
		if (segment->type == PT_LOAD && address >= segment->address &&
			address - segment->address < segment->size && segment->offset < elf->source.size) {
			*offset = segment->offset + (address - segment->address);
			return *offset < elf->source.size;
		}
	}
	return false;
}

/* Symbols. */

static bool read_symbols(
	struct bytes symbols, struct bytes strings, const char *const *names, size_t count, uint64_t *out)
{
	uint32_t name;
	uint8_t info;
	uint64_t address;
	bool any = false;
	struct bytes symbol;
	while (bytes_take(&symbols, SYMBOL_OCTETS, &symbol)) {
		if (!elf_u32(&symbol, &name) || !bytes_u8(&symbol, &info) || !bytes_skip(&symbol, 3) ||
			!elf_u64(&symbol, &address) || (info & 15) != STT_FUNC || address == 0)
			continue;
		any = true;
		for (size_t i = 0; i < count; i++) {
			if (out[i] == 0 && is_named(strings, name, bytes_str(names[i])))
				out[i] = address;
		}
	}
	return any;
}

bool elf_functions(const struct elf *elf, const char *const *names, size_t count, uint64_t *addresses)
{
	bool any = false;
	for (size_t i = 0; i < elf->section_count; i++) {
		const struct elf_section *section = &elf->sections[i];
		struct elf_loaded symbols, strings = {0};
		if ((section->type != SHT_SYMTAB && section->type != SHT_DYNSYM) ||
			section->link >= elf->section_count || !elf_load(elf, section, &symbols))
			continue;
		if (elf_load(elf, &elf->sections[section->link], &strings))
			any |= read_symbols(elf_octets(&symbols), elf_octets(&strings), names, count, addresses);
		elf_unload(&strings);
		elf_unload(&symbols);
	}
	return any;
}
