/*
 * decode/trailers.h — the fields behind a body (RFC 9110, 6.5), kept from when they come until the exchange ends. No
 * I/O. Bounded: what is over the caps is left out, and said to be.
 */
#ifndef DECODE_TRAILERS_H
#define DECODE_TRAILERS_H

#include "flow/message.h"

#define TRAILERS_MAX        32                 /* fields of one message */
#define TRAILERS_OCTETS_MAX ((size_t)4 * 1024) /* of their names and values together */

struct trailers;

/* A copy of the fields. NULL without memory, and when there are none. */
must_check struct trailers *trailers_copy(const struct message_header *fields, size_t count, bool cut);
/*
 * Of HTTP/1: a trailer section (RFC 9112, 7.1.2), lines that end in CRLF. A line that is no field is left out. NULL as
 * above.
 */
must_check struct trailers *trailers_read(struct bytes section);
/* NULL is allowed. */
void trailers_free(struct trailers *trailers);

/* As they are given out; of NULL: none. Valid as long as `trailers`. */
must_check struct message_trailers trailers_view(const struct trailers *trailers);

#endif
