#include "capture_build.h"
#include "watch/capture.h"
#include "watch/inflate.h"
#include "watch/link.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static char folder[64];
static char path[128];

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/overt-capture-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/capture", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void append(struct bytes bytes)
{
	FILE *file = fopen(path, "ab");
	assert_non_null(file);
	if (bytes.len > 0)
		assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
	fclose(file);
}

static void save(struct bytes bytes)
{
	unlink(path);
	append(bytes);
}

static struct capture *open_with(bool follow, int stop_fd)
{
	struct error err = {""};
	struct capture_options options = {.path = path, .follow = follow, .stop_fd = stop_fd};
	struct capture *capture = capture_open(&options, &err);
	assert_string_equal(err.text, "");
	assert_non_null(capture);
	return capture;
}

static struct capture *open_it(void)
{
	return open_with(false, -1);
}

static void note(const struct capture_secrets *secrets, void *context)
{
	struct writer *w = context;
	writer_bytes(w, secrets->text);
	writer_u64(w, secrets->at);
}

#define FRAMES 3000

static uint8_t room[6000000];

/*
 * FRAMES frames of all lengths up to 1500 and then a superframe; with pcapng, secrets stand in the middle and at the
 * end.
 */
static struct bytes a_pcap(void)
{
	static uint8_t frame[262144];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, PCAP_MICRO, 1);
	for (uint32_t i = 0; i < FRAMES; i++) {
		memset(frame, (int)i & 0xff, 1500);
		put_record(&w, true, i, 0, bytes_of(frame, i % 1500), i % 1500);
	}
	put_record(&w, true, FRAMES, 0, bytes_of(frame, sizeof(frame)), sizeof(frame));
	return written(&w);
}

