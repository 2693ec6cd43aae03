/* In a network of its own, where nothing else is sent. Skipped where none can be made. */
#include "capture_build.h"
#include "watch/link.h"
#include "watch/live.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool apart;

static bool set_loopback(short flags)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = flags};
	bool set = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	close(fd);
	return set;
}

/* All of this program's threads are one here: only this one moves. */
static int go_apart(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return 0;
	apart = set_loopback(IFF_UP | IFF_RUNNING);
	return 0;
}

static struct live *open_live(const char *interface, const char *filter, int fanout)
{
	struct error err = {""};
	struct live_options options = {.interface = interface,
		.filter = filter,
		.fanout = fanout,
		.promiscuous = true,
		.stop_fd = -1,
		.ring = (size_t)2 * 1024 * 1024};
	struct live *live = live_open(&options, &err);
	assert_string_equal(err.text, "");
	assert_non_null(live);
	return live;
}

static int udp_socket(struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(*address);
	assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
	return fd;
}

static void send_to(int fd, const struct sockaddr_in *to, struct bytes payload)
{
	assert_int_equal(
		sendto(fd, payload.data, payload.len, 0, (const struct sockaddr *)to, sizeof(*to)), payload.len);
}

static struct packet must_packet(struct live *live, uint16_t link)
{
	struct frame frame;
	struct error err;
	struct packet packet;
	assert_int_equal(live_next(live, &frame, 10000, &err), CAPTURE_FRAME);
	assert_int_equal(frame.link, link);
	assert_true(frame.time_ns > UINT64_C(1600000000000000000));
	assert_int_equal(frame.original, frame.bytes.len);
	assert_int_equal(link_decode(&frame, NULL, &packet), LINK_PACKET);
	return packet;
}

static void must_be_quiet(struct live *live)
{
	struct frame frame;
	struct error err;
	assert_int_equal(live_next(live, &frame, 0, &err), CAPTURE_WAIT);
}

static void each_frame_comes_once(void **state)
{
	(void)state;
	if (!apart)
		skip();
	struct sockaddr_in a_is, b_is;
	int a = udp_socket(&a_is), b = udp_socket(&b_is);
	static const char *const interfaces[] = {"lo", "any"};
	for (size_t i = 0; i < 2; i++) {
		struct live *live = open_live(interfaces[i], NULL, -1);
		must_be_quiet(live);
		send_to(a, &b_is, bytes_str("one"));
		send_to(b, &a_is, bytes_str("two"));
		uint16_t link = i == 0 ? LINKTYPE_ETHERNET : LINKTYPE_RAW;
		struct packet packet = must_packet(live, link);
		assert_true(bytes_equal(packet.payload, bytes_str("one")));
		assert_int_equal(packet.destination.port, ntohs(b_is.sin_port));
		assert_int_equal(packet.number, 1);
		packet = must_packet(live, link);
		assert_true(bytes_equal(packet.payload, bytes_str("two")));
		must_be_quiet(live);
		struct live_counts counts = live_count(live);
		assert_int_equal(counts.frames, 2);
		assert_int_equal(counts.repeated, 2);
		assert_int_equal(counts.dropped, 0);
		assert_int_equal(counts.arrived, 4);
		live_free(live);
	}
	close(a);
	close(b);
}

static void a_filter_lets_through_what_it_says(void **state)
{
	(void)state;
	if (!apart)
		skip();
	struct sockaddr_in a_is, b_is;
	int a = udp_socket(&a_is), b = udp_socket(&b_is);
	char filter[64];
	snprintf(filter, sizeof(filter), "udp dst port %u", ntohs(b_is.sin_port));
	static const char *const interfaces[] = {"lo", "any"};
	for (size_t i = 0; i < 2; i++) {
		struct live *live = open_live(interfaces[i], filter, -1);
		send_to(a, &a_is, bytes_str("not this"));
		send_to(a, &b_is, bytes_str("this"));
		assert_true(bytes_equal(
			must_packet(live, i == 0 ? LINKTYPE_ETHERNET : LINKTYPE_RAW).payload, bytes_str("this")));
		must_be_quiet(live);
		live_free(live);
	}
	struct error err;
	struct live_options options = {.interface = "lo", .filter = "tcp port port", .fanout = -1, .stop_fd = -1};
	assert_null(live_open(&options, &err));
	assert_non_null(strstr(err.text, "filter 'tcp port port': "));
	assert_non_null(strstr(err.text, "syntax error"));
	close(a);
	close(b);
}

