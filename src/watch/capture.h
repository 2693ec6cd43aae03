/*
 * watch/capture.h — frames and secrets from a capture: a file, standard input, or a TCP connection (PCAP-over-IP);
 * pcap or pcapng, plain or packed with gzip or zstd, all told apart by their first octets. Memory stays the same
 * whatever the size: some 2 MiB, and with zstd up to 32 MiB for its window. One thread.
 */
#ifndef WATCH_CAPTURE_H
#define WATCH_CAPTURE_H

#include "base/error.h"
#include "watch/capture_frame.h"

struct capture_options {
	const char *path;    /* a file, or "-" for standard input; NULL when `connect` is given */
	const char *connect; /* HOST:PORT, [IPV6]:PORT */
	bool follow;         /* a file: its end is not the end, wait for more */
	int stop_fd;         /* reading ends when this becomes readable; below 0: none. Stays the caller's */
};

struct capture;

/*
 * Opens and, for `connect`, connects; nothing is read yet, so that a pipe need not have a writer that speaks. NULL with
 * `err` set.
 */
must_check struct capture *capture_open(const struct capture_options *options, struct error *err);
/* NULL is allowed. */
void capture_free(struct capture *capture);

/*
 * The next frame or piece of secrets; views in it live until the next call. Waits at most `wait_ms` for more octets
 * (below 0: as long as it takes), then WAIT; a file that is not followed never waits. After END, CUT and BROKEN only
 * END comes. `err` is set for CUT and BROKEN and names the input, the frame and the octet.
 */
must_check enum capture_result capture_next(
	struct capture *capture, struct capture_item *out, int wait_ms, struct error *err);

/* Frames stay where they are, until the buffer that they lie in is given back or freed. */
void capture_lend(struct capture *capture);
/*
 * To be asked after each capture_next: the buffer of all frames before the one that it gave, once the capture has gone
 * on in another; the caller's. NULL: it is still the same.
 */
must_check uint8_t *capture_left(struct capture *capture, size_t *room);
/* At its end: the buffer that it is in, which is the caller's then. Nothing but capture_count and capture_free after it. */
must_check uint8_t *capture_part(struct capture *capture, size_t *room);
/* A buffer that capture_left gave, for further frames. */
void capture_give_back(struct capture *capture, uint8_t *buffer, size_t room);

/* A file that can be read again from its beginning, packed or not. */
must_check bool capture_seekable(const struct capture *capture);
/* Begins again, counters included. False with `err` set; only for what is seekable. */
must_check bool capture_rewind(struct capture *capture, struct error *err);
/*
 * Gives every piece of secrets of a seekable capture to `take` and begins again. Frames are not decoded, and long
 * blocks of plain files not even read. A classic pcap, which holds none, costs one read. Faults in the file end it
 * without an error: capture_next will meet and tell them. False with `err` set when it cannot begin again, or the stop
 * descriptor became readable.
 */
must_check bool capture_scan_secrets(struct capture *capture,
	void (*take)(const struct capture_secrets *secrets, void *context), void *context, struct error *err);

/* Whether capture_read_at works: a plain file. Known once something was read, if only by capture_scan_secrets. */
must_check bool capture_readable_at(const struct capture *capture);
/* Copies `len` octets at `at` of a plain file, wherever reading stands; by any thread. False: not all there. */
must_check bool capture_read_at(const struct capture *capture, uint64_t at, uint8_t *out, size_t len);

/* The input as people know it: the path, "standard input", HOST:PORT. Lives as long as the capture. */
must_check const char *capture_name(const struct capture *capture);
must_check struct capture_counts capture_count(const struct capture *capture);
void capture_count_add(struct capture_counts *total, const struct capture_counts *part);
/* Octets read from the input, before unpacking. */
must_check uint64_t capture_octets_read(const struct capture *capture);
/* The size of a file at the time it was opened; 0 for anything else. For "so much of so much". */
must_check uint64_t capture_size(const struct capture *capture);

#endif