static struct bytes a_pcapng(void)
{
	static uint8_t frame[262144];
	struct writer w = writer_over(room, sizeof(room));
	put_section(&w, true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	for (uint32_t i = 0; i < FRAMES; i++) {
		memset(frame, (int)i & 0xff, 1500);
		put_packet(&w, true, 0, i, bytes_of(frame, i % 1500), i % 1500, BYTES_NONE);
		if (i == FRAMES / 2)
			put_secrets(&w, true, 0x544c534b, bytes_str("ONE 1 1\nTWO 2 2\n"));
	}
	put_packet(&w, true, 0, FRAMES, bytes_of(frame, sizeof(frame)), sizeof(frame), BYTES_NONE);
	put_secrets(&w, true, 0x544c534b, bytes_str("THREE 3 3\n"));
	return written(&w);
}

/* Reads all of it and checks every frame. Returns how many octets of secrets came. */
static size_t read_all(struct capture *capture, enum capture_result until, struct error *err)
{
	size_t secrets = 0;
	uint32_t frames = 0;
	while (true) {
		struct capture_item item;
		enum capture_result result = capture_next(capture, &item, 5000, err);
		if (result == CAPTURE_SECRETS) {
			secrets += item.secrets.text.len;
			continue;
		}
		if (result != CAPTURE_FRAME) {
			assert_int_equal(result, until);
			break;
		}
		assert_int_equal(item.frame.number, frames + 1);
		assert_int_equal(item.frame.bytes.len, frames < FRAMES ? frames % 1500 : 262144);
		for (size_t i = 0; i < item.frame.bytes.len && frames < FRAMES; i++)
			assert_int_equal(item.frame.bytes.data[i], frames & 0xff);
		frames++;
	}
	if (until == CAPTURE_END)
		assert_int_equal(frames, FRAMES + 1);
	return secrets;
}

static void must_read_whole(size_t secrets)
{
	struct error err = {""};
	struct capture *capture = open_it();
	assert_int_equal(read_all(capture, CAPTURE_END, &err), secrets);
	assert_string_equal(err.text, "");
	struct capture_item item;
	assert_int_equal(capture_next(capture, &item, 0, &err), CAPTURE_END);
	/* And again. */
	assert_true(capture_seekable(capture));
	assert_true(capture_rewind(capture, &err));
	assert_int_equal(read_all(capture, CAPTURE_END, &err), secrets);
	assert_int_equal(capture_count(capture).frames, FRAMES + 1);
	capture_free(capture);
}

static void plain_files_are_read_and_read_again(void **state)
{
	(void)state;
	save(a_pcap());
	must_read_whole(0);
	save(a_pcapng());
	must_read_whole(26);
}

static struct bytes gzipped(struct bytes in)
{
	static uint8_t out[8000000];
	z_stream z = {0};
	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in.data;
	z.avail_in = (uInt)in.len;
	z.next_out = out;
	z.avail_out = sizeof(out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	size_t len = z.total_out;
	deflateEnd(&z);
	return bytes_of(out, len);
}

static struct bytes zstandard(struct bytes in)
{
	static uint8_t out[8000000];
	size_t len = ZSTD_compress(out, sizeof(out), in.data, in.len, 1);
	assert_false(ZSTD_isError(len));
	return bytes_of(out, len);
}

/* In two members, cut in the middle of a frame. */
static void save_packed(struct bytes (*pack)(struct bytes in), struct bytes all)
{
	size_t half = all.len / 2 + 1;
	save(pack(bytes_of(room, half)));
	append(pack(bytes_of(room + half, all.len - half)));
}

static void gzip_and_zstd_of_several_members_are_read(void **state)
{
	(void)state;
	save_packed(gzipped, a_pcap());
	append(bytes_of("\0\0\0\0\0\0", 6));
	must_read_whole(0);
	save_packed(zstandard, a_pcap());
	must_read_whole(0);
	save_packed(gzipped, a_pcapng());
	must_read_whole(26);
	save_packed(zstandard, a_pcapng());
	must_read_whole(26);
}

struct fed {
	int fd;
	struct bytes bytes;
	size_t step;
};

static void *feed(void *context)
{
	struct fed *fed = context;
	struct bytes rest = fed->bytes, part;
	while (rest.len > 0 && bytes_take(&rest, rest.len < fed->step ? rest.len : fed->step, &part)) {
		if (write(fed->fd, part.data, part.len) != (ssize_t)part.len)
			break;
	}
	close(fed->fd);
	return NULL;
}

static void standard_input_is_read_from_a_pipe_in_any_pieces(void **state)
{
	(void)state;
	static const size_t steps[] = {1013, 65536};
	int kept = dup(STDIN_FILENO);
	for (size_t i = 0; i < 4; i++) {
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		dup2(ends[0], STDIN_FILENO);
		close(ends[0]);
		struct fed fed = {ends[1], i & 1 ? zstandard(a_pcapng()) : a_pcapng(), steps[i / 2]};
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, feed, &fed), 0);
		struct error err = {""};
		struct capture_options options = {.path = "-", .stop_fd = -1};
		struct capture *capture = capture_open(&options, &err);
		assert_non_null(capture);
		assert_string_equal(capture_name(capture), "standard input");
		assert_false(capture_seekable(capture));
		assert_int_equal(read_all(capture, CAPTURE_END, &err), 26);
		assert_false(capture_rewind(capture, &err));
		pthread_join(thread, NULL);
		capture_free(capture);
	}
	dup2(kept, STDIN_FILENO);
	close(kept);
}

static void a_capture_comes_over_tcp(void **state)
{
	(void)state;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	char where[64];
	snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(address.sin_port));
	struct error err = {""};
	struct capture_options options = {.connect = where, .stop_fd = -1};
	struct capture *capture = capture_open(&options, &err);
	assert_non_null(capture);
	struct fed fed = {accept(listener, NULL, NULL), a_pcap(), 65536};
	/* Nothing has come. */
	struct capture_item item;
	assert_int_equal(capture_next(capture, &item, 0, &err), CAPTURE_WAIT);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, feed, &fed), 0);
	read_all(capture, CAPTURE_END, &err);
	pthread_join(thread, NULL);
	capture_free(capture);
	close(listener);
	assert_null(capture_open(&options, &err));
	assert_non_null(strstr(err.text, "cannot connect"));
	static const char *const wrong[] = {"127.0.0.1", ":80", "::1:80", "host:", "[]:80", ""};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		options.connect = wrong[i];
		assert_null(capture_open(&options, &err));
		assert_non_null(strstr(err.text, "HOST:PORT"));
	}
}

