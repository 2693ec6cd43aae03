/*
 * proxy/local_refused.h — what the user of `overt local` does not accept: proxies by name or pin, roles, and sites that
 * nobody may read. No I/O.
 */
#ifndef PROXY_LOCAL_REFUSED_H
#define PROXY_LOCAL_REFUSED_H

#include "base/error.h"
#include "proxy/local_book.h"

#define REFUSED_MAX 256

enum refused_kind { REFUSED_PROXY, REFUSED_ROLE, REFUSED_SITE, REFUSED_KINDS };

struct refused_item {
	enum refused_kind kind;
	char what
		[BOOK_NAME]; /* proxy: its key (book_reader_key); role: "reader", "writer"; site: a host name or address */
	int64_t since_s;
};

struct refused {
	struct refused_item item[REFUSED_MAX];
	size_t count;
	uint64_t full; /* additions for which there was no room */
};

/* "proxy", "role", "site": for files and forms. False when there is none of that name. */
must_check const char *refused_kind_name(enum refused_kind kind);
must_check bool refused_kind_find(struct bytes name, enum refused_kind *out);

/* Once more is no fault. False with a sentence: no such role, no host name, no room. *item (may be NULL) is what stands. */
must_check bool refused_add(struct refused *refused, enum refused_kind kind, struct bytes what, int64_t now_s,
	struct refused_item *item, struct error *err);
/* False when it was not there. */
must_check bool refused_remove(struct refused *refused, enum refused_kind kind, struct bytes what);
must_check bool refused_has(const struct refused *refused, enum refused_kind kind, const char *what);

/* Roles of `roles` (a set of enum accord_role) that may be offered to proxies for this site: none for a refused site. */
must_check uint8_t refused_roles_left(const struct refused *refused, uint8_t roles, const char *site);
/*
 * Whether a connection of this kind is not to be: read by a proxy or in a role that is refused, or read at all, or
 * readable, where the site is refused. The reason goes into `why` (may be NULL).
 */
must_check bool refused_concerns(const struct refused *refused, const struct book_entry *what, struct error *why);

/* As lines of text (proxy/local_lines.h); 512 octets per item suffice. */
void refused_write(const struct refused *refused, struct writer *w);
/* Adds what refused_write wrote. Returns how many lines could not be read. */
size_t refused_read(struct refused *refused, struct bytes text);

#endif
