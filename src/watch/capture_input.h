/*
 * watch/capture_input.h — octets from a file, a descriptor or a TCP connection, unpacked where they are packed, in one
 * buffer that moves along. Files are read, not mapped: reading in pieces that stay in the cache costs less than page
 * faults, takes no more memory than the buffer, and a file cut short under our hands is an end, not a signal. One
 * thread.
 */
#ifndef WATCH_CAPTURE_INPUT_H
#define WATCH_CAPTURE_INPUT_H

#include "base/bytes.h"
#include "base/error.h"

struct input;

struct input_options {
	bool follow; /* a file: at its end wait for more */
	int stop_fd; /* below 0: none */
};

enum input_result {
	INPUT_OK,
	INPUT_WAIT,    /* nothing came in the time given */
	INPUT_STOPPED, /* the stop descriptor became readable */
	INPUT_END,
	INPUT_CUT,    /* the end, within packed data */
	INPUT_BROKEN, /* `err` is set */
};

/* NULL with `err` set. A path "-" is standard input. */
must_check struct input *input_open(const char *path, struct input_options options, struct error *err);
/* Connects to "HOST:PORT" or "[IPV6]:PORT". */
must_check struct input *input_connect(const char *where, struct input_options options, struct error *err);
/* NULL is allowed. */
void input_free(struct input *input);

/* What was read and not taken yet: valid until the next call that changes the input. */
must_check struct bytes input_view(const struct input *input);
/* Takes `n` octets, at most the view's, off the front. */
void input_take(struct input *input, size_t n);
/*
 * Makes the view longer, by at least one octet where it returns OK. The buffer is made large enough for `need` octets.
 * Waits at most `wait_ms` (below 0: as long as it takes) for what is no file.
 */
must_check enum input_result input_more(struct input *input, size_t need, int wait_ms, struct error *err);
/*
 * Passes over up to `n` octets behind the view, which must be empty, without reading them; returns how many: 0 where
 * the input is not a plain file or it is not worth it. Never beyond the file's end.
 */
must_check uint64_t input_hop(struct input *input, uint64_t n);

/*
 * From now on what was read stays where it is when it has been taken, so that others may go on looking at it: the input
 * goes on in another buffer instead of moving its octets.
 */
void input_lend(struct input *input);
/*
 * The buffer that everything taken before the last input_more lies in, once the input has left it: the caller's from
 * now on, to be freed or given back. NULL: it is still in use.
 */
must_check uint8_t *input_left(struct input *input, size_t *room);
/* The buffer that it is in, which is the caller's then: nothing but input_free may follow. */
must_check uint8_t *input_part(struct input *input, size_t *room);
/* A buffer of `room` octets that input_left gave and nobody looks at any more. */
void input_give_back(struct input *input, uint8_t *buffer, size_t room);

must_check bool input_seekable(const struct input *input);
/* Whether it is a file that is not packed; known after the first octets were read. */
must_check bool input_plain_file(const struct input *input);
must_check bool input_rewind(struct input *input, struct error *err);
must_check bool input_read_at(const struct input *input, uint64_t at, uint8_t *out, size_t len);
must_check const char *input_name(const struct input *input);
/* "gzip", "zstd"; NULL: not packed. */
must_check const char *input_packing(const struct input *input);
must_check uint64_t input_octets(const struct input *input);
must_check uint64_t input_size(const struct input *input);

#endif
