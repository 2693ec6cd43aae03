/*
 * keys/release.h — a release: what an endpoint hands to a reader. The key of one direction and one epoch of application
 * records with all that a reader needs to use it (grade "record"), or one line of a key log (RFC 9850; grade "raw").
 * The compact binary form, which crosses rings, sockets and buses. No I/O, no allocation, no clock.
 *
 * A release holds secrets: release_wipe before it goes away, and wipe what release_write wrote.
 */
#ifndef KEYS_RELEASE_H
#define KEYS_RELEASE_H

#include "base/hostport.h"
#include "keys/keyring.h"
#include "keys/record_key.h"
#include "keys/share_readers.h"
#include "tls/crypto.h"

#define RELEASE_NAME_MAX 255 /* octets of the server's name */
#define RELEASE_TEXT_MAX 63  /* octets of host and program */
#define RELEASE_LINE_MAX 512 /* octets of a raw line without its LF; lines of real logs have 180 to 210 */
#define RELEASE_GRANT    16  /* octets that name a grant (keys/grant.h) */
#define RELEASE_CHECK    16
/* Octets that release_write needs at most. */
#define RELEASE_WRITTEN 1200

/* Values are those of the binary form. */
enum release_grade { RELEASE_GRADE_RECORD = 1, RELEASE_GRADE_RAW = 2 };
enum release_mode { RELEASE_LIVE = 1, RELEASE_AFTER_ROTATION = 2 };
enum release_consent { RELEASE_BOTH = 1, RELEASE_UNILATERAL = 2 };

/* A value. Zeroed when new. Texts are NUL-terminated, empty when not known, and a stranger's: clean them to show them. */
struct release {
	uint8_t grade;                /* enum release_grade */
	uint8_t mode;                 /* enum release_mode */
	uint8_t consent;              /* enum release_consent */
	uint8_t grant[RELEASE_GRANT]; /* under which it leaves; zeros: not decided yet (between agent and shipper) */
	/*
	 * Grade record: all of it; stage is APPLICATION, version TLS 1.2 or 1.3. Grade raw: client_random (zeros when the
	 * line stands under something else) and nothing more.
	 */
	struct record_key key;
	size_t line_len; /* grade raw, else 0 */
	uint8_t line[RELEASE_LINE_MAX];
	struct hostport client, server; /* none when not known */
	uint64_t made_ns;               /* wall clock of the host that made it */
	uint32_t pid;
	char name[RELEASE_NAME_MAX + 1]; /* SNI, or what else the endpoint knows its peer by; empty: not known */
	char host[RELEASE_TEXT_MAX + 1], program[RELEASE_TEXT_MAX + 1];
	/*
	 * Not of the binary form: on whom both sides of the connection have agreed, where `consent` says so: places in this
	 * list, which must stay. NULL: nobody.
	 */
	const struct share_readers *readers;
	uint64_t agreed;
	bool resumed; /* that is bound by Finished alone */
};

enum release_result {
	RELEASE_OK,
	RELEASE_SHORT,     /* it ends within a field */
	RELEASE_TRAILING,  /* something stands behind it */
	RELEASE_VERSION,   /* a form that this program does not know */
	RELEASE_BAD_GRADE, /* grade, mode or consent has no such value */
	RELEASE_BAD_PLACE, /* stage, TLS version or suite that cannot be: 0-RTT and handshake keys are never released */
	RELEASE_BAD_KEY,   /* lengths of key, IV and MAC key are not those of the suite */
	RELEASE_BAD_LINE,  /* no line of a key log */
	RELEASE_BAD_TEXT,  /* a text with a NUL, or longer than it may be */
	RELEASE_RESULTS,
};

/* "it ends within a field". Never NULL. */
must_check const char *release_result_text(enum release_result result);

/* Whether it may be released at all: the values, and the form that the suite wants (tls/shape.h). */
must_check enum release_result release_check(const struct release *release);
/* Whether both sides of the connection have agreed that the reader with this key may have it, in this mode. */
must_check bool release_agreed(const struct release *release, const uint8_t key_id[static SHARE_KEY_ID]);
/* Sets a text, cut at its end (`cap` octets with the NUL) and at a NUL: release_text(r.host, sizeof(r.host), host). */
void release_text(char *to, size_t cap, struct bytes text);

/* False when release_check says no, or the writer is full. */
must_check bool release_write(const struct release *release, struct writer *to);
/* One release and nothing else. On anything but RELEASE_OK `*out` is wiped. */
must_check enum release_result release_read(struct bytes in, struct release *out);

/*
 * 16 octets that depend on the key (or line) and its place alone: the first of BLAKE2b-128 keyed "overt release check 1".
 * The same key released twice has the same check, whoever sealed it; a contradictory one has another. It tells nothing
 * of the key, which is as random as a key is. False when the release cannot be written.
 */
must_check bool release_check_octets(const struct release *release, uint8_t check[static RELEASE_CHECK]);

/* Into the keyring: record keys as such, raw lines as key log text, and between which ends they are. False when the ring refused it. */
must_check bool release_to_keyring(const struct release *release, struct keyring *ring);

/*
 * The record key of application epoch `epoch` from a TLS 1.3 application traffic secret of that epoch (RFC 8446, 7.3).
 * Sets `release->key` but for client_random, and grade. False when the suite is none of TLS 1.3 or the secret's length is
 * not its hash's.
 */
must_check bool release_from_secret13(struct release *release, struct crypto *crypto, uint16_t suite, bool from_client,
	uint32_t epoch, struct bytes secret);
/*
 * The record keys of both directions from a TLS 1.2 master secret. client_random of `client->key` is set before and copied
 * to `server`. False when the suite is not one whose records are known, or the secret has not 48 octets.
 */
must_check bool release_from_master12(struct release *client, struct release *server, struct crypto *crypto,
	uint16_t suite, struct bytes server_random, struct bytes master);

void release_wipe(struct release *release);

#endif
