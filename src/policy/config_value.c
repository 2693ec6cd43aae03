/* One value of an option: from text, and away again. */
#include "base/text.h"
#include "policy/config_parts.h"
#include "policy/names.h"

#include <openssl/crypto.h>
#include <stdlib.h>

bool config_type_is_list(enum config_type type)
{
	return type == CONFIG_PATHS || type == CONFIG_LISTEN || type == CONFIG_BLOCKS || type == CONFIG_CERTS;
}

static void secret_free(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

static void certs_clear(struct config_certs *certs)
{
	for (size_t i = 0; i < certs->count; i++) {
		free(certs->items[i].name);
		free(certs->items[i].cert);
		free(certs->items[i].key);
	}
	free(certs->items);
	*certs = (struct config_certs){0};
}

static void texts_clear(struct config_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->items[i]);
	free((void *)texts->items);
	*texts = (struct config_texts){0};
}

void config_value_clear(struct config *config, const struct config_option *option)
{
	void *field = config_field(config, option);
	switch (option->type) {
	case CONFIG_FLAG:
		*(bool *)field = false;
		return;
	case CONFIG_NUMBER:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		*(uint64_t *)field = 0;
		return;
	case CONFIG_CHOICE:
		*(unsigned *)field = 0;
		return;
	case CONFIG_TEXT:
	case CONFIG_PATH:
		free(*(char **)field);
		*(char **)field = NULL;
		return;
	case CONFIG_PATHS:
		texts_clear(field);
		return;
	case CONFIG_LISTEN: {
		struct config_listens *listens = field;
		free(listens->items);
		*listens = (struct config_listens){0};
		return;
	}
	case CONFIG_BLOCKS: {
		struct config_blocks *blocks = field;
		free(blocks->items);
		*blocks = (struct config_blocks){0};
		return;
	}
	case CONFIG_UPSTREAM: {
		struct config_upstream *upstream = field;
		secret_free(upstream->user);
		secret_free(upstream->password);
		*upstream = (struct config_upstream){0};
		return;
	}
	case CONFIG_CERTS:
		certs_clear(field);
		return;
	}
}

static bool no_memory(struct error *err)
{
	return error_set(err, "no memory");
}

/* "-" stands for standard output, and a URI for itself. */
static char *path_new(const char *text, const char *folder)
{
	bool whole = text[0] == '/' || strcmp(text, "-") == 0 || strncmp(text, "pkcs11:", 7) == 0;
	char *path;
	if (asprintf(&path, "%s%s", whole ? "" : folder, text) < 0)
		return NULL;
	return path;
}

static bool set_text(char **field, const char *text, const char *folder, bool path, struct error *err)
{
	if (text[0] == '\0')
		return error_set(err, path ? "a path is expected" : "a text is expected");
	char *copy = path ? path_new(text, folder) : strdup(text);
	if (!copy)
		return no_memory(err);
	free(*field);
	*field = copy;
	return true;
}

static bool set_flag(bool *field, const char *text, struct error *err)
{
	bool on = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0;
	bool off = strcmp(text, "false") == 0 || strcmp(text, "no") == 0 || strcmp(text, "off") == 0;
	if (!on && !off)
		return error_set(err, "\"%s\" is neither true nor false", text);
	*field = on;
	return true;
}

/* For people: the bound in the largest unit that leaves it whole. */
static void bound_text(char *out, size_t cap, uint64_t value, enum config_type type)
{
	static const struct unit {
		uint64_t factor;
		const char *name;
	} sizes[] = {{1ULL << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}},
	  times[] = {{86400000000000ULL, "d"}, {3600000000000ULL, "h"}, {60000000000ULL, "m"}, {1000000000, "s"},
		  {1000000, "ms"}, {1000, "us"}, {1, "ns"}},
	  one[] = {{1, ""}};
	const struct unit *unit = type == CONFIG_SIZE ? sizes : type == CONFIG_DURATION ? times : one;
	while (value % unit->factor != 0 || (value == 0 && unit->factor > 1))
		unit++;
	snprintf(out, cap, "%llu%s", (unsigned long long)(value / unit->factor), unit->name);
}

static bool set_number(uint64_t *field, const struct config_option *o, const char *text, struct error *err)
{
	struct bytes in = bytes_str(text);
	uint64_t value;
	if (o->type == CONFIG_NUMBER && !text_number(in, UINT64_MAX, &value))
		return error_set(err, "\"%s\" is no whole number", text);
	if (o->type == CONFIG_SIZE && !text_size(in, &value))
		return error_set(err, "\"%s\" is no size like 65536, 64KiB or 16MiB", text);
	if (o->type == CONFIG_DURATION && !text_duration(in, &value))
		return error_set(err, "\"%s\" is no time like 500ms, 10s, 15m, 2h or 30d", text);
	if (value < o->min || value > o->max) {
		char least[32], most[32];
		bound_text(least, sizeof(least), o->min, o->type);
		bound_text(most, sizeof(most), o->max, o->type);
		return error_set(err, "%s is out of bounds: %s to %s", text, least, most);
	}
	*field = value;
	return true;
}

static bool set_choice(unsigned *field, const struct config_option *o, const char *text, struct error *err)
{
	size_t count = 0;
	for (; o->choices[count]; count++) {
		if (strcmp(text, o->choices[count]) == 0) {
			*field = (unsigned)count;
			return true;
		}
	}
	char all[128] = "";
	struct writer w = writer_over(all, sizeof(all) - 1);
	for (size_t i = 0; i < count; i++) {
		writer_bytes(&w, bytes_str(i == 0 ? "" : i + 1 == count ? " or " : ", "));
		writer_bytes(&w, bytes_str(o->choices[i]));
	}
	return error_set(err, "\"%s\" is not known; it is %s", text, all);
}