static void a_stop_is_heard_while_waiting_and_while_reading(void **state)
{
	(void)state;
	int stop = eventfd(0, EFD_CLOEXEC);
	save(a_pcap());
	struct error err;
	struct capture_item item;
	struct capture *capture = open_with(false, stop);
	assert_int_equal(capture_next(capture, &item, -1, &err), CAPTURE_FRAME);
	uint64_t one = 1;
	assert_int_equal(write(stop, &one, sizeof(one)), sizeof(one));
	enum capture_result result;
	do
		result = capture_next(capture, &item, -1, &err);
	while (result == CAPTURE_FRAME);
	assert_int_equal(result, CAPTURE_STOPPED);
	assert_false(capture_scan_secrets(capture, note, NULL, &err));
	capture_free(capture);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	/* Read and write, so that opening does not wait for a writer. */
	int hold = open(path, O_RDWR | O_CLOEXEC);
	capture = open_with(false, stop);
	assert_int_equal(capture_next(capture, &item, -1, &err), CAPTURE_STOPPED);
	capture_free(capture);
	close(hold);
	close(stop);
}

static void a_file_that_grows_is_followed(void **state)
{
	(void)state;
	struct bytes all = a_pcapng();
	save(BYTES_NONE);
	struct capture *capture = open_with(true, -1);
	struct error err = {""};
	struct capture_item item;
	size_t frames = 0;
	for (size_t at = 0; at < 20000; at += 500) {
		append(bytes_of(room + at, 500));
		enum capture_result result;
		while ((result = capture_next(capture, &item, 0, &err)) == CAPTURE_FRAME)
			frames++;
		assert_int_equal(result, CAPTURE_WAIT);
	}
	struct fed fed = {-1, bytes_of(room + 20000, all.len - 20000), 100000};
	FILE *file = fopen(path, "ab");
	fed.fd = dup(fileno(file));
	fclose(file);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, feed, &fed), 0);
	/* Waits for the writer, who wakes it. */
	while (frames < FRAMES + 1) {
		enum capture_result result = capture_next(capture, &item, 60000, &err);
		if (result == CAPTURE_FRAME)
			frames++;
		else
			assert_int_equal(result, CAPTURE_SECRETS);
	}
	pthread_join(thread, NULL);
	assert_int_equal(truncate(path, 100), 0);
	enum capture_result result;
	while ((result = capture_next(capture, &item, 0, &err)) == CAPTURE_SECRETS) {
	}
	assert_int_equal(result, CAPTURE_BROKEN);
	assert_non_null(strstr(err.text, "shorter"));
	capture_free(capture);
}

static void secrets_are_found_first_and_read_again_by_their_place(void **state)
{
	(void)state;
	for (unsigned packed = 0; packed < 2; packed++) {
		struct bytes all = a_pcapng();
		save(packed ? gzipped(all) : all);
		struct capture *capture = open_it();
		struct error err = {""};
		uint8_t noted[256];
		struct writer w = writer_over(noted, sizeof(noted));
		assert_true(capture_scan_secrets(capture, note, &w, &err));
		struct bytes found = written(&w), text;
		uint64_t at = 0;
		assert_true(bytes_take(&found, 16, &text) && bytes_u64(&found, &at));
		assert_true(bytes_equal(text, bytes_str("ONE 1 1\nTWO 2 2\n")));
		assert_memory_equal(room + at, text.data, text.len);
		assert_true(bytes_take(&found, 10, &text) && bytes_u64(&found, &at));
		assert_true(bytes_equal(text, bytes_str("THREE 3 3\n")));
		assert_int_equal(found.len, 0);
		uint8_t again[10];
		assert_true(capture_readable_at(capture) == !packed);
		assert_true(capture_read_at(capture, at, again, sizeof(again)) == !packed);
		if (!packed)
			assert_memory_equal(again, "THREE 3 3\n", 10);
		assert_false(capture_read_at(capture, all.len - 5, again, sizeof(again)));
		assert_int_equal(read_all(capture, CAPTURE_END, &err), 26);
		capture_free(capture);
	}
}

