/* bench/head.h — just enough HTTP/1.1 (RFC 9112) for two programs that talk to each other through a proxy. No I/O. */
#ifndef BENCH_HEAD_H
#define BENCH_HEAD_H

#include "base/bytes.h"

/* A message head. The views point into the caller's octets. */
struct head {
	struct bytes words[3];   /* the first line's: method, target, version; or version, status, reason */
	uint64_t content_length; /* 0 when the field is missing */
};

enum head_result {
	HEAD_OK,
	HEAD_NEED_MORE, /* not a fault: call again with more octets */
	HEAD_BROKEN,    /* the first line has fewer than two words, or Content-Length is no number */
};

/* Reads one head from the front of `in` and moves `in` past it. On anything but HEAD_OK both stay as they were. */
must_check enum head_result head_read(struct bytes *in, struct head *out);

#endif
