/* base/buffer.h — octets that arrive piece by piece, up to a cap. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/bytes.h"

struct buffer {
	uint8_t *data;
	size_t len, room;
	size_t cap; /* never holds more */
};

/* Space for at least one octet more at data + len, at most up to the cap; *space is how much. NULL: full, or no memory. */
must_check uint8_t *buffer_space(struct buffer *buffer, size_t *space);
/* False, and nothing added, when it would pass the cap or memory is refused. */
must_check bool buffer_add(struct buffer *buffer, struct bytes more);
/* Drops the first n octets. */
void buffer_drop(struct buffer *buffer, size_t n);
/* Frees the octets and leaves an empty buffer of the same cap. */
void buffer_clear(struct buffer *buffer);

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
	return bytes_of(buffer->data, buffer->len);
}

#endif
