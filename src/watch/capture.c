#include "watch/capture.h"

#include "watch/capture_field.h"
#include "watch/capture_input.h"
#include "watch/pcap.h"
#include "watch/pcapng.h"

#include <inttypes.h>
#include <stdlib.h>

enum format { FORMAT_UNKNOWN, FORMAT_PCAP, FORMAT_PCAPNG };

struct capture {
	struct input *input;
	enum format format;
	bool ended;
	struct pcap_reader pcap;
	struct pcapng_reader pcapng;
};

struct capture *capture_open(const struct capture_options *options, struct error *err)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	if (!capture) {
		error_set(err, "no memory");
		return NULL;
	}
	struct input_options how = {.follow = options->follow, .stop_fd = options->stop_fd};
	capture->input =
		options->connect ? input_connect(options->connect, how, err) : input_open(options->path, how, err);
	if (!capture->input) {
		free(capture);
		return NULL;
	}
	return capture;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	input_free(capture->input);
	pcapng_reader_free(&capture->pcapng);
	free(capture);
}

struct capture_counts capture_count(const struct capture *capture)
{
	return capture->format == FORMAT_PCAP ? capture->pcap.counts : capture->pcapng.counts;
}

void capture_count_add(struct capture_counts *total, const struct capture_counts *part)
{
	total->frames += part->frames;
	total->octets += part->octets;
	total->secrets += part->secrets;
	total->secrets_other += part->secrets_other;
	total->blocks_skipped += part->blocks_skipped;
	total->options_broken += part->options_broken;
	total->dropped_interface += part->dropped_interface;
	total->dropped_before += part->dropped_before;
}

/* Where reading stands in the unpacked file. */
static uint64_t position(const struct capture *capture)
{
	return capture->format == FORMAT_PCAP ? capture->pcap.at : capture->pcapng.at;
}

static enum capture_result broken(struct capture *capture, struct error *err)
{
	error_prefix(err, "%s", capture_name(capture));
	capture->ended = true;
	return CAPTURE_BROKEN;
}

/* Files that are often given for captures: what they are, and how to come to one. */
static const struct {
	uint8_t start[6];
	uint8_t len;
	const char *what;
} foreign[] = {
	{{0xfd, '7', 'z', 'X', 'Z'}, 5, "packed with xz; unpack it with xz -dc and give it on standard input"},
	{{'B', 'Z', 'h'}, 3, "packed with bzip2; unpack it with bzip2 -dc and give it on standard input"},
	{{0x04, 0x22, 0x4d, 0x18}, 4, "packed with lz4; unpack it with lz4 -dc and give it on standard input"},
	{{'P', 'K', 3, 4}, 4, "a zip archive; unpack it first"},
	{{'s', 'n', 'o', 'o', 'p'}, 5, "a snoop file; make a pcapng file of it with editcap"},
	{{'C', 'L', 'I', 'E', 'N', 'T'}, 6, "a key log, not a capture"},
};

static enum capture_result tell_format(struct capture *capture, struct bytes start, struct error *err)
{
	if (pcap_reader_knows(start))
		capture->format = FORMAT_PCAP;
	else if (pcapng_reader_knows(start))
		capture->format = FORMAT_PCAPNG;
	if (capture->format != FORMAT_UNKNOWN)
		return CAPTURE_FRAME;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		if (bytes_starts(start, bytes_of(foreign[i].start, foreign[i].len))) {
			error_set(err, "%s", foreign[i].what);
			return broken(capture, err);
		}
	}
	error_set(err, "neither pcap nor pcapng: it begins with the octets %02x %02x %02x %02x", field_u8(start, 0),
		field_u8(start, 1), field_u8(start, 2), field_u8(start, 3));
	return broken(capture, err);
}

static enum capture_result cut(struct capture *capture, bool packed, struct error *err)
{
	struct bytes rest = input_view(capture->input);
	capture->ended = true;
	uint64_t at = position(capture) + rest.len;
	uint64_t frames = capture_count(capture).frames;
	if (packed)
		error_set(err,
			"%s: cut off within its %s data, after frame %" PRIu64 ", octet %" PRIu64 " when unpacked",
			capture_name(capture), input_packing(capture->input), frames, at);
	else if (at == 0)
		error_set(err, "%s: empty", capture_name(capture));
	else
		error_set(err, "%s: cut off after frame %" PRIu64 ", at octet %" PRIu64, capture_name(capture), frames,
			at);
	return CAPTURE_CUT;
}