static void *send_much(void *context)
{
	static uint8_t much[400000];
	int fd = *(int *)context;
	assert_int_equal(send(fd, much, sizeof(much), 0), sizeof(much));
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void superframes_come_whole(void **state)
{
	(void)state;
	if (!apart)
		skip();
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	struct live *live = open_live("lo", "tcp", -1);
	assert_int_equal(connect(client, (struct sockaddr *)&address, len), 0);
	int server = accept(listener, NULL, NULL);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, send_much, &client), 0);
	static uint8_t sink[65536];
	while (recv(server, sink, sizeof(sink), 0) > 0) {
	}
	pthread_join(thread, NULL);
	size_t payload = 0, longest = 0;
	bool ended = false;
	while (!ended) {
		struct packet packet = must_packet(live, LINKTYPE_ETHERNET);
		assert_int_equal(packet.cut, 0);
		payload += packet.payload.len;
		longest = packet.payload.len > longest ? packet.payload.len : longest;
		ended = packet.flags & PACKET_FIN;
	}
	/* On a machine that is busy some of it is sent twice. */
	assert_true(payload >= 400000);
	assert_true(longest > 10000);
	live_free(live);
	close(server);
	close(client);
	close(listener);
}

static void what_the_ring_cannot_hold_is_counted(void **state)
{
	(void)state;
	if (!apart)
		skip();
	static uint8_t payload[20000];
	struct sockaddr_in a_is;
	int a = udp_socket(&a_is);
	struct live *live = open_live("lo", NULL, -1);
	for (unsigned i = 0; i < 500; i++)
		send_to(a, &a_is, bytes_of(payload, sizeof(payload)));
	struct frame frame;
	struct error err;
	struct live_counts counts;
	/* Leaving and arriving, everything is seen or counted. */
	do {
		(void)!live_next(live, &frame, 1000, &err);
		counts = live_count(live);
	} while (counts.frames + counts.repeated + counts.dropped < 1000);
	assert_int_equal(counts.frames + counts.repeated + counts.dropped, 1000);
	assert_true(counts.frames > 0);
	assert_true(counts.dropped > 0);
	assert_true(counts.freezes > 0);
	/* And it goes on. */
	send_to(a, &a_is, bytes_str("after"));
	assert_true(bytes_equal(must_packet(live, LINKTYPE_ETHERNET).payload, bytes_str("after")));
	live_free(live);
	close(a);
}

static void a_fanout_group_keeps_connections_together(void **state)
{
	(void)state;
	if (!apart)
		skip();
	struct live *lives[2] = {open_live("lo", NULL, 77), open_live("lo", NULL, 77)};
	struct sockaddr_in server_is;
	int server = udp_socket(&server_is);
	size_t seen[2] = {0, 0};
	for (unsigned i = 0; i < 64; i++) {
		struct sockaddr_in client_is;
		int client = udp_socket(&client_is);
		send_to(client, &server_is, bytes_str("up"));
		send_to(server, &client_is, bytes_str("down"));
		close(client);
	}
	static uint8_t directions[65536][2];
	for (unsigned i = 0; seen[0] + seen[1] < 128; i ^= 1) {
		struct frame frame;
		struct error err;
		while (live_next(lives[i], &frame, 20, &err) == CAPTURE_FRAME) {
			struct packet packet;
			assert_int_equal(link_decode(&frame, NULL, &packet), LINK_PACKET);
			bool up = packet.destination.port == ntohs(server_is.sin_port);
			directions[up ? packet.source.port : packet.destination.port][i]++;
			seen[i]++;
		}
	}
	assert_int_equal(seen[0] + seen[1], 128);
	assert_true(seen[0] > 0 && seen[1] > 0);
	for (size_t port = 0; port < 65536; port++)
		assert_true(directions[port][0] == 0 || directions[port][1] == 0);
	live_free(lives[0]);
	live_free(lives[1]);
	close(server);
}

