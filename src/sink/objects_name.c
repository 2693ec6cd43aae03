#include "sink/objects_name.h"

#include <stdio.h>

#define HOST_MAX      80 /* octets of each in a name */
#define PATH_MAX_KEPT 72
#define EXTENSION_MAX 8

static const struct {
	const char *type, *extension;
} extensions[] = {
	{"application/javascript", "js"},
	{"application/json", "json"},
	{"application/pdf", "pdf"},
	{"application/wasm", "wasm"},
	{"application/xhtml+xml", "html"},
	{"application/x-www-form-urlencoded", "txt"},
	{"application/xml", "xml"},
	{"application/zip", "zip"},
	{"audio/mpeg", "mp3"},
	{"audio/ogg", "ogg"},
	{"font/woff", "woff"},
	{"font/woff2", "woff2"},
	{"image/avif", "avif"},
	{"image/gif", "gif"},
	{"image/jpeg", "jpg"},
	{"image/png", "png"},
	{"image/svg+xml", "svg"},
	{"image/vnd.microsoft.icon", "ico"},
	{"image/webp", "webp"},
	{"image/x-icon", "ico"},
	{"text/css", "css"},
	{"text/csv", "csv"},
	{"text/event-stream", "txt"},
	{"text/html", "html"},
	{"text/javascript", "js"},
	{"text/plain", "txt"},
	{"text/xml", "xml"},
	{"video/mp4", "mp4"},
	{"video/webm", "webm"},
};

static bool ends_with(struct bytes text, const char *end)
{
	struct bytes tail = bytes_str(end);
	return text.len >= tail.len && bytes_equal_nocase(bytes_of(text.data + text.len - tail.len, tail.len), tail);
}

static struct bytes front(struct bytes text, size_t len)
{
	return bytes_of(text.data, len);
}

static const char *extension_of(struct bytes type)
{
	type = front(type, bytes_find(type, ';', 0));
	while (type.len > 0 && (type.data[type.len - 1] == ' ' || type.data[type.len - 1] == '\t'))
		type.len--;
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		if (bytes_equal_nocase(type, bytes_str(extensions[i].type)))
			return extensions[i].extension;
	}
	return ends_with(type, "+json") ? "json" : ends_with(type, "+xml") ? "xml" : "bin";
}

static bool is_alphanumeric(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* What is not to be in a name becomes "_". */
static void put(struct writer *w, struct bytes text)
{
	uint8_t c;
	while (bytes_u8(&text, &c))
		writer_u8(w, is_alphanumeric(c) || c == '.' || c == '-' ? c : '_');
}

/* At most `most` octets: the beginning and the end where it is longer. */
static void put_fitted(struct writer *w, struct bytes text, size_t most)
{
	if (text.len <= most) {
		put(w, text);
		return;
	}
	size_t first = most / 2, last = most - first - 1;
	put(w, front(text, first));
	writer_u8(w, '~');
	put(w, bytes_of(text.data + text.len - last, last));
}

/* Takes "png" off the end of "a/logo.png"; nothing where there is no such end. */
static struct bytes take_extension(struct bytes *path)
{
	size_t len = 0;
	while (len < path->len && is_alphanumeric(path->data[path->len - 1 - len]))
		len++;
	bool dot = len > 0 && len <= EXTENSION_MAX && len < path->len && path->data[path->len - 1 - len] == '.';
	/* The dot of a hidden name is none. */
	bool stem = dot && path->len > len + 1 && path->data[path->len - 2 - len] != '/';
	if (!stem)
		return BYTES_NONE;
	struct bytes extension = bytes_of(path->data + path->len - len, len);
	path->len -= len + 1;
	return extension;
}

static struct bytes trim(struct bytes path)
{
	path = front(path, bytes_find(path, '?', 0));
	path = front(path, bytes_find(path, '#', 0));
	while (path.len > 0 && path.data[0] == '/')
		(void)!bytes_skip(&path, 1);
	while (path.len > 0 && path.data[path.len - 1] == '/')
		path.len--;
	return path;
}

void objects_name(const struct objects_named *of, char out[static OBJECTS_NAME_MAX + 1])
{
	struct writer w = writer_over(out, OBJECTS_NAME_MAX);
	struct bytes path = trim(of->path), extension = take_extension(&path);
	put_fitted(&w, of->host.len > 0 ? of->host : bytes_str("unknown"), HOST_MAX);
	if (out[0] == '.' || out[0] == '-')
		out[0] = '_';
	writer_u8(&w, '_');
	put_fitted(&w, path.len > 0 ? path : bytes_str("index"), PATH_MAX_KEPT);
	if (of->request)
		writer_bytes(&w, bytes_str("-request"));
	char number[24];
	int n = snprintf(number, sizeof(number), "~%llu", (unsigned long long)of->number);
	if (of->number > 1 && n > 0)
		writer_bytes(&w, bytes_of(number, (size_t)n));
	writer_u8(&w, '.');
	writer_bytes(&w, extension.len > 0 ? extension : bytes_str(extension_of(of->type)));
	out[w.len] = '\0';
}
