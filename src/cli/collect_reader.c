#include "cli/collect_reader.h"

#include "cli/collect_place.h"

#include <stdio.h>
#include <string.h>

bool collect_reader_complete(struct collect_reader *reader, struct error *err)
{
	if (!reader->reader_key || !reader->certificate)
		return error_set(err,
			"--collector needs --reader-key, which opens what is sealed, and --certificate, which "
			"says who asks");
	size_t len = strlen(reader->certificate);
	bool pem = len > 4 && strcmp(reader->certificate + len - 4, ".pem") == 0;
	if (!reader->key && (!pem || len >= FILE_PATH_MAX))
		return error_set(
			err, "--certificate %s: say with --certificate-key where its key is", reader->certificate);
	if (!reader->key) {
		snprintf(reader->key_room, FILE_PATH_MAX, "%.*s.key", (int)(len - 4), reader->certificate);
		reader->key = reader->key_room;
	}
	if (reader->ca)
		return true;
	const char *slash = strrchr(reader->certificate, '/');
	int folder = slash ? (int)(slash - reader->certificate) + 1 : 0;
	reader->ca = reader->ca_room;
	return snprintf(reader->ca_room, FILE_PATH_MAX, "%.*sca.pem", folder, reader->certificate) < FILE_PATH_MAX ||
	       error_set(err, "--certificate: the path is too long");
}

struct fetch *collect_reader_begin(const struct collect_reader *reader, bool follow, const uint8_t *enough,
	void (*took)(const struct release *release, const char *sender, void *ctx), void *ctx, struct error *err)
{
	const struct fetch_options options = {
		.files = {.certificate = reader->certificate, .key = reader->key, .ca = reader->ca},
		.address = reader->collector,
		.follow = follow,
		.enough = enough,
		.took = took,
		.ctx = ctx,
	};
	struct secret key = {0};
	if (!collect_read_key(READER_X25519, reader->reader_key, &key, err))
		return NULL;
	struct fetch *fetch = fetch_begin(&options, &key, err);
	secret_wipe(&key);
	return fetch;
}
