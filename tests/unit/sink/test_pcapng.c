#include "sink/pcapng.h"

#include "flows.h"
#include "sink/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool have_tshark(void)
{
	return system("command -v tshark >/dev/null 2>&1") == 0;
}

/* What tshark prints, for the given arguments. The text is static. */
static const char *tshark(const char *path, const char *arguments)
{
	static char output[65536];
	char command[1024];
	snprintf(command, sizeof(command), "tshark -r '%s' %s 2>&1 | grep -v 'Running as user'", path, arguments);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
	pclose(pipe);
	return output;
}

static struct sink *capture(const char *path)
{
	struct error err;
	struct sink *sink = pcapng_new(path, &err);
	assert_non_null(sink);
	return sink;
}

static void speak(struct sink *sink, struct flow *flow, const char *alpn)
{
	struct event tls = {.kind = EVENT_TLS, .flow = flow->id, .tls = {.leg = 2, .alpn = bytes_str(alpn)}};
	give(sink, flow, &tls);
}

#define H1_REQUEST  "GET /one HTTP/1.1\r\nHost: www.example.org\r\n\r\n"
#define H1_RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void tshark_reads_http1_with_addresses_comment_and_sound_checksums(void **state)
{
	(void)state;
	if (!have_tshark())
		skip();
	const char *path = file_in("h1.pcapng");
	struct sink *sink = capture(path);
	struct flow *flow = flow_opened(sink, 7);
	speak(sink, flow, "http/1.1");
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "");
	flow_data(sink, flow, FLOW_UP, 0, H1_REQUEST);
	flow_data(sink, flow, FLOW_DOWN, 0, H1_RESPONSE);
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
	assert_string_equal(
		tshark(path, "-Y http -T fields -e ip.src -e tcp.srcport -e http.request.uri -e http.response.code"),
		"192.0.2.1\t40000\t/one\t\n198.51.100.7\t80\t\t200\n");
	assert_string_equal(tshark(path, "-o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -Y "
					 "'tcp.checksum.status != 1 || ip.checksum.status != 1 || tcp.analysis.flags'"),
		"");
	assert_string_equal(tshark(path, "-T fields -e tcp.flags.str"),
		"··········S·\n·······A··S·\n·······A····\n·······AP···\n·······AP···\n·······A···F\n·······A···F\n");
	assert_non_null(strstr(tshark(path, "-Y tcp.flags.syn==1 -T fields -e frame.comment"),
		"flow 1.7; server 198.51.100.7:443; host www.example.org; ALPN http/1.1; verdict inspect, rule "
		"default"));
	assert_string_equal(tshark(path, "-c 1 -T fields -e frame.time_epoch"), "1795302282.125456789\n");
}

static void tshark_reads_http2(void **state)
{
	(void)state;
	if (!have_tshark())
		skip();
	/* Preface, SETTINGS, HEADERS (GET, https, /, authority a.example); SETTINGS, HEADERS (200), DATA "ok". */
	static const uint8_t up[] =
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\016\1\5\0\0\0\1\x82\x87\x84\x41\x09"
		"a.example";
	static const uint8_t down[] = "\0\0\0\4\0\0\0\0\0\0\0\1\1\4\0\0\0\1\x88\0\0\2\0\1\0\0\0\1ok";
	const char *path = file_in("h2.pcapng");
	struct sink *sink = capture(path);
	struct flow *flow = flow_opened(sink, 8);
	speak(sink, flow, "h2");
	struct event data = {.kind = EVENT_DATA, .flow = 8, .data = {FLOW_UP, 0, bytes_of(up, sizeof(up) - 1)}};
	give(sink, flow, &data);
	data.data.direction = FLOW_DOWN;
	data.data.bytes = bytes_of(down, sizeof(down) - 1);
	give(sink, flow, &data);
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
	assert_string_equal(
		tshark(path, "-Y http2.header.name -T fields -e http2.headers.authority -e http2.headers.status"),
		"a.example\t\n\t200\n");
}

