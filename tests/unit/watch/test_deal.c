#include "capture_build.h"
#include "watch/deal.h"
#include "watch/table.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORKERS     3
#define CONNECTIONS 40
#define FRAMES      20000 /* many buffers of them */
#define PAYLOAD     300
#define ROOM        (FRAMES * (size_t)(PAYLOAD + 80) + 4096)

static char path[64];

/* An IPv4 packet of connection `n` whose payload begins with its number in the file; link type raw IP. */
static void put_numbered(struct writer *w, unsigned n, uint32_t number)
{
	uint8_t room[PAYLOAD + 40], payload[PAYLOAD] = {0};
	struct writer p = writer_over(room, sizeof(room)), number_to = writer_over(payload, sizeof(payload));
	writer_u32(&number_to, number);
	writer_bytes(&p, RAW(0x45, 0));
	writer_u16(&p, PAYLOAD + 40);
	writer_bytes(&p, RAW(0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0));
	writer_u8(&p, (uint8_t)n);
	writer_bytes(&p, RAW(10, 1, 1, 1));
	writer_u16(&p, (uint16_t)(2000 + n));
	writer_u16(&p, 443);
	writer_u32(&p, number);
	writer_bytes(&p, RAW(0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0));
	writer_bytes(&p, bytes_of(payload, sizeof(payload)));
	put_record(w, true, 1700000000, number, written(&p), PAYLOAD + 40);
}

static void write_file(const struct writer *w, size_t less)
{
	(void)snprintf(path, sizeof(path), "/tmp/test_deal.XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	for (size_t at = 0; at < w->len - less;) {
		ssize_t n = write(fd, w->data + at, w->len - less - at);
		assert_true(n > 0);
		at += (size_t)n;
	}
	close(fd);
}

static void write_numbered(size_t less)
{
	uint8_t *room = malloc(ROOM);
	assert_non_null(room);
	struct writer w = writer_over(room, ROOM);
	put_pcap(&w, true, PCAP_MICRO, 101);
	for (uint32_t i = 0; i < FRAMES; i++)
		put_numbered(&w, i * 7 % CONNECTIONS, i);
	assert_false(w.full);
	write_file(&w, less);
	free(room);
}

struct player {
	struct dealer *dealer;
	unsigned number;
	uint64_t seen;              /* packets */
	uint32_t last[CONNECTIONS]; /* number of the latest, plus one */
	bool wrong, slow;
};

static void take(struct player *player, const struct dealt *dealt)
{
	const struct packet *packet = &dealt->packet;
	struct bytes payload = packet->payload;
	uint32_t number = 0;
	unsigned n = packet->source.port - 2000U;
	bool whole = payload.len == PAYLOAD && bytes_u32(&payload, &number) && n < CONNECTIONS;
	if (!whole || number + 1 <= player->last[n] || number != packet->seq || packet->number != number + 1 ||
		dealt->hash != table_hash(packet) || (uint32_t)dealt->hash % WORKERS != player->number) {
		player->wrong = true;
		return;
	}
	player->last[n] = number + 1;
	player->seen++;
}

static void *play(void *arg)
{
	struct player *player = arg;
	const struct hand *hand;
	while ((hand = dealer_take(player->dealer, player->number))) {
		/* What is dealt meanwhile must not change what this one holds. */
		for (unsigned i = 0; player->slow && i < 10; i++)
			sched_yield();
		for (size_t i = 0; i < hand->count; i++)
			take(player, &hand->packets[i]);
	}
	return NULL;
}

static struct dealer_report play_all(const char *const *paths, size_t count, struct player players[WORKERS])
{
	pthread_t threads[WORKERS];
	struct dealer *dealer = dealer_new(
		&(struct dealer_options){.paths = paths, .path_count = count, .workers = WORKERS, .stop_fd = -1});
	assert_non_null(dealer);
	for (unsigned i = 0; i < WORKERS; i++) {
		players[i] = (struct player){.dealer = dealer, .number = i, .slow = i == 1};
		assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	struct dealer_report report = dealer_report(dealer);
	dealer_free(dealer);
	return report;
}

static void each_worker_gets_all_packets_of_its_connections_in_order(void **state)
{
	(void)state;
	struct player players[WORKERS];
	const char *const paths[] = {path};
	write_numbered(0);
	struct dealer_report report = play_all(paths, 1, players);
	uint64_t seen = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_false(players[i].wrong);
		assert_true(players[i].seen > 0);
		seen += players[i].seen;
	}
	assert_int_equal(seen, FRAMES);
	assert_int_equal(report.capture.frames, FRAMES);
	assert_int_equal(report.link.frames[LINK_PACKET], FRAMES);
	assert_false(report.cut || report.failed || report.stopped);
	assert_int_equal(report.no_memory, 0);
	unlink(path);
}

