/*
 * keys/keylog.h — one line of a key log (RFC 9850, and every label that was written before it). No I/O, no allocation.
 * A parsed line holds the secret only as a view of the hex digits it was read from; nothing here prints one.
 */
#ifndef KEYS_KEYLOG_H
#define KEYS_KEYLOG_H

#include "base/bytes.h"

#define KEYLOG_MAX_LINE   4096 /* octets without the line end; anything longer is not a line of a key log */
#define KEYLOG_MAX_SECRET 2000 /* octets: ECH configurations and premaster secrets of large groups are long */
#define KEYLOG_RANDOM     32
#define KEYLOG_ENCRYPTED  8 /* octets of an encrypted premaster secret that name it */
#define KEYLOG_MAX_ID     32

/* The application traffic secret of an epoch that the log does not name: "CLIENT_TRAFFIC_SECRET_N", as OpenSSL writes. */
#define KEYLOG_EPOCH_UNNAMED UINT32_MAX

enum keylog_label {
	KEYLOG_MASTER,           /* CLIENT_RANDOM; RSA Session-ID: TLS 1.2 and below */
	KEYLOG_PREMASTER,        /* RSA; PMS_CLIENT_RANDOM: TLS 1.2 and below */
	KEYLOG_EARLY_TRAFFIC,    /* CLIENT_EARLY_TRAFFIC_SECRET; this and all that follow: TLS 1.3 */
	KEYLOG_CLIENT_HANDSHAKE, /* CLIENT_HANDSHAKE_TRAFFIC_SECRET */
	KEYLOG_SERVER_HANDSHAKE,
	KEYLOG_CLIENT_TRAFFIC, /* CLIENT_TRAFFIC_SECRET_0, _1 ... and _N */
	KEYLOG_SERVER_TRAFFIC,
	KEYLOG_EXPORTER,
	KEYLOG_EARLY_EXPORTER, /* EARLY_EXPORTER_SECRET, EARLY_EXPORTER_MASTER_SECRET */
	KEYLOG_ECH_SECRET,     /* under the random of the outer hello, as ECH_CONFIG is */
	KEYLOG_ECH_CONFIG,     /* no secret: the ECHConfig that was used */
	KEYLOG_LABELS,
};

/* "master secret", "client application traffic secret". Never NULL. */
must_check const char *keylog_label_text(enum keylog_label label);

/* What a secret is filed under. */
enum keylog_id_kind {
	KEYLOG_ID_RANDOM,    /* client_random; with ECH accepted the inner hello's, except for the ECH labels */
	KEYLOG_ID_ENCRYPTED, /* the first 8 octets of the encrypted premaster secret, after its length field */
	KEYLOG_ID_SESSION,   /* a TLS 1.2 session id */
	KEYLOG_ID_TICKET,    /* SHA-256 of a TLS 1.2 ticket; no key log has it, the session layer learns it */
	KEYLOG_ID_ENDS,      /* SHA-256 of a connection's addresses and ports; no key log has it */
};

struct keylog_id {
	uint8_t kind;                  /* enum keylog_id_kind */
	uint8_t len;                   /* 1..KEYLOG_MAX_ID */
	uint8_t octets[KEYLOG_MAX_ID]; /* zero after len */
};

/* False when `octets` has no length that this kind may have: 32, 8, 1..32; 32 for what is hashed already. */
must_check bool keylog_id_set(struct keylog_id *id, enum keylog_id_kind kind, struct bytes octets);
/* Of a ticket of any length: its hash. False when the hash cannot be computed. */
must_check bool keylog_id_of_ticket(struct keylog_id *id, struct bytes ticket);
must_check bool keylog_id_equal(const struct keylog_id *a, const struct keylog_id *b);
/* Keyed, of this process only (base/hash). */
must_check uint64_t keylog_id_hash(const struct keylog_id *id);

struct keylog_line {
	enum keylog_label label;
	uint32_t epoch; /* CLIENT_TRAFFIC and SERVER_TRAFFIC: 0.., or KEYLOG_EPOCH_UNNAMED; else 0 */
	struct keylog_id id;
	struct bytes secret_hex; /* in the caller's line: an even number of hex digits, a length the label may have */
};

enum keylog_result {
	KEYLOG_OK,
	KEYLOG_NOTHING,       /* blank, or a comment */
	KEYLOG_UNKNOWN_LABEL, /* another label, or no key log at all */
	KEYLOG_BAD_EPOCH,     /* no number below 2^32 - 1 after TRAFFIC_SECRET_ */
	KEYLOG_NO_ID,         /* the line ends after its label */
	KEYLOG_BAD_ID,        /* not hex, or an odd number of digits */
	KEYLOG_BAD_ID_LENGTH, /* not the length that the label wants */
	KEYLOG_NO_SECRET,     /* the line ends after its id */
	KEYLOG_BAD_SECRET,    /* not hex, or an odd number of digits */
	KEYLOG_BAD_SECRET_LENGTH,
	KEYLOG_TRAILING, /* something stands behind the secret */
	KEYLOG_TOO_LONG, /* over KEYLOG_MAX_LINE */
	KEYLOG_RESULTS,
};

/* "the label is unknown". Never NULL, never a part of the line. */
must_check const char *keylog_result_text(enum keylog_result result);

/*
 * Reads one line, given without its LF. A CR at its end, blanks around fields and a byte order mark are passed over. On
 * anything but KEYLOG_OK, `*out` is not to be used.
 */
must_check enum keylog_result keylog_parse(struct bytes line, struct keylog_line *out);

/* The secret itself: octets written to `out`, or 0 when `cap` is too small. The caller wipes `out`. */
must_check size_t keylog_secret(const struct keylog_line *line, uint8_t *out, size_t cap);

/* The line's octets with its LF, at most this many. */
#define KEYLOG_WRITTEN (64 + 2 * KEYLOG_MAX_ID + 2 * KEYLOG_MAX_SECRET)

/*
 * The line that says this secret, with LF, as RFC 9850 (and for ids of other kinds its forerunners) has it: for Decryption
 * Secrets Blocks. False, with nothing written that counts, when no line can say it: a ticket's secret, a premaster secret
 * under a session id, an unnamed epoch of anything but traffic, no secret or one that is too long; or the writer is full.
 */
must_check bool keylog_write(
	struct writer *to, enum keylog_label label, uint32_t epoch, const struct keylog_id *id, struct bytes secret);

#endif
