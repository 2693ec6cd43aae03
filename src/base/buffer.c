#include "base/buffer.h"

#include <stdlib.h>

#define ROOM_FIRST 2048

static bool grow(struct buffer *buffer, size_t least)
{
	if (least > buffer->cap)
		return false;
	size_t room = buffer->room ? buffer->room : ROOM_FIRST;
	while (room < least)
		room *= 2;
	if (room > buffer->cap)
		room = buffer->cap;
	uint8_t *wider = realloc(buffer->data, room);
	if (!wider)
		return false;
	buffer->data = wider;
	buffer->room = room;
	return true;
}

uint8_t *buffer_space(struct buffer *buffer, size_t *space)
{
	if (buffer->len == buffer->room && !grow(buffer, buffer->len + 1))
		return NULL;
	*space = buffer->room - buffer->len;
	return buffer->data + buffer->len;
}

bool buffer_add(struct buffer *buffer, struct bytes more)
{
	if (more.len == 0)
		return true;
	if (more.len > buffer->cap - buffer->len)
		return false;
	if (buffer->len + more.len > buffer->room && !grow(buffer, buffer->len + more.len))
		return false;
	memcpy(buffer->data + buffer->len, more.data, more.len);
	buffer->len += more.len;
	return true;
}

void buffer_drop(struct buffer *buffer, size_t n)
{
	if (n >= buffer->len) {
		buffer->len = 0;
		return;
	}
	memmove(buffer->data, buffer->data + n, buffer->len - n);
	buffer->len -= n;
}

void buffer_clear(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){.cap = buffer->cap};
}
