/* sink/utf8.h — characters of UTF-8 (RFC 3629) and the columns they take on a terminal. */
#ifndef SINK_UTF8_H
#define SINK_UTF8_H

#include "base/bytes.h"

/* 0, 1 or 2. */
must_check unsigned utf8_width(uint32_t point);

/* Columns of a text. What is no UTF-8 counts one per octet. */
must_check size_t utf8_columns(struct bytes in);

/* The longest front of `in` that takes at most `columns`. */
must_check struct bytes utf8_fit(struct bytes in, size_t columns);

#endif