/* A long block is hopped over, not read. */
static void scanning_hops_over_long_blocks(void **state)
{
	(void)state;
	static uint8_t superframe[262144];
	struct writer w = writer_over(room, sizeof(room));
	put_section(&w, true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	for (uint32_t i = 0; i < 20; i++)
		put_packet(&w, true, 0, i, bytes_of(superframe, sizeof(superframe)), sizeof(superframe), BYTES_NONE);
	put_secrets(&w, true, 0x544c534b, bytes_str("ONE 1 1\n"));
	save(written(&w));
	struct capture *capture = open_it();
	struct error err = {""};
	uint8_t noted[64];
	w = writer_over(noted, sizeof(noted));
	assert_true(capture_scan_secrets(capture, note, &w, &err));
	assert_true(bytes_starts(written(&w), bytes_str("ONE 1 1\n")));
	capture_free(capture);
}

static void a_cut_file_says_where(void **state)
{
	(void)state;
	struct bytes all = a_pcap();
	struct error err = {""};
	save(bytes_of(room, all.len - 1));
	struct capture *capture = open_it();
	read_all(capture, CAPTURE_CUT, &err);
	char says[128];
	snprintf(says, sizeof(says), "capture: cut off after frame %u, at octet %zu", FRAMES, all.len - 1);
	assert_non_null(strstr(err.text, says));
	struct capture_item item;
	assert_int_equal(capture_next(capture, &item, 0, &err), CAPTURE_END);
	capture_free(capture);
	for (unsigned i = 0; i < 2; i++) {
		struct bytes packed = i ? zstandard(a_pcap()) : gzipped(a_pcap());
		save(bytes_of(packed.data, packed.len - 20));
		capture = open_it();
		read_all(capture, CAPTURE_CUT, &err);
		assert_non_null(
			strstr(err.text, i ? "cut off within its zstd data, after frame " : "within its gzip data"));
		capture_free(capture);
	}
	save(BYTES_NONE);
	capture = open_it();
	read_all(capture, CAPTURE_CUT, &err);
	assert_non_null(strstr(err.text, "empty"));
	capture_free(capture);
}

static void must_refuse(struct bytes octets, const char *says)
{
	struct error err = {""};
	struct capture_item item;
	save(octets);
	struct capture *capture = open_it();
	assert_int_equal(capture_next(capture, &item, -1, &err), CAPTURE_BROKEN);
	if (!strstr(err.text, says) || !strstr(err.text, path))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_int_equal(capture_next(capture, &item, -1, &err), CAPTURE_END);
	capture_free(capture);
}

static void what_is_no_capture_is_named(void **state)
{
	(void)state;
	must_refuse(bytes_str("GET / HTTP/1.1"), "neither pcap nor pcapng: it begins with the octets 47 45 54 20");
	must_refuse(bytes_str("CLIENT_RANDOM 00 00"), "a key log, not a capture");
	must_refuse(bytes_of("\xfd"
			     "7zXZ\0",
			    6),
		"xz -dc");
	must_refuse(gzipped(bytes_str("GET / HTTP/1.1")), "neither pcap nor pcapng");
	must_refuse(bytes_of("\x1f\x8b\x08\xff garbage garbage", 20), "gzip: ");
	must_refuse(bytes_of("\x28\xb5\x2f\xfd\xff garbage garbage", 20), "zstd: ");
	struct error err;
	struct capture_options options = {.path = folder, .stop_fd = -1};
	assert_null(capture_open(&options, &err));
	assert_non_null(strstr(err.text, "a folder"));
	options.path = "/nonexistent/capture";
	assert_null(capture_open(&options, &err));
	assert_non_null(strstr(err.text, "No such file"));
}

static void damage_in_packed_data_comes_after_what_is_good(void **state)
{
	(void)state;
	struct error err = {""};
	struct bytes packed = gzipped(a_pcap());
	save(packed);
	append(bytes_str("garbage"));
	struct capture *capture = open_it();
	struct capture_item item;
	size_t frames = 0;
	enum capture_result result;
	while ((result = capture_next(capture, &item, -1, &err)) == CAPTURE_FRAME)
		frames++;
	assert_int_equal(frames, FRAMES + 1);
	assert_int_equal(result, CAPTURE_BROKEN);
	assert_non_null(strstr(err.text, "gzip: "));
	capture_free(capture);
}

static void a_window_that_does_not_fit_is_refused_with_advice(void **state)
{
	(void)state;
	static uint8_t out[8000000];
	struct bytes all = a_pcap();
	ZSTD_CCtx *context = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
	ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, INFLATE_WINDOW_LOG + 2);
	ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
	ZSTD_inBuffer in = {all.data, all.len, 0};
	ZSTD_outBuffer to = {out, sizeof(out), 0};
	/* Streamed, so that the window is not cut down to the size of the content. */
	ZSTD_compressStream2(context, &to, &in, ZSTD_e_continue);
	assert_int_equal(ZSTD_compressStream2(context, &to, &in, ZSTD_e_end), 0);
	ZSTD_freeCCtx(context);
	must_refuse(bytes_of(out, to.pos), "zstd -dc --long=31");
}

