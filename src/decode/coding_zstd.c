/*
 * zstd (RFC 8878, 3.1). The header of each frame is read here first: what memory its decoding takes is decided there,
 * by the sender, and libzstd's stable interface takes no allocator that could say no.
 */
#include "decode/coding_stage.h"

#include <zstd_errors.h>

#define MAGIC            0xfd2fb528U
#define SKIPPABLE        0x184d2a50U
#define SKIPPABLE_MASK   0xfffffff0U
#define SINGLE_SEGMENT   0x20
#define DICTIONARY_MASK  0x03
#define OVERHEAD         ((size_t)512 * 1024) /* what libzstd takes besides the window, about */
#define WINDOW_LOG_LEAST 10

static uint64_t little(const uint8_t *octets, size_t count)
{
	uint64_t value = 0;
	for (size_t i = count; i > 0; i--)
		value = value << 8 | octets[i - 1];
	return value;
}

/* Octets of Frame_Content_Size. */
static size_t size_octets(uint8_t descriptor)
{
	static const uint8_t octets[] = {0, 2, 4, 8};
	unsigned flag = descriptor >> 6;
	return flag == 0 && (descriptor & SINGLE_SEGMENT) ? 1 : octets[flag];
}

static size_t dictionary_octets(uint8_t descriptor)
{
	static const uint8_t octets[] = {0, 1, 2, 4};
	return octets[descriptor & DICTIONARY_MASK];
}

/* How long the header is, as far as `have` octets of it tell: more than these while it is not known. */
static size_t header_octets(const uint8_t *head, size_t have)
{
	if (have < 4)
		return 4;
	if (little(head, 4) != MAGIC)
		return 4;
	if (have < 5)
		return 5;
	return 5 + ((head[4] & SINGLE_SEGMENT) ? 0 : 1) + dictionary_octets(head[4]) + size_octets(head[4]);
}

static uint64_t window_of(const uint8_t *head)
{
	uint8_t descriptor = head[4];
	if (descriptor & SINGLE_SEGMENT) {
		size_t octets = size_octets(descriptor);
		uint64_t size = little(head + 5 + dictionary_octets(descriptor), octets);
		return octets == 2 ? size + 256 : size;
	}
	uint64_t base = (uint64_t)1 << (WINDOW_LOG_LEAST + (head[5] >> 3));
	return base + base / 8 * (head[5] & 7);
}

/* The header is there: charges what the frame will take. */
static enum stage_result admit(struct stage *stage)
{
	uint64_t magic = little(stage->head, 4);
	if ((magic & SKIPPABLE_MASK) == SKIPPABLE)
		return STAGE_OK;
	if (magic != MAGIC)
		return STAGE_BAD;
	uint64_t window = window_of(stage->head);
	if (window > CODING_ZSTD_WINDOW)
		return STAGE_TOO_LARGE;
	size_t need = OVERHEAD + (size_t)window;
	/* libzstd keeps what a larger frame before took. */
	if (need <= stage->charged)
		return STAGE_OK;
	if (!coding_charge(stage->memory, need - stage->charged))
		return STAGE_NO_MEMORY;
	stage->charged = need;
	return STAGE_OK;
}

static enum stage_result failed(size_t code)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		return STAGE_NO_MEMORY;
	case ZSTD_error_frameParameter_windowTooLarge:
		return STAGE_TOO_LARGE;
	default:
		return STAGE_BAD;
	}
}

static enum stage_result decompress(struct stage *stage, struct bytes *in, size_t *made)
{
	ZSTD_inBuffer from = {in->data, in->len, 0};
	ZSTD_outBuffer to = {stage->out, sizeof(stage->out), *made};
	size_t result = ZSTD_decompressStream(stage->zstd, &to, &from);
	(void)!bytes_skip(in, from.pos);
	*made = to.pos;
	if (ZSTD_isError(result))
		return failed(result);
	stage->full = to.pos == to.size && result != 0;
	if (result == 0) {
		stage->ended = true;
		stage->members++;
		stage->head_len = 0;
		stage->head_done = false;
	}
	return STAGE_OK;
}

/* Gathers the header, then hands it on. False where the result says all. */
static bool take_header(struct stage *stage, size_t *made, enum stage_result *result)
{
	*result = STAGE_OK;
	while (stage->head_len < header_octets(stage->head, stage->head_len)) {
		if (!bytes_u8(&stage->in, &stage->head[stage->head_len]))
			return false;
		stage->head_len++;
		stage->ended = false;
	}
	*result = admit(stage);
	if (*result != STAGE_OK)
		return false;
	stage->head_done = true;
	struct bytes head = bytes_of(stage->head, stage->head_len);
	*result = decompress(stage, &head, made);
	return *result == STAGE_OK;
}

static bool begin(struct stage *stage)
{
	stage->zstd = ZSTD_createDStream();
	return stage->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(stage->zstd, ZSTD_d_windowLogMax, 23));
}

enum stage_result stage_run_zstd(struct stage *stage, size_t *made)
{
	enum stage_result result;
	if (!stage->zstd && !begin(stage))
		return STAGE_NO_MEMORY;
	if (stage->head_done)
		return decompress(stage, &stage->in, made);
	bool on = take_header(stage, made, &result);
	if (result == STAGE_BAD && stage->members > 0) {
		stage_pass_over(stage);
		return STAGE_OK;
	}
	if (!on || stage->ended || stage->in.len == 0)
		return result;
	return decompress(stage, &stage->in, made);
}
