#include "sink/objects.h"

#include "flows.h"
#include "sink/feed.h"
#include "sink/objects_file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* Names. */

static void named(const char *host, const char *path, const char *type, const char *name)
{
	char out[OBJECTS_NAME_MAX + 1];
	objects_name(&(struct objects_named){bytes_str(host), bytes_str(path), bytes_str(type), false, 0}, out);
	assert_string_equal(out, name);
}

static void names_are_made_of_host_path_and_type(void **state)
{
	(void)state;
	named("www.example.org", "/images/logo.png", "image/png", "www.example.org_images_logo.png");
	named("www.example.org", "/", "text/html; charset=utf-8", "www.example.org_index.html");
	named("www.example.org", "/api/v1/users?token=secret.txt", "application/json",
		"www.example.org_api_v1_users.json");
	named("www.example.org", "/feed", "application/atom+xml", "www.example.org_feed.xml");
	named("", "", "", "unknown_index.bin");
	named("2001:db8::1", "/a.tar.gz", "application/x-thing", "2001_db8__1_a.tar.gz");
	char out[OBJECTS_NAME_MAX + 1];
	objects_name(&(struct objects_named){bytes_str("h"), bytes_str("/log.in"), BYTES_NONE, true, 12}, out);
	assert_string_equal(out, "h_log-request~12.in");
}

