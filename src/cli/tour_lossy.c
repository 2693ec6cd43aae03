/*
 * cli/tour_lossy.c — a capture with holes: one TLS 1.3 connection, made in memory and written as packets of which some are
 * left out (draft-ietf-opsawg-pcap). What can be read of it is known beforehand, line by line.
 */
#include "cli/tour_parts.h"
#include "explain/lab.h"
#include "sink/packet.h"
#include "tls/hello.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_NS     0xa1b23c4dU /* times in nanoseconds */
#define LINKTYPE_RAW 101
#define START_S      1795302282U
#define SEGMENT      1460 /* octets of TCP payload */
#define LINES        400
#define LINE         1000 /* octets of each, its newline included; each is one record */
#define RECORD       (5 + LINE + 1 + 16)
#define EVERY        37 /* of the server's segments with lines, the one that is left out */
#define FILE_MAX     ((size_t)4 * 1024 * 1024)

struct tape {
	struct buffer pcap;
	struct flow_address end[2]; /* the client's, the server's */
	uint32_t seq[2];
	unsigned packets, written, lost;
	bool losing;
	uint64_t at;         /* octets of the server's lines so far */
	bool damaged[LINES]; /* lines whose records are not whole in the capture */
};

static bool put_packet(struct tape *tape, unsigned from, uint8_t flags, struct bytes payload)
{
	struct packet packet = {.from = tape->end[from],
		.to = tape->end[!from],
		.seq = tape->seq[from],
		.ack = tape->seq[!from],
		.flags = flags,
		.payload = payload};
	uint8_t head[PACKET_HEAD_MAX];
	size_t head_len = packet_head(&packet, head);
	uint32_t len = (uint32_t)(head_len + payload.len);
	uint32_t record[4] = {START_S, ++tape->packets * 100000U, len, len};
	tape->seq[from] += (uint32_t)payload.len + ((flags & (PACKET_SYN | PACKET_FIN)) != 0);
	return buffer_add(&tape->pcap, bytes_of(record, sizeof(record))) &&
	       buffer_add(&tape->pcap, bytes_of(head, head_len)) && buffer_add(&tape->pcap, payload);
}

/* Left out of the capture, though it was on the wire: the lines whose records lie in it are damaged. */
static void lose(struct tape *tape, struct bytes payload)
{
	for (uint64_t line = tape->at / RECORD; line * RECORD < tape->at + payload.len && line < LINES; line++)
		tape->damaged[line] = true;
	tape->seq[1] += (uint32_t)payload.len;
	tape->lost++;
}

static bool put_stream(struct tape *tape, unsigned from, struct bytes octets)
{
	bool ok = true;
	while (ok && octets.len > 0) {
		struct bytes part = BYTES_NONE;
		ok = bytes_take(&octets, octets.len < SEGMENT ? octets.len : SEGMENT, &part);
		if (tape->losing && from == 1 && ++tape->written % EVERY == 0)
			lose(tape, part);
		else
			ok = ok && put_packet(tape, from, PACKET_ACK | PACKET_PSH, part);
		if (tape->losing && from == 1)
			tape->at += part.len;
	}
	return ok;
}

static bool carry(struct tape *tape, unsigned from, struct lab_end *one, struct lab_end *other)
{
	struct bytes octets = lab_take(one);
	return put_stream(tape, from, octets) && lab_give(other, octets);
}

static bool shake_hands(struct tape *tape, struct lab_end *client, struct lab_end *server)
{
	for (unsigned turn = 0; turn < 8; turn++) {
		enum lab_state at_client = lab_step(client);
		if (!carry(tape, 0, client, server))
			return false;
		enum lab_state at_server = lab_step(server);
		if (!carry(tape, 1, server, client))
			return false;
		if (at_client == LAB_READY && at_server == LAB_READY)
			return true;
	}
	return false;
}

static void make_line(unsigned number, char out[LINE + 1])
{
	int n = snprintf(out, LINE + 1, "line %04u ", number);
	for (size_t i = (size_t)n; i < LINE - 1; i++)
		out[i] = (char)('a' + (i * 7 + number) % 26);
	out[LINE - 1] = '\n';
	out[LINE] = '\0';
}

/* All lines are on the wire before any is cut into segments: their borders lie anywhere. */
static bool say_lines(struct tape *tape, struct lab_end *client, struct lab_end *server)
{
	char line[LINE + 1];
	if (!lab_write(client, bytes_str("send me the log\n")) || !carry(tape, 0, client, server) ||
		!lab_reads(server, bytes_str("send me the log\n")))
		return false;
	tape->losing = true;
	for (unsigned i = 0; i < LINES; i++) {
		make_line(i, line);
		if (!lab_write(server, bytes_str(line)))
			return false;
	}
	return put_stream(tape, 1, lab_take(server)) && tape->at == (uint64_t)LINES * RECORD;
}

static bool record_connection(struct tape *tape, struct lab_end *client, struct lab_end *server)
{
	uint32_t head[6] = {MAGIC_NS, 2 | (4U << 16), 0, 0, 262144, LINKTYPE_RAW};
	return buffer_add(&tape->pcap, bytes_of(head, sizeof(head))) && put_packet(tape, 0, PACKET_SYN, BYTES_NONE) &&
	       put_packet(tape, 1, PACKET_SYN | PACKET_ACK, BYTES_NONE) &&
	       put_packet(tape, 0, PACKET_ACK, BYTES_NONE) && shake_hands(tape, client, server) &&
	       say_lines(tape, client, server) && put_packet(tape, 1, PACKET_FIN | PACKET_ACK, BYTES_NONE) &&
	       put_packet(tape, 0, PACKET_FIN | PACKET_ACK, BYTES_NONE) && put_packet(tape, 1, PACKET_ACK, BYTES_NONE);
}