static bool add_path(struct config_texts *texts, const char *text, const char *folder, struct error *err)
{
	char *path = NULL;
	if (!set_text(&path, text, folder, true, err))
		return false;
	char **items = reallocarray((void *)texts->items, texts->count + 1, sizeof(char *));
	if (!items) {
		free(path);
		return no_memory(err);
	}
	texts->items = items;
	items[texts->count++] = path;
	return true;
}

static bool add_listen(struct config_listens *listens, const char *text, struct error *err)
{
	struct listen_at at;
	if (!listen_parse(text, &at, err))
		return false;
	struct listen_at *items = reallocarray(listens->items, listens->count + 1, sizeof(*items));
	if (!items)
		return no_memory(err);
	listens->items = items;
	items[listens->count++] = at;
	return true;
}

static bool add_block(struct config_blocks *blocks, const char *text, struct error *err)
{
	struct address_block block;
	enum block_result result = address_block_parse(text, &block);
	if (result != BLOCK_OK)
		return error_set(err, "\"%s\" %s", text, block_result_text(result));
	struct address_block *items = reallocarray(blocks->items, blocks->count + 1, sizeof(*items));
	if (!items)
		return no_memory(err);
	blocks->items = items;
	items[blocks->count++] = block;
	return true;
}

/* RFC 3986, 2.1. NULL when a % is not followed by two hex digits, when a NUL comes of it, or without memory. */
static char *percent_decoded(struct bytes in)
{
	char *out = malloc(in.len + 1);
	size_t n = 0;
	uint8_t octet;
	while (out && bytes_u8(&in, &octet)) {
		struct bytes digits;
		size_t one;
		bool good = octet != '%' || (bytes_take(&in, 2, &digits) && text_unhex(&octet, 1, &one, digits));
		if (!good || octet == '\0') {
			OPENSSL_cleanse(out, n);
			free(out);
			return NULL;
		}
		out[n++] = (char)octet;
	}
	if (out)
		out[n] = '\0';
	return out;
}

static bool set_credentials(struct config_upstream *up, struct bytes user, struct error *err)
{
	size_t colon = bytes_find(user, ':', 0);
	struct bytes password = user;
	bool split = bytes_skip(&password, colon + 1);
	up->user = percent_decoded(bytes_of(user.data, colon));
	up->password = percent_decoded(split ? password : BYTES_NONE);
	if (up->user && up->password && up->user[0])
		return true;
	return error_set(err, "the part before @ must be USER:PASSWORD, with %%XX for odd characters");
}

/* The text may hold a password: messages never quote it. */
static bool set_upstream(struct config_upstream *field, const char *text, struct error *err)
{
	struct config_upstream up = {0};
	struct bytes in = bytes_str(text);
	if (bytes_starts(in, bytes_str("http://")) && bytes_skip(&in, 7))
		up.kind = UPSTREAM_HTTP;
	else if (bytes_starts(in, bytes_str("socks5://")) && bytes_skip(&in, 9))
		up.kind = UPSTREAM_SOCKS5;
	else
		return error_set(err, "expected http://HOST:PORT or socks5://HOST:PORT");
	if (in.len > 0 && in.data[in.len - 1] == '/')
		in.len--;
	size_t at = bytes_find(in, '@', 0);
	struct bytes user, place = in;
	bool named = bytes_skip(&place, at + 1) && bytes_take(&in, at, &user);
	bool good = !named || set_credentials(&up, user, err);
	if (good && !host_port_parse(named ? place : in, up.host, &up.port))
		good = error_set(err, "HOST:PORT is missing or wrong after the scheme");
	if (good) {
		secret_free(field->user);
		secret_free(field->password);
		*field = up;
		return true;
	}
	secret_free(up.user);
	secret_free(up.password);
	return false;
}

bool config_value_set(struct config *config, const struct config_option *option, const char *text, const char *folder,
	struct error *err)
{
	void *field = config_field(config, option);
	switch (option->type) {
	case CONFIG_FLAG:
		return set_flag(field, text, err);
	case CONFIG_NUMBER:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		return set_number(field, option, text, err);
	case CONFIG_TEXT:
	case CONFIG_PATH:
		return set_text(field, text, folder, option->type == CONFIG_PATH, err);
	case CONFIG_PATHS:
		return add_path(field, text, folder, err);
	case CONFIG_CHOICE:
		return set_choice(field, option, text, err);
	case CONFIG_LISTEN:
		return add_listen(field, text, err);
	case CONFIG_BLOCKS:
		return add_block(field, text, err);
	case CONFIG_UPSTREAM:
		return set_upstream(field, text, err);
	case CONFIG_CERTS:
		return error_set(err, "expected a list of {name: PATTERN, cert: FILE, key: FILE}");
	}
	return error_set(err, "unknown type");
}

bool config_cert_add(struct config *config, const struct config_option *option, const char *name, const char *cert,
	const char *key, const char *folder, struct error *err)
{
	enum pattern_kind kind;
	struct bytes bare;
	enum pattern_result result = pattern_read(bytes_str(name), &kind, &bare);
	if (result != PATTERN_OK)
		return error_set(err, "\"%s\" %s", name, pattern_result_text(result));
	struct config_certs *certs = config_field(config, option);
	struct config_cert *items = reallocarray(certs->items, certs->count + 1, sizeof(*items));
	if (!items)
		return no_memory(err);
	certs->items = items;
	struct config_cert *item = &items[certs->count++];
	*item = (struct config_cert){0};
	return set_text(&item->name, name, "", false, err) && set_text(&item->cert, cert, folder, true, err) &&
	       set_text(&item->key, key, folder, true, err);
}