static void lost_plaintext_is_a_missing_segment(void **state)
{
	(void)state;
	if (!have_tshark())
		skip();
	const char *path = file_in("gap.pcapng");
	struct sink *sink = capture(path);
	struct flow *flow = flow_opened(sink, 9);
	flow_data(sink, flow, FLOW_DOWN, 0, "0123456789");
	flow_data(sink, flow, FLOW_DOWN, 110, "abc");
	struct event gap = {.kind = EVENT_GAP, .flow = 9, .gap = {FLOW_DOWN, 113, 50, GAP_RING_FULL}};
	give(sink, flow, &gap);
	struct event half = {.kind = EVENT_HALF, .flow = 9, .half = {FLOW_DOWN}};
	give(sink, flow, &half);
	flow_closed(sink, flow, ENDING_RESET, "");
	sink->ops->close(sink);
	assert_string_equal(tshark(path, "-Y 'tcp.len > 0' -T fields -e tcp.seq"), "1\n111\n");
	assert_string_equal(tshark(path, "-Y tcp.analysis.lost_segment -T fields -e tcp.seq"), "111\n164\n");
	assert_string_equal(tshark(path, "-Y tcp.flags.reset==1 -T fields -e tcp.srcport"), "40000\n");
}

static void ipv6_and_big_chunks_and_a_port_used_twice(void **state)
{
	(void)state;
	if (!have_tshark())
		skip();
	static char big[EVENT_DATA_MAX + 1];
	memset(big, 'x', EVENT_DATA_MAX);
	const char *path = file_in("v6.pcapng");
	struct sink *sink = capture(path);
	for (uint64_t id = 1; id <= 2; id++) {
		struct flow *flow = flow_opened(sink, id);
		flow->server = (struct flow_address){.family = 6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}, .port = 993};
		flow_data(sink, flow, FLOW_UP, 0, big);
		flow_data(sink, flow, FLOW_UP, EVENT_DATA_MAX, "end");
		flow_closed(sink, flow, ENDING_DONE, "");
	}
	sink->ops->close(sink);
	assert_string_equal(
		tshark(path, "-Y 'tcp.len > 0' -T fields -e ipv6.src -e tcp.dstport -e tcp.stream -e tcp.len"),
		"::ffff:192.0.2.1\t143\t0\t65475\n::ffff:192.0.2.1\t143\t0\t61\n::ffff:192.0.2.1\t143\t0\t3\n"
		"::ffff:192.0.2.1\t143\t1\t65475\n::ffff:192.0.2.1\t143\t1\t61\n::ffff:192.0.2.1\t143\t1\t3\n");
	assert_string_equal(tshark(path, "-o tcp.check_checksum:TRUE -Y 'tcp.checksum.status != 1'"), "");
}

static void the_file_can_be_read_after_a_sigkill(void **state)
{
	(void)state;
	if (!have_tshark())
		skip();
	const char *path = file_in("killed.pcapng");
	pid_t child = fork();
	if (child == 0) {
		struct sink *sink = capture(path);
		struct flow *flow = flow_opened(sink, 7);
		flow_data(sink, flow, FLOW_UP, 0, H1_REQUEST);
		sink->ops->flush(sink);
		flow_data(sink, flow, FLOW_DOWN, 0, "never written");
		raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_string_equal(tshark(path, "-Y http -T fields -e http.host"), "www.example.org\n");
	assert_null(strstr(tshark(path, ""), "cut short"));
}

static void reopened_elsewhere_it_begins_anew(void **state)
{
	(void)state;
	if (!have_tshark())
		skip();
	const char *path = file_in("moved.pcapng");
	struct error err;
	struct sink *sink = capture(path);
	assert_int_equal(rename(path, file_in("moved.1")), 0);
	assert_true(sink->ops->reopen(sink, &err));
	struct flow *flow = flow_opened(sink, 7);
	flow_data(sink, flow, FLOW_UP, 0, H1_REQUEST);
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
	assert_string_equal(tshark(path, "-Y http -T fields -e http.host"), "www.example.org\n");
}

/* The example of RFC 1071, 3 is too short for a packet: an IPv4 header worked out by hand instead. */
static void an_ipv4_header_has_the_checksum_of_the_book(void **state)
{
	(void)state;
	struct packet packet = {.from = {4, {192, 0, 2, 1}, 1}, .to = {4, {198, 51, 100, 7}, 2}, .flags = PACKET_SYN};
	uint8_t head[PACKET_HEAD_MAX];
	assert_int_equal(packet_head(&packet, head), 40);
	uint32_t sum = 0;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)head[i] << 8 | head[i + 1];
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	assert_int_equal(head[10] << 8 | head[11], 0x4e94);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tshark_reads_http1_with_addresses_comment_and_sound_checksums),
		cmocka_unit_test(tshark_reads_http2),
		cmocka_unit_test(lost_plaintext_is_a_missing_segment),
		cmocka_unit_test(ipv6_and_big_chunks_and_a_port_used_twice),
		cmocka_unit_test(the_file_can_be_read_after_a_sigkill),
		cmocka_unit_test(reopened_elsewhere_it_begins_anew),
		cmocka_unit_test(an_ipv4_header_has_the_checksum_of_the_book),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
