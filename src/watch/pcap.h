/*
 * watch/pcap.h — classic capture files (draft-ietf-opsawg-pcap): both octet orders, micro- and nanoseconds, and the
 * variant of old Linux systems with longer record headers. Incremental: octets go in as they come. No I/O, no
 * allocation.
 */
#ifndef WATCH_PCAP_H
#define WATCH_PCAP_H

#include "base/error.h"
#include "watch/capture_frame.h"

struct pcap_reader {
	bool begun;    /* the file header was read */
	bool little;   /* octet order of the file */
	bool nano;     /* fractions are nanoseconds */
	bool longer;   /* record headers have 8 octets more */
	uint16_t link; /* of all frames */
	uint8_t fcs;   /* octets of frame check sequence at the end of each whole frame */
	uint64_t at;   /* octet of the file at which the next call's input begins */
	uint64_t need; /* after CAPTURE_MORE: how many octets the next call's input must have at least */
	struct capture_counts counts;
};

/* Whether a file that begins so may be one. Fewer than 4 octets: false. */
must_check bool pcap_reader_knows(struct bytes start);

/*
 * Reads the next frame from the front of `in` and moves `in` past it: FRAME, whose view lies in `in`; MORE, with `need`
 * set and no part of a frame taken (the file header may have been); BROKEN with `err` set. The reader begins as zeros.
 */
must_check enum capture_result pcap_reader_next(
	struct pcap_reader *reader, struct bytes *in, struct frame *out, struct error *err);

#endif
