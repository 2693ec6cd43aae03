/* decode/coding_stage.h — one coding: octets from the front of a view into a room. For decode/coding.c alone. No I/O. */
#ifndef DECODE_CODING_STAGE_H
#define DECODE_CODING_STAGE_H

#include "decode/coding.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

enum coding_kind { CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD };

#define STAGE_HEAD_MAX 18 /* octets: the longest frame header of zstd */

struct stage {
	enum coding_kind kind;
	struct coding_memory *memory;
	struct bytes in;              /* what waits to be taken: the caller's, or of the stage before */
	bool full;                    /* the room was filled: there may be more without any input */
	bool ended;                   /* the last member or frame that began has ended */
	bool over;                    /* what stands behind the end was no member or frame: nothing more is looked at */
	bool begun;                   /* the decoder is set up */
	uint64_t members;             /* that have ended */
	uint64_t made;                /* octets, of the member at hand */
	uint8_t head[STAGE_HEAD_MAX]; /* octets that decide how to go on, until there are enough of them */
	size_t head_len;
	bool head_done;
	size_t charged; /* of `memory`, for what zstd takes by itself */
	z_stream z;
	BrotliDecoderState *br;
	ZSTD_DStream *zstd;
	uint8_t out[CODING_OUT];
};

enum stage_result {
	STAGE_OK, /* went on: took octets, made some, or both */
	STAGE_BAD,
	STAGE_TOO_LARGE,
	STAGE_NO_MEMORY,
};

/* `stage` is zeroed but for `kind` and `memory`. */
void stage_free(struct stage *stage);
/* One step; *made is what now stands in `out`. To be called while `in` is not empty, or `full`. */
must_check enum stage_result stage_run(struct stage *stage, size_t *made);

/* Of the memory's cap. False (counted) when it does not allow it. */
must_check bool coding_charge(struct coding_memory *memory, size_t octets);
void coding_refund(struct coding_memory *memory, size_t octets);

/* What stands behind the end is none of the body's: browsers pass over it, too. */
void stage_pass_over(struct stage *stage);

/* coding_zstd.c. */
must_check enum stage_result stage_run_zstd(struct stage *stage, size_t *made);

#endif
