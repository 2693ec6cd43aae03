/* cli/collect_reader.h — what a reader of a collector or of a bus says on the command line, for overt watch and overt collect fetch. */
#ifndef CLI_COLLECT_READER_H
#define CLI_COLLECT_READER_H

#include "bus/read.h"
#include "collect/fetch.h"
#include "pki/file.h"

struct collect_reader {
	const char *collector;   /* HOST:PORT; NULL: no collector */
	const char *bus;         /* servers of the bus; NULL: no bus */
	const char *consumer;    /* of the bus; NULL: CONSUMER_DEFAULT */
	const char *audit;       /* the reader's own log; needed with a bus */
	const char *reader_key;  /* X25519, PEM */
	const char *certificate; /* PEM */
	const char *key;         /* NULL: as the certificate, with .key for .pem */
	const char *ca;          /* NULL: ca.pem beside the certificate */
	char key_room[FILE_PATH_MAX], ca_room[FILE_PATH_MAX];
};

#define CONSUMER_DEFAULT "watch"

/* Whether all that is needed was said; fills in the rest. Not called when neither collector nor bus is named. */
must_check bool collect_reader_complete(struct collect_reader *reader, struct error *err);

/* Keys on their way, from either. Zeroed: none. */
struct collect_source {
	struct fetch *fetch;
	struct bus_read *read;
};

/* As fetch_begin and bus_read_begin, with the key from its file. `enough`: of a collector only. */
must_check bool collect_source_begin(struct collect_source *source, const struct collect_reader *reader, bool follow,
	const uint8_t *enough, void (*took)(const struct release *release, const char *sender, void *ctx), void *ctx,
	struct error *err);
must_check bool collect_source_over(const struct collect_source *source);
/* Ends; what it counted. */
struct fetch_counts collect_source_end(struct collect_source *source);

#endif
