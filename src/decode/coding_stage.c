#include "decode/coding_stage.h"

#include <limits.h>
#include <stdlib.h>

bool coding_charge(struct coding_memory *memory, size_t octets)
{
	if (octets > memory->cap || memory->used > memory->cap - octets) {
		memory->refused++;
		return false;
	}
	memory->used += octets;
	return true;
}

void coding_refund(struct coding_memory *memory, size_t octets)
{
	memory->used -= octets;
}

/* Memory for the libraries, which do not say how much they give back: the size stands before it. */

union block {
	size_t octets;
	max_align_t align;
};

static void *take(void *opaque, size_t octets)
{
	struct coding_memory *memory = opaque;
	size_t all = octets + sizeof(union block);
	if (all < octets || !coding_charge(memory, all))
		return NULL;
	union block *block = malloc(all);
	if (!block) {
		coding_refund(memory, all);
		return NULL;
	}
	block->octets = all;
	return block + 1;
}

static void give_back(void *opaque, void *address)
{
	if (!address)
		return;
	union block *block = (union block *)address - 1;
	coding_refund(opaque, block->octets);
	free(block);
}

static voidpf take_items(voidpf opaque, uInt items, uInt size)
{
	return take(opaque, (size_t)items * size);
}

void stage_free(struct stage *stage)
{
	if (stage->begun && (stage->kind == CODING_GZIP || stage->kind == CODING_DEFLATE))
		inflateEnd(&stage->z);
	if (stage->br)
		BrotliDecoderDestroyInstance(stage->br);
	ZSTD_freeDStream(stage->zstd);
	coding_refund(stage->memory, stage->charged);
}

void stage_pass_over(struct stage *stage)
{
	stage->in = BYTES_NONE;
	stage->full = false;
	stage->ended = true;
	stage->over = true;
}

static enum stage_result ignore(struct stage *stage)
{
	stage_pass_over(stage);
	return STAGE_OK;
}

/* gzip and deflate. */

static enum stage_result begin_inflate(struct stage *stage, int bits)
{
	stage->z = (z_stream){.zalloc = take_items, .zfree = give_back, .opaque = stage->memory};
	if (inflateInit2(&stage->z, bits) != Z_OK)
		return STAGE_NO_MEMORY;
	stage->begun = true;
	return STAGE_OK;
}

static enum stage_result inflate_from(struct stage *stage, struct bytes *in, size_t *made)
{
	z_stream *z = &stage->z;
	uInt given = in->len > UINT_MAX ? UINT_MAX : (uInt)in->len;
	/* zlib reads only, whatever its prototype says without ZLIB_CONST. */
	z->next_in = (Bytef *)(uintptr_t)in->data;
	z->avail_in = given;
	z->next_out = stage->out + *made;
	z->avail_out = (uInt)(sizeof(stage->out) - *made);
	int result = inflate(z, Z_NO_FLUSH);
	(void)!bytes_skip(in, given - z->avail_in);
	*made = sizeof(stage->out) - z->avail_out;
	stage->full = z->avail_out == 0 && result != Z_STREAM_END;
	if (result == Z_STREAM_END) {
		stage->ended = true;
		stage->members++;
		return STAGE_OK;
	}
	if (result == Z_MEM_ERROR)
		return STAGE_NO_MEMORY;
	return result == Z_OK || result == Z_BUF_ERROR ? STAGE_OK : STAGE_BAD;
}

static enum stage_result run_gzip(struct stage *stage, size_t *made)
{
	enum stage_result result = STAGE_OK;
	if (!stage->begun)
		result = begin_inflate(stage, MAX_WBITS + 16);
	if (result != STAGE_OK)
		return result;
	if (stage->ended) {
		/* Another member may follow (RFC 1952, 2.2). */
		if (stage->in.data[0] != 0x1f || inflateReset(&stage->z) != Z_OK)
			return ignore(stage);
		stage->ended = false;
		stage->made = 0;
	}
	result = inflate_from(stage, &stage->in, made);
	stage->made += *made;
	if (result == STAGE_BAD && stage->members > 0 && stage->made == 0)
		return ignore(stage);
	return result;
}

/* Whether these two octets can begin the zlib format (RFC 1950, 2.2), which is what "deflate" means. */
static bool is_zlib(const uint8_t head[2])
{
	return (head[0] & 0x0f) == Z_DEFLATED && head[0] >> 4 <= 7 && (head[0] << 8 | head[1]) % 31 == 0 &&
	       !(head[1] & 0x20);
}

static enum stage_result run_deflate(struct stage *stage, size_t *made)
{
	if (stage->ended)
		return ignore(stage);
	while (stage->head_len < 2 && bytes_u8(&stage->in, &stage->head[stage->head_len]))
		stage->head_len++;
	if (stage->head_len < 2)
		return STAGE_OK;
	if (!stage->begun) {
		enum stage_result result = begin_inflate(stage, is_zlib(stage->head) ? MAX_WBITS : -MAX_WBITS);
		if (result != STAGE_OK)
			return result;
		struct bytes head = bytes_of(stage->head, 2);
		result = inflate_from(stage, &head, made);
		if (result != STAGE_OK || stage->ended)
			return result;
	}
	return inflate_from(stage, &stage->in, made);
}

/* br. */

static bool is_memory(BrotliDecoderErrorCode code)
{
	return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES && code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
}

static enum stage_result run_br(struct stage *stage, size_t *made)
{
	if (stage->ended)
		return ignore(stage);
	if (!stage->br)
		stage->br = BrotliDecoderCreateInstance(take, give_back, stage->memory);
	if (!stage->br)
		return STAGE_NO_MEMORY;
	size_t in_left = stage->in.len, room = sizeof(stage->out);
	const uint8_t *in = stage->in.data;
	uint8_t *out = stage->out;
	BrotliDecoderResult result = BrotliDecoderDecompressStream(stage->br, &in_left, &in, &room, &out, NULL);
	(void)!bytes_skip(&stage->in, stage->in.len - in_left);
	*made = sizeof(stage->out) - room;
	/* Where room and input end together, it asks for input alone, and holds back what it has made of the input before. */
	stage->full = result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT || BrotliDecoderHasMoreOutput(stage->br);
	stage->ended = result == BROTLI_DECODER_RESULT_SUCCESS;
	if (result != BROTLI_DECODER_RESULT_ERROR)
		return STAGE_OK;
	return is_memory(BrotliDecoderGetErrorCode(stage->br)) ? STAGE_NO_MEMORY : STAGE_BAD;
}

enum stage_result stage_run(struct stage *stage, size_t *made)
{
	*made = 0;
	if (stage->over)
		return ignore(stage);
	switch (stage->kind) {
	case CODING_GZIP:
		return run_gzip(stage, made);
	case CODING_DEFLATE:
		return run_deflate(stage, made);
	case CODING_BR:
		return run_br(stage, made);
	case CODING_ZSTD:
		break;
	}
	return stage_run_zstd(stage, made);
}
