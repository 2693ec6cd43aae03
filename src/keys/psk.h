/* keys/psk.h — external pre-shared keys by identity (RFC 8446, 4.2.11; RFC 4279). No I/O but the file that is read. */
#ifndef KEYS_PSK_H
#define KEYS_PSK_H

#include "base/error.h"
#include "keys/secret.h"

struct psk;

/* Zeroed when new, save `cap`. psk_list_free before it goes away. */
struct psk_list {
	struct psk *psks;
	size_t count, room, cap;
};

/*
 * An empty identity fits every identity. False with a sentence for a key of none or more than SECRET_MAX octets, an
 * identity over 65535, when the list is full, and without memory. The same again changes nothing.
 */
must_check bool psk_list_add(struct psk_list *list, struct bytes identity, struct bytes key, struct error *err);
/*
 * Lines of `identity:hex`; the last colon counts, lines that begin with # and blank ones are passed over. A bad line
 * fails with its number; the lines before it stay in the list.
 */
must_check bool psk_list_load(struct psk_list *list, const char *path, struct error *err);
/* The `nth` key, from 0: first those of the very identity, then those that fit every one. False: no more. */
must_check bool psk_list_get(const struct psk_list *list, struct bytes identity, size_t nth, struct secret *out);
/* Wipes. */
void psk_list_free(struct psk_list *list);

#endif