static void a_stop_ends_waiting(void **state)
{
	(void)state;
	if (!apart)
		skip();
	struct error err;
	struct live_options options = {.interface = "lo", .fanout = -1, .stop_fd = eventfd(1, EFD_CLOEXEC)};
	struct live *live = live_open(&options, &err);
	assert_non_null(live);
	struct frame frame;
	assert_int_equal(live_next(live, &frame, -1, &err), CAPTURE_STOPPED);
	live_free(live);
	close(options.stop_fd);
}

static void a_tag_that_the_kernel_took_out_is_given_with_the_frame(void **state)
{
	(void)state;
	if (!apart)
		skip();
	struct live *live = open_live("lo", "udp port 4433", -1);
	uint8_t room[128];
	struct writer w = writer_over(room, sizeof(room));
	put_ethernet(&w, 0x8100);
	writer_u16(&w, 5);
	writer_u16(&w, 0x0800);
	put_ipv4(&w, 17, 20 + 8 + 6);
	put_udp(&w, 4433, bytes_str("tagged"));
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("lo"), .sll_protocol = htons(0x8100)};
	assert_int_equal(sendto(fd, room, w.len, 0, (struct sockaddr *)&to, sizeof(to)), w.len);
	struct frame frame;
	struct error err;
	assert_int_equal(live_next(live, &frame, 10000, &err), CAPTURE_FRAME);
	assert_int_equal(frame.vlan_type, 0x8100);
	assert_int_equal(frame.vlan_tag & 0xfff, 5);
	struct packet packet;
	assert_int_equal(link_decode(&frame, NULL, &packet), LINK_PACKET);
	assert_true(bytes_equal(packet.payload, bytes_str("tagged")));
	live_free(live);
	close(fd);
}

static void an_interface_may_go_down_and_come_up_again(void **state)
{
	(void)state;
	if (!apart)
		skip();
	struct sockaddr_in a_is;
	int a = udp_socket(&a_is);
	struct live *live = open_live("lo", "udp", -1);
	assert_true(set_loopback(0));
	must_be_quiet(live);
	assert_true(set_loopback(IFF_UP | IFF_RUNNING));
	/* What is sent at once may still find the queue of an interface that is down, where it is dropped without a word. */
	struct frame frame;
	struct error err;
	enum capture_result result = CAPTURE_WAIT;
	for (unsigned i = 0; i < 100 && result == CAPTURE_WAIT; i++) {
		send_to(a, &a_is, bytes_str("again"));
		result = live_next(live, &frame, 100, &err);
	}
	assert_int_equal(result, CAPTURE_FRAME);
	struct packet packet;
	assert_int_equal(link_decode(&frame, NULL, &packet), LINK_PACKET);
	assert_true(bytes_equal(packet.payload, bytes_str("again")));
	live_free(live);
	close(a);
}

static void a_missing_right_is_named(void **state)
{
	(void)state;
	if (!apart || seteuid(65534) != 0)
		skip();
	struct error err;
	struct live_options options = {.interface = "lo", .fanout = -1, .stop_fd = -1};
	struct live *live = live_open(&options, &err);
	assert_int_equal(seteuid(0), 0);
	assert_null(live);
	assert_non_null(strstr(err.text, "lo: "));
	assert_non_null(strstr(err.text, "CAP_NET_RAW"));
}

static void an_interface_that_is_not_there_is_named(void **state)
{
	(void)state;
	struct error err;
	struct live_options options = {.interface = "nosuch0", .fanout = -1, .stop_fd = -1};
	assert_null(live_open(&options, &err));
	assert_string_equal(err.text, "nosuch0: no such interface");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_frame_comes_once),
		cmocka_unit_test(a_filter_lets_through_what_it_says),
		cmocka_unit_test(superframes_come_whole),
		cmocka_unit_test(what_the_ring_cannot_hold_is_counted),
		cmocka_unit_test(a_fanout_group_keeps_connections_together),
		cmocka_unit_test(a_stop_ends_waiting),
		cmocka_unit_test(a_tag_that_the_kernel_took_out_is_given_with_the_frame),
		cmocka_unit_test(an_interface_may_go_down_and_come_up_again),
		cmocka_unit_test(a_missing_right_is_named),
		cmocka_unit_test(an_interface_that_is_not_there_is_named),
	};
	return cmocka_run_group_tests_name("watch/live", tests, go_apart, NULL);
}
