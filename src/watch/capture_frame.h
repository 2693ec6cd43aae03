/* watch/capture_frame.h — what a capture consists of: frames as they were on a link, and secrets. Values; no I/O. */
#ifndef WATCH_CAPTURE_FRAME_H
#define WATCH_CAPTURE_FRAME_H

#include "base/bytes.h"

/* Captured octets of one frame. Larger than any snap length in use (256 KiB), to leave room for larger superframes. */
#define CAPTURE_FRAME_MAX ((size_t)1024 * 1024)
/* Interfaces in one section of a pcapng file. */
#define CAPTURE_INTERFACES_MAX 65536

struct frame {
	uint64_t time_ns;   /* wall clock, since 1970-01-01 UTC; 0 where the capture has no time */
	uint64_t number;    /* of the frame in its source, from 1 */
	uint64_t at;        /* octet of the unpacked file where its block or record header begins; 0 when live */
	struct bytes bytes; /* what was captured: at most CAPTURE_FRAME_MAX, without the frame check sequence */
	uint32_t original;  /* octets on the wire, never less than bytes.len */
	uint32_t interface; /* number within the source, counted on over sections; live: the kernel's index */
	uint16_t link;      /* LINKTYPE_* of watch/link.h, the numbers of tcpdump.org's list of link types */
	uint16_t vlan_type; /* live: the tag protocol of a tag that the kernel took out of the frame; 0: none */
	uint16_t vlan_tag;  /* its TCI */
};

/* Lines of a TLS key log that stand in the capture itself. One block may come in several pieces. */
struct capture_secrets {
	struct bytes text; /* whole lines; a line over 64 KiB is cut, and the last of a block may lack its newline */
	uint64_t at;       /* octet of the unpacked file where the text begins */
	bool last;         /* of its block */
};

enum capture_result {
	CAPTURE_FRAME,   /* `frame` is set */
	CAPTURE_SECRETS, /* `secrets` is set */
	CAPTURE_MORE,    /* of readers: not a fault, call again with more octets */
	CAPTURE_WAIT,    /* nothing came in the time given */
	CAPTURE_STOPPED, /* the stop descriptor became readable */
	CAPTURE_END,     /* all was read */
	CAPTURE_CUT,     /* the input ends within a block; the error says where. Comes once, instead of the first END */
	CAPTURE_BROKEN,  /* the error says what is wrong where; nothing can follow */
};

struct capture_item {
	struct frame frame;
	struct capture_secrets secrets;
};

struct capture_counts {
	uint64_t frames, octets;    /* frames given out, and their captured octets */
	uint64_t secrets;           /* blocks with TLS secrets */
	uint64_t secrets_other;     /* blocks with secrets of other protocols: skipped */
	uint64_t blocks_skipped;    /* pcapng blocks that carry nothing for us: names, custom, unknown */
	uint64_t options_broken;    /* option lists that did not keep to their form; the block counts all the same */
	uint64_t dropped_interface; /* frames that the capturing machine lost, from interface statistics */
	uint64_t dropped_before;    /* the same, as told by single frames */
};

#endif