static void a_capture_that_is_cut_off_gives_what_is_there_and_says_so(void **state)
{
	(void)state;
	struct player players[WORKERS];
	const char *const paths[] = {path};
	write_numbered(17);
	struct dealer_report report = play_all(paths, 1, players);
	assert_int_equal(players[0].seen + players[1].seen + players[2].seen, FRAMES - 1);
	assert_true(report.cut);
	assert_non_null(strstr(report.note.text, path));
	unlink(path);
}

static void files_are_read_one_after_the_other_and_one_that_is_not_there_is_a_fault(void **state)
{
	(void)state;
	struct player players[WORKERS];
	uint8_t room[4096];
	struct writer w = writer_over(room, sizeof(room));
	const char *const paths[] = {path, path, "/nonexistent/capture"};
	put_pcap(&w, true, PCAP_MICRO, 101);
	for (uint32_t i = 0; i < 5; i++)
		put_numbered(&w, i, i);
	write_file(&w, 0);
	struct dealer_report report = play_all(paths, 3, players);
	assert_int_equal(report.capture.frames, 10);
	assert_true(report.failed);
	assert_non_null(strstr(report.err.text, "/nonexistent/capture"));
	unlink(path);
}

/* The second fragment's frame is followed by others, which reuse what fragments were put together in. */
static void what_fragments_were_put_together_to_outlives_the_next(void **state)
{
	(void)state;
	uint8_t room[8192], whole[200];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, PCAP_MICRO, 1);
	for (unsigned i = 0; i < 10; i++) {
		struct writer tcp = writer_over(whole, sizeof(whole));
		uint8_t payload[100];
		memset(payload, (int)('a' + i), sizeof(payload));
		put_tcp(&tcp, bytes_of(payload, sizeof(payload)));
		struct bytes rest = written(&tcp), first;
		assert_true(bytes_take(&rest, 64, &first));
		for (unsigned part = 0; part < 2; part++) {
			uint8_t frame[256];
			struct writer f = writer_over(frame, sizeof(frame));
			put_ethernet(&f, 0x0800);
			put_ipv4_fragment(&f, 6, (uint16_t)i, part ? 64 : 0, !part, part ? rest : first);
			put_record(&w, true, 1700000000, i, written(&f), (uint32_t)f.len);
		}
	}
	write_file(&w, 0);
	const char *const paths[] = {path};
	struct dealer *dealer =
		dealer_new(&(struct dealer_options){.paths = paths, .path_count = 1, .workers = 1, .stop_fd = -1});
	const struct hand *hand = dealer_take(dealer, 0);
	assert_non_null(hand);
	assert_int_equal(hand->count, 10);
	for (size_t i = 0; i < hand->count; i++) {
		struct bytes payload = hand->packets[i].packet.payload;
		assert_int_equal(payload.len, 100);
		assert_int_equal(payload.data[0], 'a' + i);
		assert_int_equal(payload.data[99], 'a' + i);
	}
	while (hand)
		hand = dealer_take(dealer, 0);
	dealer_free(dealer);
	unlink(path);
}

static void nobody_waits_for_a_worker_that_never_comes_once_all_is_stopped(void **state)
{
	(void)state;
	const char *const paths[] = {path};
	write_numbered(0);
	struct dealer *dealer = dealer_new(
		&(struct dealer_options){.paths = paths, .path_count = 1, .workers = WORKERS, .stop_fd = -1});
	unsigned rounds = 0;
	for (; rounds < DEAL_ROUNDS; rounds++)
		assert_non_null(dealer_take(dealer, 0));
	/* The next would wait for the others. */
	dealer_stop(dealer);
	assert_null(dealer_take(dealer, 0));
	dealer_free(dealer);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_worker_gets_all_packets_of_its_connections_in_order),
		cmocka_unit_test(a_capture_that_is_cut_off_gives_what_is_there_and_says_so),
		cmocka_unit_test(files_are_read_one_after_the_other_and_one_that_is_not_there_is_a_fault),
		cmocka_unit_test(what_fragments_were_put_together_to_outlives_the_next),
		cmocka_unit_test(nobody_waits_for_a_worker_that_never_comes_once_all_is_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
