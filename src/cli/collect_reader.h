/* cli/collect_reader.h — what a reader of a collector says on the command line, for overt watch and overt collect fetch. */
#ifndef CLI_COLLECT_READER_H
#define CLI_COLLECT_READER_H

#include "collect/fetch.h"
#include "pki/file.h"

struct collect_reader {
	const char *collector;   /* HOST:PORT; NULL: no collector */
	const char *reader_key;  /* X25519, PEM */
	const char *certificate; /* PEM */
	const char *key;         /* NULL: as the certificate, with .key for .pem */
	const char *ca;          /* NULL: ca.pem beside the certificate */
	char key_room[FILE_PATH_MAX], ca_room[FILE_PATH_MAX];
};

/* Whether all that is needed was said; fills in the rest. */
must_check bool collect_reader_complete(struct collect_reader *reader, struct error *err);
/* As fetch_begin, with the key from its file. */
must_check struct fetch *collect_reader_begin(const struct collect_reader *reader, bool follow, const uint8_t *enough,
	void (*took)(const struct release *release, const char *sender, void *ctx), void *ctx, struct error *err);

#endif