static void no_name_leads_out_of_the_directory_or_hides(void **state)
{
	(void)state;
	named("..", "/../../etc/passwd", "", "_._.._.._etc_passwd.bin");
	named("-rf", "/.bashrc", "", "_rf_.bashrc.bin");
	named("a/../b", "/%2e%2e/\x01\n\xff.sh", "", "a_.._b__2e_2e____.sh");
	/* Whatever it is made of. */
	uint32_t seed = 7;
	for (unsigned run = 0; run < 20000; run++) {
		uint8_t texts[3][400];
		size_t len[3];
		for (unsigned i = 0; i < 3; i++) {
			seed = seed * 1664525 + 1013904223;
			len[i] = (seed >> 8) % (run % 2 ? 8 : sizeof(texts[0]));
			for (size_t k = 0; k < len[i]; k++) {
				seed = seed * 1664525 + 1013904223;
				texts[i][k] =
					seed >> 31 ? (uint8_t) "./-~?#%a"[(seed >> 8) % 8] : (uint8_t)(seed >> 16);
			}
		}
		char out[OBJECTS_NAME_MAX + 1];
		objects_name(&(struct objects_named){bytes_of(texts[0], len[0]), bytes_of(texts[1], len[1]),
				     bytes_of(texts[2], len[2]), run % 3 == 0, run % 5 == 0 ? UINT64_MAX : 0},
			out);
		assert_true(strlen(out) > 0 && strlen(out) <= OBJECTS_NAME_MAX);
		assert_true(out[0] != '.' && out[0] != '-');
		assert_int_equal(
			strspn(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~"), strlen(out));
	}
}

static void a_long_name_keeps_its_beginning_its_end_and_its_extension(void **state)
{
	(void)state;
	static const char first[] = {'/', 'f', 'i', 'r', 's', 't'};
	static const char last[] = {'l', 'a', 's', 't', '.', 'j', 'p', 'e', 'g', '?', 'q', '=', '1'};
	char path[3000], out[OBJECTS_NAME_MAX + 1];
	memset(path, 'a', sizeof(path));
	memcpy(path, first, sizeof(first));
	memcpy(path + sizeof(path) - sizeof(last), last, sizeof(last));
	objects_name(&(struct objects_named){bytes_str("h"), bytes_of(path, sizeof(path)), BYTES_NONE, false, 0}, out);
	assert_true(strlen(out) < 100);
	assert_int_equal(strncmp(out, "h_firsta", 8), 0);
	assert_string_equal(out + strlen(out) - 10, "alast.jpeg");
}

/* Through the decoders. */

struct bed {
	struct feed *feed;
	struct feed_source source;
	struct sink *sink;
	char folder[32];
	uint64_t offset[3][2];
};

static struct bed open_bed(const char *name)
{
	struct bed b = {0};
	struct error err;
	snprintf(b.folder, sizeof(b.folder), "%s", name);
	b.sink = objects_new(file_in(name), false, &err);
	assert_non_null(b.sink);
	b.feed = feed_new(&(struct feed_options){0}, &err);
	assert_non_null(b.feed);
	assert_true(feed_add_sink(b.feed, b.sink));
	return b;
}

static void begin_flow(struct bed *b, uint64_t id)
{
	if (!b->source.feed)
		feed_source_begin(&b->source, b->feed, 1);
	b->offset[id][0] = b->offset[id][1] = 0;
	struct event open = {
		.kind = EVENT_OPEN, .flow = id, .time_ns = T0, .open = {.host = bytes_str("fallback.example")}};
	feed_event(&b->source, &open);
}

static void say(struct bed *b, uint64_t id, enum flow_direction way, struct bytes octets)
{
	struct feed_flow *flow = feed_find(&b->source, id);
	assert_non_null(flow);
	assert_true(feed_data(flow, &(struct feed_piece){way, b->offset[id][way], 0, octets, T0}));
	b->offset[id][way] += octets.len;
}

static void lose(struct bed *b, uint64_t id, enum flow_direction way, uint64_t octets)
{
	struct event gap = {
		.kind = EVENT_GAP, .flow = id, .time_ns = T0, .gap = {way, b->offset[id][way], octets, GAP_RING_FULL}};
	feed_event(&b->source, &gap);
	b->offset[id][way] += octets;
}

static void end_flow(struct bed *b, uint64_t id)
{
	struct event close = {.kind = EVENT_CLOSE, .flow = id, .time_ns = T0};
	feed_event(&b->source, &close);
}

static void close_bed(struct bed *b)
{
	feed_source_end(&b->source);
	feed_close(b->feed);
}

#define UP(b, text)   say(b, 1, FLOW_UP, bytes_str(text))
#define DOWN(b, text) say(b, 1, FLOW_DOWN, bytes_str(text))

static const char *path_of(const struct bed *b, const char *name)
{
	char joined[128];
	snprintf(joined, sizeof(joined), "%s/%s", b->folder, name);
	return file_in(joined);
}

static void holds(const struct bed *b, const char *name, struct bytes octets)
{
	size_t len;
	char *all = slurp(path_of(b, name), &len);
	assert_int_equal(len, octets.len);
	assert_memory_equal(all, octets.data, len);
	free(all);
}

static void listed(const struct bed *b, const char *text)
{
	size_t len;
	char *all = slurp(path_of(b, "index.jsonl"), &len);
	if (!strstr(all, text))
		fail_msg("%s\nis not in\n%s", text, all);
	free(all);
}

static unsigned files_in(const struct bed *b)
{
	unsigned count = 0;
	DIR *directory = opendir(file_in(b->folder));
	assert_non_null(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static void bodies_of_requests_and_responses_become_files(void **state)
{
	(void)state;
	struct bed b = open_bed("both");
	begin_flow(&b, 1);
	UP(&b, "POST /login?password=x HTTP/1.1\r\nHost: api.example.org:8443\r\nContent-Type: application/json\r\n"
	       "Content-Length: 7\r\n\r\n{\"a\":1}");
	DOWN(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n");
	DOWN(&b, "5\r\n<html\r\n1\r\n>\r\n0\r\n\r\n");
	UP(&b, "GET /nothing HTTP/1.1\r\nHost: api.example.org\r\n\r\n");
	DOWN(&b, "HTTP/1.1 204 No Content\r\n\r\n");
	end_flow(&b, 1);
	close_bed(&b);
	holds(&b, "api.example.org_login-request.json", bytes_str("{\"a\":1}"));
	holds(&b, "api.example.org_login.html", bytes_str("<html>"));
	assert_int_equal(files_in(&b), 3);
	listed(&b, "\"stream\":1,\"host\":\"api.example.org\",\"method\":\"POST\",\"path\":\"/login?password=***\","
		   "\"status\":200,\"body\":\"request\",\"type\":\"application/json\",\"octets\":7,\"lost_octets\":0,"
		   "\"file_octets\":7,\"file\":\"api.example.org_login-request.json\",\"complete\":true}");
	listed(&b, "\"body\":\"response\",\"type\":\"text/html\",\"octets\":6");
	struct stat st;
	assert_int_equal(stat(path_of(&b, "api.example.org_login.html"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(path_of(&b, "index.jsonl"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(file_in(b.folder), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static size_t gzip(struct bytes in, uint8_t *out, size_t cap)
{
	z_stream z = {0};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in.data;
	z.avail_in = (uInt)in.len;
	z.next_out = out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void head(struct bed *b, const char *path, const char *coding, size_t len)
{
	char text[300];
	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
	UP(b, text);
	snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
		coding, len);
	DOWN(b, text);
}

static void content_codings_come_off(void **state)
{
	(void)state;
	static uint8_t text[100000], packed[120000];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)("some text "[i % 10] + i / 5000);
	struct bytes all = bytes_of(text, sizeof(text));
	size_t len = gzip(all, packed, sizeof(packed));
	struct bed b = open_bed("coded");
	begin_flow(&b, 1);
	head(&b, "/whole", "gzip", len);
	for (size_t at = 0; at < len; at += 100)
		say(&b, 1, FLOW_DOWN, bytes_of(packed + at, len - at < 100 ? len - at : 100));
	head(&b, "/unknown", "compress", 5);
	DOWN(&b, "12345");
	head(&b, "/lie", "gzip", 11);
	DOWN(&b, "no gzip at ");
	packed[len / 2] ^= 0xff;
	head(&b, "/altered", "gzip", len);
	say(&b, 1, FLOW_DOWN, bytes_of(packed, len / 3));
	say(&b, 1, FLOW_DOWN, bytes_of(packed + len / 3, len - len / 3));
	head(&b, "/cut", "gzip", 100);
	say(&b, 1, FLOW_DOWN, bytes_of(packed, 100));
	end_flow(&b, 1);
	close_bed(&b);
	holds(&b, "h_whole.txt", all);
	listed(&b, "\"coding\":\"gzip\",\"decoded\":true,");
	holds(&b, "h_unknown.txt", bytes_str("12345"));
	listed(&b, "\"coding\":\"compress\",\"decoded\":false,\"octets\":5");
	holds(&b, "h_lie.txt", bytes_str("no gzip at "));
	listed(&b, "\"coding\":\"gzip\",\"decoded\":false,\"octets\":11");
	assert_int_equal(access(path_of(&b, "h_altered.txt.incomplete"), F_OK), 0);
	listed(&b, "\"complete\":false,\"why\":\"bad-coding\"");
	assert_int_equal(access(path_of(&b, "h_cut.txt.incomplete"), F_OK), 0);
	listed(&b, "\"complete\":false,\"why\":\"cut\"");
}

static void what_is_not_whole_is_marked(void **state)
{
	(void)state;
	struct bed b = open_bed("holes");
	begin_flow(&b, 1);
	UP(&b, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
	DOWN(&b, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234");
	lose(&b, 1, FLOW_DOWN, 10);
	DOWN(&b, "56789");
	UP(&b, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
	DOWN(&b, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nonly");
	end_flow(&b, 1);
	close_bed(&b);
	holds(&b, "h_a.bin.incomplete", bytes_str("0123456789"));
	listed(&b, "\"octets\":10,\"lost_octets\":10,\"file_octets\":10,\"file\":\"h_a.bin.incomplete\",\"complete\":"
		   "false,"
		   "\"why\":\"gap\"}");
	holds(&b, "h_b.bin.incomplete", bytes_str("only"));
	listed(&b, "\"why\":\"reset\"");
}

static void the_same_name_gets_a_number_and_nothing_is_overwritten(void **state)
{
	(void)state;
	struct bed b = {0};
	for (unsigned run = 0; run < 2; run++) {
		b = open_bed("same");
		begin_flow(&b, 1);
		for (unsigned i = 0; i < 30; i++) {
			char text[100];
			UP(&b, "GET /x.js?a HTTP/1.1\r\nHost: h\r\n\r\n");
			snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%02u-%02u", run, i);
			DOWN(&b, text);
		}
		end_flow(&b, 1);
		assert_int_equal(b.sink->counts.lost_records, 0);
		close_bed(&b);
	}
	holds(&b, "h_x.js", bytes_str("00-00"));
	holds(&b, "h_x~2.js", bytes_str("00-01"));
	assert_int_equal(files_in(&b), 61);
}

static void a_link_that_stands_there_is_not_followed(void **state)
{
	(void)state;
	struct bed b = open_bed("link");
	assert_int_equal(symlink("../linked-to", path_of(&b, "h_l.js")), 0);
	begin_flow(&b, 1);
	UP(&b, "GET /l.js HTTP/1.1\r\nHost: h\r\n\r\n");
	DOWN(&b, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	end_flow(&b, 1);
	close_bed(&b);
	assert_int_equal(access(file_in("linked-to"), F_OK), -1);
	holds(&b, "h_l~2.js", bytes_str("x"));
}

static void more_bodies_than_files_may_be_open_lose_nothing(void **state)
{
	(void)state;
	enum { FILES = FILEPOOL_MAX + 50 };
	static struct pooled files[FILES];
	struct objects_files all = {0};
	struct error err;
	struct bed b = {.folder = "many"};
	assert_true(filepool_open(&all.pool, file_in("many"), &err));
	for (unsigned i = 0; i < FILES; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/%u.txt", i);
		assert_true(objects_file_make(
			&all, &files[i], &(struct objects_named){.host = bytes_str("h"), .path = bytes_str(path)}));
	}
	for (unsigned part = 0; part < 3; part++) {
		for (unsigned i = 0; i < FILES; i++)
			assert_true(pooled_write(&all.pool, &files[i], bytes_of(&"abc"[part], 1)));
		assert_true(all.pool.open <= FILEPOOL_MAX);
	}
	for (unsigned i = 0; i < FILES; i++)
		objects_file_end(&all, &files[i], i % 2 == 0);
	assert_int_equal(all.pool.open, 0);
	filepool_close(&all.pool);
	for (unsigned i = 0; i < FILES; i++) {
		char name[64];
		snprintf(name, sizeof(name), "h_%u.txt%s", i, i % 2 ? ".incomplete" : "");
		holds(&b, name, bytes_str("abc"));
	}
}

static void exchanges_over_the_cap_are_counted(void **state)
{
	(void)state;
	struct error err;
	struct sink *sink = objects_new(file_in("cap"), false, &err);
	assert_non_null(sink);
	struct flow *flow = flow_opened(sink, 1);
	for (unsigned i = 1; i <= OBJECTS_MAX + 3; i++) {
		struct message_request request = {.flow = 1, .stream = i, .method = bytes_str("GET")};
		sink->ops->request(sink, flow, &request);
	}
	assert_int_equal(sink->counts.capped, 3);
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
}

static void a_directory_that_cannot_be_made_is_said(void **state)
{
	(void)state;
	struct error err;
	assert_null(objects_new("/nowhere/at/all", false, &err));
	assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_made_of_host_path_and_type),
		cmocka_unit_test(no_name_leads_out_of_the_directory_or_hides),
		cmocka_unit_test(a_long_name_keeps_its_beginning_its_end_and_its_extension),
		cmocka_unit_test(bodies_of_requests_and_responses_become_files),
		cmocka_unit_test(content_codings_come_off),
		cmocka_unit_test(what_is_not_whole_is_marked),
		cmocka_unit_test(the_same_name_gets_a_number_and_nothing_is_overwritten),
		cmocka_unit_test(a_link_that_stands_there_is_not_followed),
		cmocka_unit_test(more_bodies_than_files_may_be_open_lose_nothing),
		cmocka_unit_test(exchanges_over_the_cap_are_counted),
		cmocka_unit_test(a_directory_that_cannot_be_made_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
