#include "watch/inflate.h"

#include "watch/capture_field.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_FRAME          0x28b52ffdU
#define ZSTD_SKIPPABLE      0x184d2a50U /* in little-endian order, with any last four bits */
#define ZSTD_SKIPPABLE_MASK 0xfffffff0U

struct inflater {
	enum inflate_kind kind;
	bool between; /* members: none, or the last one has ended */
	bool padding; /* of gzip: zeros behind the last member, as tapes have them */
	z_stream gzip;
	ZSTD_DStream *zstd;
};

enum inflate_kind inflate_kind_of(struct bytes start)
{
	if (field_in(start, 0, 2) && field_u16(start, 0) == 0x1f8b)
		return INFLATE_GZIP;
	if (!field_in(start, 0, 4))
		return INFLATE_NONE;
	if (field_u32(start, 0) == ZSTD_FRAME ||
		(field_order32(start, 0, true) & ZSTD_SKIPPABLE_MASK) == ZSTD_SKIPPABLE)
		return INFLATE_ZSTD;
	return INFLATE_NONE;
}

static bool begin_zstd(struct inflater *inflater)
{
	inflater->zstd = ZSTD_createDStream();
	return inflater->zstd &&
	       !ZSTD_isError(ZSTD_DCtx_setParameter(inflater->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG));
}

struct inflater *inflater_new(enum inflate_kind kind)
{
	struct inflater *inflater = calloc(1, sizeof(*inflater));
	if (!inflater)
		return NULL;
	inflater->kind = kind;
	inflater->between = true;
	/* 16 more than the window bits: with a gzip header. */
	bool ready =
		kind == INFLATE_GZIP ? inflateInit2(&inflater->gzip, MAX_WBITS + 16) == Z_OK : begin_zstd(inflater);
	if (!ready) {
		inflater_free(inflater);
		return NULL;
	}
	return inflater;
}

void inflater_free(struct inflater *inflater)
{
	if (!inflater)
		return;
	if (inflater->kind == INFLATE_GZIP)
		inflateEnd(&inflater->gzip);
	ZSTD_freeDStream(inflater->zstd);
	free(inflater);
}

static enum inflate_result gzip_failed(const struct inflater *inflater, struct error *err)
{
	error_set(err, "gzip: %s", inflater->gzip.msg ? inflater->gzip.msg : "no memory");
	return INFLATE_BROKEN;
}

/* Zeros may follow the last member; anything but a member behind a member is a fault. True: a member can be read. */
static bool next_member(struct inflater *inflater, struct bytes *in)
{
	while (inflater->between && in->len > 0 && field_u8(*in, 0) == 0 && inflater->gzip.total_in > 0) {
		inflater->padding = true;
		*in = field_after(*in, 1);
	}
	if (in->len == 0)
		return false;
	if (inflater->between && inflater->gzip.total_in > 0) {
		if (inflateReset(&inflater->gzip) != Z_OK)
			return false;
	}
	inflater->between = false;
	return true;
}

static enum inflate_result run_gzip(
	struct inflater *inflater, struct bytes *in, uint8_t *out, size_t room, size_t *made, struct error *err)
{
	if (!next_member(inflater, in))
		return INFLATE_MORE;
	z_stream *z = &inflater->gzip;
	uInt given = in->len > UINT_MAX ? UINT_MAX : (uInt)in->len;
	uInt space = room > UINT_MAX ? UINT_MAX : (uInt)room;
	/* zlib reads only, whatever its prototype says without ZLIB_CONST. */
	z->next_in = (Bytef *)(uintptr_t)in->data;
	z->avail_in = given;
	z->next_out = out;
	z->avail_out = space;
	int result = inflate(z, Z_NO_FLUSH);
	*in = field_after(*in, given - z->avail_in);
	*made = space - z->avail_out;
	if (result == Z_STREAM_END)
		inflater->between = true;
	else if (result != Z_OK && result != Z_BUF_ERROR)
		return gzip_failed(inflater, err);
	return in->len == 0 && *made < room ? INFLATE_MORE : INFLATE_OK;
}

static enum inflate_result zstd_failed(size_t code, struct error *err)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
		error_set(err,
			"zstd: packed with a window over %u MiB, which is not kept in memory; unpack it with zstd -dc "
			"--long=31 and "
			"give it on standard input",
			1U << (INFLATE_WINDOW_LOG - 20));
		return INFLATE_BROKEN;
	}
	error_set(err, "zstd: %s", ZSTD_getErrorName(code));
	return INFLATE_BROKEN;
}

static enum inflate_result run_zstd(
	struct inflater *inflater, struct bytes *in, uint8_t *out, size_t room, size_t *made, struct error *err)
{
	ZSTD_inBuffer from = {in->data, in->len, 0};
	ZSTD_outBuffer to = {out, room, 0};
	size_t result = ZSTD_decompressStream(inflater->zstd, &to, &from);
	*in = field_after(*in, from.pos);
	*made = to.pos;
	if (ZSTD_isError(result))
		return zstd_failed(result, err);
	/* 0: a frame has ended and everything of it was given out. */
	inflater->between = result == 0;
	return in->len == 0 && *made < room ? INFLATE_MORE : INFLATE_OK;
}

enum inflate_result inflater_run(
	struct inflater *inflater, struct bytes *in, uint8_t *out, size_t room, size_t *made, struct error *err)
{
	*made = 0;
	if (inflater->kind == INFLATE_GZIP)
		return run_gzip(inflater, in, out, room, made, err);
	/* With nothing new, zstd would take the call for the beginning of another frame. */
	if (in->len == 0 && inflater->between)
		return INFLATE_MORE;
	return run_zstd(inflater, in, out, room, made, err);
}

bool inflater_between(const struct inflater *inflater)
{
	return inflater->between;
}
