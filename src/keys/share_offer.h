/*
 * keys/share_offer.h — consent to share: what a client offers in its ClientHello, what a server discloses in its
 * EncryptedExtensions, and whether they agree. In the presentation language of TLS:
 *
 *     struct { uint8 version = 1; opaque nonce[32]; uint8 modes; opaque key_tags<0..2^16-1>; } ShareOffer;
 *     struct { uint8 version = 1; uint8 mode; Reader readers<1..2^16-1>; } ShareNotice;
 *     struct { opaque key_id[32]; opaque name<1..255>; opaque purpose<0..255>; } Reader;
 *
 * A tag is SHA-256("overt share id 1", 0x00, nonce, uint8 mode, key_id), 32 octets, one for each reader and mode: who
 * does not know the reader's key cannot tell from it who is meant, nor that it is the same as in another connection.
 * `modes` is the set of modes (bit 1 live, bit 2 after-rotation) that tags are for. No tags: nobody may read.
 *
 * No I/O, no allocation, no randomness. libc only: whoever calls has SHA-256.
 */
#ifndef KEYS_SHARE_OFFER_H
#define KEYS_SHARE_OFFER_H

#include "keys/share_item.h"
#include "keys/share_readers.h"

#define SHARE_EXTENSION 0xFFAD /* private use */
#define SHARE_NONCE     32
#define SHARE_TAG       32
#define SHARE_OFFER_MAX (1 + SHARE_NONCE + 1 + 2 + SHARE_READERS_MAX * SHARE_TAG) /* octets */
#define SHARE_NOTICE_MAX                                                                                               \
	(1 + 1 + 2 + SHARE_READERS_MAX * (SHARE_KEY_ID + 1 + SHARE_READER_NAME_MAX + 1 + SHARE_PURPOSE_MAX))

/* Why nothing of a connection goes to readers who need the consent of both sides. Numbers stay: they cross rings. */
enum share_refusal {
	SHARE_AGREED = 0,
	/* The client's. */
	SHARE_OFFERS_NONE = 1,   /* by its own rule nobody may read what goes to this name: no refusal of anybody's */
	SHARE_NO_NOTICE = 2,     /* the server discloses nobody */
	SHARE_NOTICE_FORM = 3,   /* it has no such form */
	SHARE_NOTICE_MODE = 4,   /* it names a mode that was not offered */
	SHARE_NOTICE_READER = 5, /* it names a reader who was not offered */
	SHARE_NOTICE_READER_MODE = 6, /* it names a reader in a mode that was not offered for this reader */
	/* The server's. */
	SHARE_NO_OFFER = 7,      /* the client does not know of sharing */
	SHARE_OFFER_EMPTY = 8,   /* it lets nobody read */
	SHARE_OFFER_FORM = 9,    /* it has no such form */
	SHARE_OFFER_OTHERS = 10, /* the readers whom it offers are none of this server's */
	SHARE_OFFER_MODE = 11,   /* of this server's readers it offers some, but in no mode of this server's for them */
	/* Of either. */
	SHARE_OLD_TLS = 12,         /* TLS 1.2 has no place for a notice */
	SHARE_LIBRARY_WITHOUT = 13, /* the program's TLS library cannot be made to ask */
	SHARE_REFUSALS,
};

/* "the server discloses no reader", as a part of a sentence. Never NULL. */
must_check const char *share_refusal_text(unsigned refusal);
/* Whether the cause is about one reader, whom it names. */
must_check bool share_refusal_has_reader(unsigned refusal);

/* SHA-256 of whoever calls. */
struct share_sha256 {
	bool (*compute)(const void *ctx, struct bytes data, uint8_t out[static 32]);
	const void *ctx;
};

/* The outcome. Zeroed: agreed on nobody. */
struct share_agreement {
	uint8_t refusal;  /* enum share_refusal */
	uint8_t mode;     /* enum share_mode; agreed */
	uint64_t readers; /* agreed: places in one's own list, all of that mode */
	/* With causes about one reader: whom the peer named; as it names it, cut. A stranger's text. */
	uint8_t key_id[SHARE_KEY_ID];
	char reader[SHARE_READER_MAX + 1];
};

/* False when hashing fails. */
must_check bool share_tag(const struct share_sha256 *sha256, const uint8_t nonce[static SHARE_NONCE], uint8_t mode,
	const uint8_t key_id[static SHARE_KEY_ID], uint8_t out[static SHARE_TAG]);

/* The client. */

/* The offer of these places, which may be none. At most SHARE_OFFER_MAX octets. */
must_check bool share_offer_write(const struct share_sha256 *sha256, const struct share_readers *readers,
	uint64_t offered, const uint8_t nonce[static SHARE_NONCE], struct writer *to);
/* What comes of a notice for the client who offered these places; `notice` as it came. */
struct share_agreement share_notice_check(const struct share_readers *readers, uint64_t offered, struct bytes notice);

/* The server. */

/* What comes of an offer for the server whose readers of this name are those places; `offer` as it came. */
struct share_agreement share_offer_decide(
	const struct share_sha256 *sha256, const struct share_readers *readers, uint64_t own, struct bytes offer);
/* The notice that says so. False where there is no agreement, or no room. At most SHARE_NOTICE_MAX octets. */
must_check bool share_notice_write(
	const struct share_readers *readers, const struct share_agreement *agreement, struct writer *to);

/* For others who look at them: views of what they read. */

struct share_offer {
	uint8_t modes;
	struct bytes nonce, tags; /* whole tags */
};
struct share_notice {
	uint8_t mode;
	struct bytes readers;
};
struct share_notice_reader {
	struct bytes key_id, name, purpose;
};
/* False when it has no such form, is of another version, or has more tags or readers than a list has places. */
must_check bool share_offer_read(struct bytes in, struct share_offer *out);
must_check bool share_notice_read(struct bytes in, struct share_notice *out);
/* The next reader of a notice that was read; false at the end. */
must_check bool share_notice_next(struct share_notice *notice, struct share_notice_reader *out);

#endif
