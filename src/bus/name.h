/*
 * bus/name.h — names on the fleet's bus (NATS JetStream): what is published where, and who may have it. No I/O.
 *
 *     subject   overt.keys.SITE.READER.NAME
 *     stream    OVERT_READER, which holds overt.keys.*.READER.*
 *     inboxes   _INBOX.collector.SITE, _INBOX.reader.READER: what answers come to
 *     requests  BUS_API instead of $JS.API: JetStream of another account than the reader's own (bus/config.h)
 *
 * SITE is the collector's and checked, READER the first 16 octets of the reader's key id in hex, NAME the first 8 octets of
 * SHA-256 of the server's name in lower case, in hex. A name comes from strangers: hashed, it can hold neither wildcard
 * nor dot, and has always the same length. A stream for each reader means that one permission names all that is sealed to
 * one key and nothing else.
 */
#ifndef BUS_NAME_H
#define BUS_NAME_H

#include "base/attr.h"
#include "keys/seal.h"

#define BUS_API          "overt.js"
#define BUS_SITE_MAX     32
#define BUS_CONSUMER_MAX 32
#define BUS_READER       33 /* with the NUL, as all of these */
#define BUS_STREAM       40
#define BUS_SUBJECT      112
#define BUS_ID           68
#define BUS_INBOX        64
#define BUS_LOGIN_MAX    63
#define BUS_IN_HAND      512 /* delivered to one consumer and not acknowledged, at most */

/* Letters, digits, hyphens and underscores: one token of a subject. At most BUS_SITE_MAX octets. */
must_check bool bus_site_valid(const char *site);
/* The same of a consumer's name. */
must_check bool bus_consumer_valid(const char *name);
/* The common name of a certificate that a user of the bus shows; as overt collect client makes them. */
must_check bool bus_login_valid(const char *name);

void bus_reader(char out[static BUS_READER], const uint8_t key_id[static SEAL_KEY_ID]);
void bus_stream(char out[static BUS_STREAM], const uint8_t key_id[static SEAL_KEY_ID]);
/* All that is sealed to one reader, with wildcards. */
void bus_subjects(char out[static BUS_SUBJECT], const uint8_t key_id[static SEAL_KEY_ID]);
void bus_site_inbox(char out[static BUS_INBOX], const char *site);
void bus_reader_inbox(char out[static BUS_INBOX], const uint8_t key_id[static SEAL_KEY_ID]);
/* Of one sealed release. False when libcrypto fails or the site is none. */
must_check bool bus_subject(char out[static BUS_SUBJECT], const char *site, const struct seal_head *head);
/*
 * By which the bus knows a release that it has already, whoever sealed and whoever publishes it: its check and its grant;
 * the stream is the reader's.
 */
void bus_id(char out[static BUS_ID], const struct seal_head *head);

#endif