static bool make_capture(struct tour *tour, struct tape *tape, struct error *err)
{
	const struct lab_setup setup = {
		.version = TLS_VERSION_13, .suites = "TLS_AES_128_GCM_SHA256", .groups = "X25519"};
	struct lab *lab = lab_new(err);
	struct lab_end *client = lab ? lab_client(lab, &setup, err) : NULL;
	struct lab_end *server = client ? lab_server(lab, &setup, err) : NULL;
	*tape = (struct tape){.pcap = {.cap = FILE_MAX},
		.end = {{.family = 4, .ip = {10, 0, 0, 1}, .port = 40000},
			{.family = 4, .ip = {10, 0, 0, 2}, .port = 443}},
		.seq = {1000, 5000}};
	bool ok = server && (record_connection(tape, client, server) || error_set(err, "the capture cannot be made")) &&
	          tour_write(tour, "lossy.pcap", buffer_bytes(&tape->pcap), err) &&
	          tour_write(tour, "keys.log", lab_keylog(client), err);
	buffer_clear(&tape->pcap);
	lab_end_free(client);
	lab_end_free(server);
	lab_free(lab);
	return ok;
}

/* What is to be read: all lines but the damaged ones, in order. */
static bool expect(const struct tape *tape, struct buffer *out, unsigned *whole)
{
	char line[LINE + 1];
	for (unsigned i = 0; i < LINES; i++) {
		if (tape->damaged[i])
			continue;
		(*whole)++;
		make_line(i, line);
		if (!buffer_add(out, bytes_str(line)))
			return false;
	}
	return true;
}

/* Lines that begin in `text` as they were written. */
static unsigned lines_in(struct bytes text)
{
	unsigned count = 0;
	for (unsigned i = 0; i < LINES; i++) {
		char line[LINE + 1];
		make_line(i, line);
		count += text.len > 0 && memmem(text.data, text.len, line, LINE - 1) != NULL;
	}
	return count;
}

/* The server's plaintext: the larger of the two files in the folder. */
static bool read_down(const struct tour *tour, struct file_bytes *out, struct error *err)
{
	char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
	if (!tour_path(tour, "plain", folder, err))
		return false;
	DIR *dir = opendir(folder);
	if (!dir)
		return error_set_errno(err, "%s", folder);
	bool ok = true;
	for (const struct dirent *entry; ok && (entry = readdir(dir));) {
		struct file_bytes file = {0};
		if (entry->d_name[0] == '.')
			continue;
		ok = file_join(path, folder, entry->d_name, err) && file_read(path, FILE_MAX, &file, NULL, err);
		if (ok && file.len > out->len) {
			file_bytes_free(out);
			*out = file;
		} else {
			file_bytes_free(&file);
		}
	}
	closedir(dir);
	return ok;
}

/* -1: it is not here, or gives no answer. */
static int ask_tshark(struct tour *tour)
{
	struct error err;
	struct tour_said said;
	int lines = -1;
	if (tour_run_quietly(tour, "tshark -n -r lossy.pcap -o tls.keylog_file:keys.log -q -z follow,tls,ascii,0",
		    &said, &err) &&
		said.code == 0)
		lines = (int)lines_in(buffer_bytes(&said.out));
	tour_said_clear(&said);
	return lines;
}

static void tell(struct tour *tour, const struct tape *tape, unsigned whole, unsigned read, bool exact, int others)
{
	story_row(tour->story, "lossy", "A capture with holes, read");
	story_number(tour->story, "lines", "lines that the server sent", LINES);
	story_number(tour->story, "lost_segments", "TCP segments missing in the capture", tape->lost);
	story_number(tour->story, "whole", "lines whose records are whole in it", whole);
	story_number(tour->story, "read", "lines that Overt reads", read);
	story_flag(tour->story, "exact", "it reads those, and not an octet else", exact);
	if (others >= 0)
		story_number(tour->story, "tshark", "lines that tshark reads", (uint64_t)others);
	else
		story_words(tour->story, "tshark", "lines that tshark reads", "tshark is not installed here");
	story_held(tour->story, exact && read == whole && whole < LINES && others < (int)whole,
		"Each record is sealed on its own, under a number that counts up. Overt finds the next record behind a "
		"hole, tries the numbers that it may have, and its tag says which is right. A reader that only counts "
		"what it saw is lost at the first hole.");
}

bool tour_lossy(struct tour *tour, struct error *err)
{
	static struct tape tape; /* large */
	struct buffer wanted = {.cap = FILE_MAX};
	struct tour_said said = {0};
	struct file_bytes down = {0};
	unsigned whole = 0;
	story_say(tour->story,
		"A server sends 400 lines over TLS 1.3, each in a record of its own. The capture of it, made just now, "
		"lacks every 37th segment, as a busy span port would. The client's key log is beside it.");
	bool ok = make_capture(tour, &tape, err) && (expect(&tape, &wanted, &whole) || error_set(err, "no memory")) &&
	          tour_run(tour, "overt watch -q --keys keys.log --plaintext plain lossy.pcap", &said, err) &&
	          read_down(tour, &down, err);
	if (ok) {
		struct bytes got = bytes_of(down.data, down.len);
		if (said.err.len > 0)
			story_quote(tour->story, buffer_bytes(&said.err));
		tell(tour, &tape, whole, lines_in(got), bytes_equal(got, buffer_bytes(&wanted)), ask_tshark(tour));
	}
	tour_said_clear(&said);
	file_bytes_free(&down);
	buffer_clear(&wanted);
	return ok;
}