static enum capture_result at_end(struct capture *capture, struct error *err)
{
	struct bytes rest = input_view(capture->input);
	bool whole = false;
	if (capture->format == FORMAT_PCAP)
		whole = capture->pcap.begun && rest.len == 0;
	else if (capture->format == FORMAT_PCAPNG)
		whole = pcapng_reader_between(&capture->pcapng, rest);
	if (!whole)
		return cut(capture, false, err);
	capture->ended = true;
	return CAPTURE_END;
}

/* MORE: there are more octets, or fewer to pass over. */
static enum capture_result read_on(struct capture *capture, uint64_t need, int wait_ms, struct error *err)
{
	if (capture->pcapng.skip > 0) {
		uint64_t hopped = input_hop(capture->input, capture->pcapng.skip);
		capture->pcapng.skip -= hopped;
		capture->pcapng.at += hopped;
		if (hopped > 0)
			return CAPTURE_MORE;
	}
	switch (input_more(capture->input, (size_t)need, wait_ms, err)) {
	case INPUT_OK:
		return CAPTURE_MORE;
	case INPUT_WAIT:
		return CAPTURE_WAIT;
	case INPUT_STOPPED:
		return CAPTURE_STOPPED;
	case INPUT_END:
		return at_end(capture, err);
	case INPUT_CUT:
		return cut(capture, true, err);
	case INPUT_BROKEN:
		break;
	}
	return broken(capture, err);
}

static enum capture_result parse(
	struct capture *capture, struct bytes *in, struct capture_item *out, uint64_t *need, struct error *err)
{
	enum capture_result result;
	if (capture->format == FORMAT_UNKNOWN) {
		*need = 4;
		if (in->len < 4)
			return CAPTURE_MORE;
		result = tell_format(capture, *in, err);
		if (result != CAPTURE_FRAME)
			return result;
	}
	if (capture->format == FORMAT_PCAP) {
		result = pcap_reader_next(&capture->pcap, in, &out->frame, err);
		*need = capture->pcap.need;
	} else {
		result = pcapng_reader_next(&capture->pcapng, in, out, err);
		*need = capture->pcapng.need;
	}
	return result == CAPTURE_BROKEN ? broken(capture, err) : result;
}

enum capture_result capture_next(struct capture *capture, struct capture_item *out, int wait_ms, struct error *err)
{
	while (!capture->ended) {
		struct bytes before = input_view(capture->input), in = before;
		uint64_t need = 0;
		enum capture_result result = parse(capture, &in, out, &need, err);
		input_take(capture->input, before.len - in.len);
		if (result == CAPTURE_MORE)
			result = read_on(capture, need, wait_ms, err);
		if (result != CAPTURE_MORE)
			return result;
	}
	return CAPTURE_END;
}

void capture_lend(struct capture *capture)
{
	input_lend(capture->input);
}

uint8_t *capture_left(struct capture *capture, size_t *room)
{
	return input_left(capture->input, room);
}

uint8_t *capture_part(struct capture *capture, size_t *room)
{
	return input_part(capture->input, room);
}

void capture_give_back(struct capture *capture, uint8_t *buffer, size_t room)
{
	input_give_back(capture->input, buffer, room);
}

bool capture_seekable(const struct capture *capture)
{
	return input_seekable(capture->input);
}

bool capture_rewind(struct capture *capture, struct error *err)
{
	if (!input_rewind(capture->input, err))
		return false;
	pcapng_reader_free(&capture->pcapng);
	capture->pcap = (struct pcap_reader){0};
	capture->format = FORMAT_UNKNOWN;
	capture->ended = false;
	return true;
}

bool capture_scan_secrets(struct capture *capture, void (*take)(const struct capture_secrets *secrets, void *context),
	void *context, struct error *err)
{
	if (!capture_rewind(capture, err))
		return false;
	capture->pcapng.secrets_only = true;
	enum capture_result result = CAPTURE_SECRETS;
	/*
	 * A classic file can hold none: one frame of it tells that it is one. A followed file is read as far as it is.
	 */
	while (result == CAPTURE_SECRETS) {
		struct capture_item item;
		result = capture_next(capture, &item, 0, NULL);
		if (result == CAPTURE_SECRETS)
			take(&item.secrets, context);
	}
	if (result == CAPTURE_STOPPED)
		return error_set(err, "%s: stopped", capture_name(capture));
	return capture_rewind(capture, err);
}

bool capture_readable_at(const struct capture *capture)
{
	return input_plain_file(capture->input);
}

bool capture_read_at(const struct capture *capture, uint64_t at, uint8_t *out, size_t len)
{
	return input_read_at(capture->input, at, out, len);
}

const char *capture_name(const struct capture *capture)
{
	return input_name(capture->input);
}

uint64_t capture_octets_read(const struct capture *capture)
{
	return input_octets(capture->input);
}

uint64_t capture_size(const struct capture *capture)
{
	return input_size(capture->input);
}
