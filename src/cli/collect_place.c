#include "cli/collect_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_FILE ((size_t)64 * 1024)

bool collect_place(char out[FILE_PATH_MAX], struct error *err)
{
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	int len = data && data[0] == '/'   ? snprintf(out, FILE_PATH_MAX, "%s/overt-collect", data)
	          : home && home[0] == '/' ? snprintf(out, FILE_PATH_MAX, "%s/.local/share/overt-collect", home)
	                                   : -1;
	if (len < 0)
		return error_set(err, "neither XDG_DATA_HOME nor HOME is set: say where with --dir DIR");
	return len < FILE_PATH_MAX || error_set(err, "--dir: the path is too long");
}

static bool find(const char **given, char path[FILE_PATH_MAX], const char *folder, const char *name, const char *end,
	struct error *err)
{
	char file[128];
	if (*given)
		return true;
	if (!name)
		return error_set(err, "which certificate? Say --as NAME, or --certificate, --key and --ca");
	if (snprintf(file, sizeof(file), "%s%s", name, end) >= (int)sizeof(file))
		return error_set(err, "%s: the name is too long", name);
	*given = path;
	return file_join(path, folder, file, err);
}

bool collect_find_files(struct collect_files *files, struct collect_paths *paths, const char *folder, const char *name,
	struct error *err)
{
	return find(&files->certificate, paths->certificate, folder, name, ".pem", err) &&
	       find(&files->key, paths->key, folder, name, ".key", err) &&
	       find(&files->ca, paths->ca, folder, "ca", ".pem", err);
}

bool collect_find_beside(const char *certificate, const char **key, char key_room[FILE_PATH_MAX], const char **ca,
	char ca_room[FILE_PATH_MAX], struct error *err)
{
	size_t len = strlen(certificate);
	bool pem = len > 4 && strcmp(certificate + len - 4, ".pem") == 0;
	if (!*key && (!pem || len >= FILE_PATH_MAX))
		return error_set(err, "--certificate %s: say with --certificate-key where its key is", certificate);
	if (!*key) {
		snprintf(key_room, FILE_PATH_MAX, "%.*s.key", (int)(len - 4), certificate);
		*key = key_room;
	}
	if (*ca)
		return true;
	const char *slash = strrchr(certificate, '/');
	int folder = slash ? (int)(slash - certificate) + 1 : 0;
	*ca = ca_room;
	return snprintf(ca_room, FILE_PATH_MAX, "%.*sca.pem", folder, certificate) < FILE_PATH_MAX ||
	       error_set(err, "--certificate: the path is too long");
}

bool collect_read_key(enum reader_kind kind, const char *path, struct secret *out, struct error *err)
{
	struct file_bytes file = {0};
	bool ok = file_read_secret(path, SMALL_FILE, &file, NULL, err) &&
	          reader_private_read(kind, bytes_of(file.data, file.len), path, out, err);
	file_bytes_free(&file);
	return ok;
}

bool collect_read_public(const char *path, uint8_t public_key[static READER_KEY], struct error *err)
{
	struct file_bytes file = {0};
	bool ok = file_read(path, SMALL_FILE, &file, NULL, err) &&
	          reader_public_read(READER_X25519, bytes_of(file.data, file.len), path, public_key, err);
	file_bytes_free(&file);
	return ok;
}

/* The key of a witness vouches that it saw a text, and not for what it says. */
static bool signs_texts(const struct note_key *key, struct error *err)
{
	return key->type == NOTE_ED25519 || error_set(err, "%s is the key of a witness: it signs no grants", key->name);
}

static bool read_lines(
	struct bytes text, const char *path, struct note_key *out, size_t cap, size_t *count, struct error *err)
{
	struct bytes line;
	struct error why;
	for (unsigned number = 1; text.len > 0; number++) {
		(void)!bytes_take(&text, bytes_find(text, '\n', 0), &line);
		(void)!bytes_skip(&text, 1);
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (*count == cap)
			return error_set(err, "%s:%u: at most %zu signers", path, number, cap);
		if (!note_key_read(line, &out[*count], &why) || !signs_texts(&out[*count], &why))
			return error_set(err, "%s:%u: %s", path, number, why.text);
		++*count;
	}
	return true;
}

bool collect_read_signers(const char *path, struct note_key *out, size_t cap, size_t *count, struct error *err)
{
	struct file_bytes file = {0};
	size_t before = *count;
	bool ok = file_read(path, SMALL_FILE, &file, NULL, err) &&
	          read_lines(bytes_of(file.data, file.len), path, out, cap, count, err);
	file_bytes_free(&file);
	return ok && (*count > before || error_set(err, "%s: no verifier key in it", path));
}

bool collect_write_new(const char *path, struct bytes content, mode_t mode, struct error *err)
{
	if (file_exists(path))
		return error_set(err, "%s stands there already: nothing was changed", path);
	return file_replace(path, content, mode, err);
}
