/*
 * keys/share_item.h — what stands in a slot of a share ring: the key of one direction and epoch and how it may be
 * released, a connection whose sides do not agree (keys/share_offer.h), or a word about the program. In the
 * presentation language of TLS:
 *
 *     struct { uint8 version = 2; uint8 kind;
 *              select (kind) { case key: opaque key<1..255> (record_key_write); Address local; Address peer;
 *                                        uint8 server; opaque name<0..255>; Terms terms;
 *                              case refused: opaque client_random[32]; uint8 server; uint8 cause; opaque name<0..255>;
 *                                            opaque key_id[32]; opaque reader<0..63>;
 *                              default: opaque text<0..240>; } } Item;
 *     struct { opaque ip<0..16>; uint16 port; } Address;     empty: not known
 *     struct { uint8 mode; uint8 consent; uint8 resumed; uint64 list; uint64 readers; } Terms;
 *
 * No I/O, no allocation. An item with a key is wiped by whoever holds it, and so is what was written of it.
 */
#ifndef KEYS_SHARE_ITEM_H
#define KEYS_SHARE_ITEM_H

#include "base/hostport.h"
#include "keys/record_key.h"
#include "keys/share_readers.h"
#include "keys/share_ring.h"

#define SHARE_TEXT_MAX   240
#define SHARE_NAME_MAX   255
#define SHARE_READER_MAX 63

enum share_kind {
	SHARE_KEY = 1,
	SHARE_LIBRARY = 2, /* `text`: the TLS library that the agent is in now */
	SHARE_FILE = 3,    /* `text`: why this program gives its secrets by a file, to the FIFO of this run */
	SHARE_BARRED = 4,  /* `text`: why connections of this program are not shared */
	SHARE_REFUSED = 5, /* the sides of a connection do not agree: nothing of it goes to readers who need consent */
	SHARE_SAYS = 6,    /* `text`: what else is to be said of this program */
};

/* Values as those of enum release_consent (keys/release.h). */
enum share_consent { SHARE_BOTH = 1, SHARE_UNILATERAL = 2 };

/* What the two sides of a connection have agreed on. Zeroed: nothing was asked, and keys are handed over live. */
struct share_terms {
	uint8_t mode;     /* enum share_mode: when this key was handed over */
	uint8_t consent;  /* enum share_consent */
	bool resumed;     /* BOTH: bound by Finished alone; no certificate was shown */
	uint64_t list;    /* BOTH: which list of readers (share_readers_id) */
	uint64_t readers; /* BOTH: who was agreed on, in `mode`: a set of places in that list; never empty */
};

struct share_item {
	uint8_t kind; /* enum share_kind */
	/* With SHARE_KEY. */
	struct record_key key;
	struct hostport local, peer;   /* none: not known */
	bool server;                   /* the program is the server */
	char name[SHARE_NAME_MAX + 1]; /* the server's, as the client asked for it; empty: not known */
	struct share_terms terms;
	/* With SHARE_REFUSED, as are key.client_random, server and name. */
	uint8_t cause; /* enum share_refusal (keys/share_offer.h), by its number */
	uint8_t key_id[32];
	char reader[SHARE_READER_MAX + 1]; /* of this key, as the peer says; with causes that are about one */
	/* With the others. All texts are NUL-terminated, and a stranger's. */
	char text[SHARE_TEXT_MAX + 1];
};

/* False when it has no such form, or does not fit. */
must_check bool share_item_write(const struct share_item *item, struct writer *to);
/* False, and wiped, when it is none. */
must_check bool share_item_read(struct bytes in, struct share_item *out);
void share_item_wipe(struct share_item *item);

#endif
