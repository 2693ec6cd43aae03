#include "pact/roots.h"

#include "pki/file.h"

#define LIST_MAX ((size_t)1 << 20)

const struct roots_places roots_debian = {
	.list = "/etc/ca-certificates.conf", .directory = "/usr/share/ca-certificates", .own = "mozilla/"};

/* Takes a line off the front, without its end. False when there is none left. */
static bool next_line(struct bytes *in, struct bytes *line)
{
	if (in->len == 0 || !bytes_take(in, bytes_find(*in, '\n', 0), line))
		return false;
	(void)!bytes_skip(in, 1);
	while (line->len > 0 && strchr(" \t\r", line->data[line->len - 1]))
		line->len--;
	return true;
}

/* Whether the entry leaves its folder. */
static bool climbs(const char *path)
{
	return strstr(path, "..") != NULL || path[0] == '/';
}

static bool add_one(struct trust *trust, const struct roots_places *places, struct bytes entry, struct error *err)
{
	char name[FILE_PATH_MAX];
	char path[FILE_PATH_MAX];
	if (entry.len >= sizeof(name))
		return error_set(err, "%s: a line is too long", places->list);
	memcpy(name, entry.data, entry.len);
	name[entry.len] = '\0';
	/* An entry without its file: the list is older than the package, and update-ca-certificates passes over it too. */
	return climbs(name) || (file_join(path, places->directory, name, err) &&
				       (!file_exists(path) || trust_add_file(trust, path, err)));
}

bool roots_add(struct trust *trust, const struct roots_places *places, struct error *err)
{
	struct file_bytes list;
	struct error why;
	if (!file_read(places->list, LIST_MAX, &list, NULL, &why))
		return error_set(err,
			"this system's own web roots cannot be told from those added to them (%s): name a file with "
			"the roots that count",
			why.text);
	struct bytes rest = bytes_of(list.data, list.len);
	struct bytes line;
	bool ok = true;
	while (ok && next_line(&rest, &line)) {
		if (bytes_starts(line, bytes_str(places->own)))
			ok = add_one(trust, places, line, err);
	}
	file_bytes_free(&list);
	return ok && (trust_count(trust).anchors > 0 ||
			     error_set(err, "no web root of the distribution is in use: install ca-certificates, or "
					    "name a file with the roots that count"));
}
