/*
 * sink/mask.h — credentials hidden from what people read. No I/O, no allocation. What is hidden stands as "***"; the
 * names around it stay, since they are what a reader needs. What does not fit in `cap` is cut. Each returns the
 * octets written.
 */
#ifndef SINK_MASK_H
#define SINK_MASK_H

#include "base/bytes.h"

/*
 * A URL, a request target, or a text that holds one: values of parameters (in query and fragment) whose names say
 * token, key, signature, password, secret, code and the like, and the user information of an authority.
 */
size_t mask_url(struct bytes in, char *out, size_t cap);

/*
 * The value of a header. Authorization and Proxy-Authorization keep their scheme, Cookie and Set-Cookie their names
 * and attributes; headers named after tokens and keys keep nothing; those that carry URLs go through mask_url; others
 * come out as they were.
 */
size_t mask_header(struct bytes name, struct bytes value, char *out, size_t cap);

/* True when mask_header could change a value under that name. */
must_check bool mask_concerns(struct bytes name);

/* `cap` that cuts nothing. */
static inline size_t mask_room(size_t len)
{
	return 3 * len + 8;
}

#endif
