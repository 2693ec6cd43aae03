/*
 * keys/share_item.h — what stands in a slot of a share ring: the key of one direction and epoch, or a word about the
 * program. In the presentation language of TLS:
 *
 *     struct { uint8 version = 1; uint8 kind;
 *              select (kind) { case key: opaque key<1..255> (record_key_write); Address local; Address peer;
 *                                        uint8 server; opaque name<0..255>;
 *                              default: opaque text<0..240>; } } Item;
 *     struct { opaque ip<0..16>; uint16 port; } Address;     empty: not known
 *
 * No I/O, no allocation. An item with a key is wiped by whoever holds it, and so is what was written of it.
 */
#ifndef KEYS_SHARE_ITEM_H
#define KEYS_SHARE_ITEM_H

#include "base/hostport.h"
#include "keys/record_key.h"
#include "keys/share_ring.h"

#define SHARE_TEXT_MAX 240
#define SHARE_NAME_MAX 255

enum share_kind {
	SHARE_KEY = 1,
	SHARE_LIBRARY = 2, /* `text`: the TLS library that the agent is in now */
	SHARE_FILE = 3,    /* `text`: why this program gives its secrets by a file, to the FIFO of this run */
	SHARE_BARRED = 4,  /* `text`: why connections of this program are not shared */
};

struct share_item {
	uint8_t kind; /* enum share_kind */
	/* With SHARE_KEY. */
	struct record_key key;
	struct hostport local, peer;   /* none: not known */
	bool server;                   /* the program is the server */
	char name[SHARE_NAME_MAX + 1]; /* the server's, as the client asked for it; empty: not known */
	/* With the others. Both texts are NUL-terminated, and a stranger's. */
	char text[SHARE_TEXT_MAX + 1];
};

/* False when it has no such form, or does not fit. */
must_check bool share_item_write(const struct share_item *item, struct writer *to);
/* False, and wiped, when it is none. */
must_check bool share_item_read(struct bytes in, struct share_item *out);
void share_item_wipe(struct share_item *item);

#endif
