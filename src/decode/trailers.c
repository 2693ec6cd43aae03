#include "decode/trailers.h"

#include "decode/http1_head.h"

#include <openssl/crypto.h>
#include <stdlib.h>

struct trailers {
	size_t count;
	bool cut;
	struct message_header fields[TRAILERS_MAX]; /* views of `octets` */
	size_t len;
	uint8_t octets[]; /* names and values; they may be secrets */
};

struct trailers *trailers_copy(const struct message_header *fields, size_t count, bool cut)
{
	size_t kept = 0, octets = 0;
	while (kept < count && kept < TRAILERS_MAX) {
		size_t more = fields[kept].name.len + fields[kept].value.len;
		if (more > TRAILERS_OCTETS_MAX - octets)
			break;
		octets += more;
		kept++;
	}
	cut = cut || kept < count;
	struct trailers *trailers = kept > 0 || cut ? malloc(sizeof(*trailers) + octets) : NULL;
	if (!trailers)
		return NULL;
	struct writer w = writer_over(trailers->octets, octets);
	*trailers = (struct trailers){.count = kept, .cut = cut, .len = octets};
	for (size_t i = 0; i < kept; i++) {
		struct message_header *own = &trailers->fields[i];
		own->name = bytes_of(trailers->octets + w.len, fields[i].name.len);
		writer_bytes(&w, fields[i].name);
		own->value = bytes_of(trailers->octets + w.len, fields[i].value.len);
		writer_bytes(&w, fields[i].value);
	}
	return trailers;
}

static bool blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct bytes trim(struct bytes in)
{
	while (in.len > 0 && blank(in.data[0]) && bytes_skip(&in, 1))
		;
	while (in.len > 0 && blank(in.data[in.len - 1]))
		in.len--;
	return in;
}

static bool is_token(struct bytes in)
{
	uint8_t c;
	bool any = in.len > 0;
	while (bytes_u8(&in, &c)) {
		if (!http1_token_octet(c))
			return false;
	}
	return any;
}

/* A line without its end: a name, a colon, a value. */
static bool read_field(struct bytes line, struct message_header *out)
{
	struct bytes name;
	if (!bytes_take(&line, bytes_find(line, ':', 0), &name) || !bytes_skip(&line, 1) || !is_token(name))
		return false;
	*out = (struct message_header){.name = name, .value = trim(line)};
	return true;
}

struct trailers *trailers_read(struct bytes section)
{
	struct message_header fields[TRAILERS_MAX];
	size_t count = 0;
	bool cut = false;
	struct bytes line;
	while (bytes_take(&section, bytes_find(section, '\r', 0), &line) && bytes_skip(&section, 2)) {
		if (line.len == 0)
			continue;
		if (count < TRAILERS_MAX && read_field(line, &fields[count]))
			count++;
		else
			cut = true;
	}
	return trailers_copy(fields, count, cut);
}

void trailers_free(struct trailers *trailers)
{
	if (trailers)
		OPENSSL_cleanse(trailers->octets, trailers->len);
	free(trailers);
}

struct message_trailers trailers_view(const struct trailers *trailers)
{
	if (!trailers)
		return (struct message_trailers){0};
	return (struct message_trailers){.fields = trailers->fields, .count = trailers->count, .cut = trailers->cut};
}