static void known_captures_have_their_known_frames(void **state)
{
	(void)state;
	/* As capinfos counts them, and the TCP and UDP packets among them as tshark does. */
	static const struct {
		const char *name;
		unsigned frames, packets;
		bool secrets;
	} known[] = {
		{"chrome-1250-tls-x25519-kyber.pcap", 15, 15, false},
		{"dhe1.pcapng.gz", 16, 16, false},
		{"hrr.pcap", 19, 19, false},
		{"http2-data-reassembly.pcap", 44, 44, false},
		{"tls-fragmented-handshakes.pcap.gz", 589, 589, false},
		{"tls12-decryption.pcap", 16, 16, false},
		{"tls12-dsb.pcapng", 17, 17, true},
		{"tls13-ech.pcap", 69, 69, false},
		{"tls13-rfc8446.pcap", 13, 13, false},
	};
	if (access(CAPTURES, R_OK) != 0)
		skip();
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char name[512];
		snprintf(name, sizeof(name), "%s/%s", CAPTURES, known[i].name);
		struct error err = {""};
		struct capture_options options = {.path = name, .stop_fd = -1};
		struct capture *capture = capture_open(&options, &err);
		assert_non_null(capture);
		struct capture_item item;
		struct link_counts counts = {{0}, {0}};
		bool secrets = false;
		enum capture_result result;
		while ((result = capture_next(capture, &item, -1, &err)) <= CAPTURE_SECRETS) {
			struct packet packet;
			if (result == CAPTURE_FRAME)
				link_count(&counts, link_decode(&item.frame, NULL, &packet), &item.frame);
			secrets = secrets || result == CAPTURE_SECRETS;
		}
		assert_int_equal(result, CAPTURE_END);
		assert_int_equal(capture_count(capture).frames, known[i].frames);
		assert_int_equal(counts.frames[LINK_PACKET], known[i].packets);
		assert_true(secrets == known[i].secrets);
		capture_free(capture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_files_are_read_and_read_again),
		cmocka_unit_test(gzip_and_zstd_of_several_members_are_read),
		cmocka_unit_test(standard_input_is_read_from_a_pipe_in_any_pieces),
		cmocka_unit_test(a_capture_comes_over_tcp),
		cmocka_unit_test(a_stop_is_heard_while_waiting_and_while_reading),
		cmocka_unit_test(a_file_that_grows_is_followed),
		cmocka_unit_test(secrets_are_found_first_and_read_again_by_their_place),
		cmocka_unit_test(scanning_hops_over_long_blocks),
		cmocka_unit_test(a_cut_file_says_where),
		cmocka_unit_test(what_is_no_capture_is_named),
		cmocka_unit_test(damage_in_packed_data_comes_after_what_is_good),
		cmocka_unit_test(a_window_that_does_not_fit_is_refused_with_advice),
		cmocka_unit_test(known_captures_have_their_known_frames),
	};
	return cmocka_run_group_tests_name("watch/capture", tests, make_folder, remove_folder);
}
