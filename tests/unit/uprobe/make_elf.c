#include "make_elf.h"

#include <string.h>

#define HEAD_OCTETS    64
#define SEGMENT_OCTETS 56

void made_u16(struct writer *to, uint16_t value)
{
	writer_u8(to, (uint8_t)value);
	writer_u8(to, (uint8_t)(value >> 8));
}

void made_u32(struct writer *to, uint32_t value)
{
	made_u16(to, (uint16_t)value);
	made_u16(to, (uint16_t)(value >> 16));
}

void made_u64(struct writer *to, uint64_t value)
{
	made_u32(to, (uint32_t)value);
	made_u32(to, (uint32_t)(value >> 32));
}

void made_begin(struct made *made, uint16_t machine, bool loader)
{
	memset(made, 0, sizeof(*made));
	made->machine = machine;
	made->loader = loader;
	made->len = HEAD_OCTETS + 2 * SEGMENT_OCTETS;
}

uint32_t made_section(struct made *made, const char *name, uint32_t type, uint32_t link, struct bytes content)
{
	made->len = (made->len + 15) & ~(size_t)15;
	made->sections[made->count] = (struct made_section){.name = name,
		.type = type,
		.link = link,
		.offset = made->len,
		.address = MADE_BASE + made->len,
		.size = content.len};
	memcpy(made->octets + made->len, content.data, content.len);
	made->len += content.len;
	return (uint32_t)++made->count;
}

void made_symbols(struct made *made, const char *const *names, const uint64_t *addresses, size_t count)
{
	uint8_t texts[2048], symbols[2048];
	struct writer strings = writer_over(texts, sizeof(texts)), table = writer_over(symbols, sizeof(symbols));
	writer_u8(&strings, 0);
	for (size_t i = 0; i < count; i++) {
		made_u32(&table, (uint32_t)strings.len);
		made_u32(&table, 0x12); /* a function, global; the rest 0 */
		made_u64(&table, addresses[i]);
		made_u64(&table, 16);
		writer_bytes(&strings, bytes_of(names[i], strlen(names[i]) + 1));
	}
	uint32_t link = made_section(made, ".strtab", 3, 0, bytes_of(texts, strings.len));
	(void)made_section(made, ".symtab", 2, link, bytes_of(symbols, table.len));
}

void made_gopclntab(
	struct made *made, const char *name, uint32_t magic, uint64_t text, const char *const *names, size_t count)
{
	uint8_t room[4096];
	struct writer to = writer_over(room, sizeof(room));
	size_t head = 72, texts = 0;
	for (size_t i = 0; i < count; i++)
		texts += strlen(names[i]) + 1;
	size_t table = head + texts;
	made_u32(&to, magic);
	made_u16(&to, 0);
	writer_u8(&to, 1);
	writer_u8(&to, 8);
	made_u64(&to, count);
	made_u64(&to, 0);
	made_u64(&to, text);
	made_u64(&to, head);
	for (int i = 0; i < 3; i++)
		made_u64(&to, table);
	made_u64(&to, table);
	for (size_t i = 0; i < count; i++)
		writer_bytes(&to, bytes_of(names[i], strlen(names[i]) + 1));
	size_t functions = 8 * count + 4;
	for (size_t i = 0; i < count; i++) {
		made_u32(&to, (uint32_t)(256 * i));
		made_u32(&to, (uint32_t)(functions + 8 * i));
	}
	made_u32(&to, (uint32_t)(256 * count));
	for (size_t i = 0, at = 0; i < count; i++) {
		made_u32(&to, (uint32_t)(256 * i));
		made_u32(&to, (uint32_t)at);
		at += strlen(names[i]) + 1;
	}
	(void)made_section(made, name, 1, 0, bytes_of(room, to.len));
}

void made_buildinfo(struct made *made, const char *version)
{
	uint8_t room[128] = {0};
	struct writer to = writer_over(room, sizeof(room));
	writer_bytes(&to, bytes_str("\xff Go buildinf:"));
	writer_u8(&to, 8);
	writer_u8(&to, 2);
	to.len = 32;
	writer_vec8(&to, bytes_str(version));
	(void)made_section(made, ".go.buildinfo", 1, 0, bytes_of(room, to.len));
}

static bool read_octets(void *arg, uint64_t at, void *out, size_t len)
{
	const struct made *made = arg;
	memcpy(out, made->octets + at, len);
	return true;
}

static void write_segment(struct writer *to, uint32_t type, uint64_t size)
{
	made_u32(to, type);
	made_u32(to, 5);
	made_u64(to, 0);
	made_u64(to, MADE_BASE);
	made_u64(to, MADE_BASE);
	made_u64(to, size);
	made_u64(to, size);
	made_u64(to, 0x1000);
}

static void write_section(struct writer *to, const struct made_section *section, uint32_t name)
{
	made_u32(to, name);
	made_u32(to, section->type);
	made_u64(to, 2);
	made_u64(to, section->address);
	made_u64(to, section->offset);
	made_u64(to, section->size);
	made_u32(to, section->link);
	made_u32(to, 0);
	made_u64(to, 1);
	made_u64(to, 0);
}

void made_end(struct made *made, struct elf_source *source)
{
	uint8_t texts[1024];
	uint32_t names[MADE_SECTIONS] = {0};
	struct writer strings = writer_over(texts, sizeof(texts));
	writer_u8(&strings, 0);
	for (size_t i = 0; i < made->count; i++) {
		names[i] = (uint32_t)strings.len;
		writer_bytes(&strings, bytes_of(made->sections[i].name, strlen(made->sections[i].name) + 1));
	}
	names[made->count] = 0;
	uint32_t last = made_section(made, "", 3, 0, bytes_of(texts, strings.len));
	size_t sections = (made->len + 15) & ~(size_t)15;
	struct writer to = writer_over(made->octets + sections, MADE_OCTETS - sections);
	write_section(&to, &(struct made_section){0}, 0);
	for (size_t i = 0; i < made->count; i++)
		write_section(&to, &made->sections[i], names[i]);
	made->len = sections + to.len;
	struct writer head = writer_over(made->octets, HEAD_OCTETS + 2 * SEGMENT_OCTETS);
	writer_bytes(&head, bytes_of("\x7f"
				     "ELF\x02\x01\x01\0\0\0\0\0\0\0\0",
				    16));
	made_u16(&head, 2);
	made_u16(&head, made->machine);
	made_u32(&head, 1);
	made_u64(&head, MADE_BASE);
	made_u64(&head, HEAD_OCTETS);
	made_u64(&head, sections);
	made_u32(&head, 0);
	made_u16(&head, HEAD_OCTETS);
	made_u16(&head, SEGMENT_OCTETS);
	made_u16(&head, 2);
	made_u16(&head, 64);
	made_u16(&head, (uint16_t)(made->count + 1));
	made_u16(&head, (uint16_t)last);
	write_segment(&head, 1, made->len);
	write_segment(&head, made->loader ? 3 : 4, 16);
	*source = (struct elf_source){.read = read_octets, .arg = made, .size = made->len};
}
