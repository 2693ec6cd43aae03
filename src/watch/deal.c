#include "watch/deal.h"

#include "watch/table.h"

#include <pthread.h>
#include <stdlib.h>

#define HAND_FIRST 512

/* A datagram that was put together of fragments, which lie in several frames. */
struct joined {
	struct joined *next;
	uint8_t octets[];
};

/* One buffer of the capture, dealt out. */
struct round {
	uint8_t *buffer; /* what the packets lie in */
	size_t room;
	struct joined *joined;
	struct hand *hands; /* one for each worker */
	unsigned holders;   /* workers that are not done with it */
};

struct dealer {
	struct dealer_options options;
	struct dealer_report report;
	pthread_mutex_t lock; /* of what follows, down to `capture` */
	pthread_cond_t changed;
	struct round rounds[DEAL_ROUNDS]; /* number n is at n % DEAL_ROUNDS */
	uint64_t dealt;                   /* how many there have been */
	uint64_t *taken;                  /* how many each worker has begun */
	bool dealing, ended;
	/* Of whoever deals. */
	struct capture *capture;
	size_t next_path;
	struct fragments *fragments;
	struct frame
		first; /* of the next round, when `has_first`: it came with the knowledge that the last one is full */
	bool has_first;
};

struct dealer *dealer_new(const struct dealer_options *options)
{
	struct dealer *dealer = calloc(1, sizeof(*dealer));
	if (!dealer)
		return NULL;
	if (pthread_mutex_init(&dealer->lock, NULL) != 0 || pthread_cond_init(&dealer->changed, NULL) != 0) {
		free(dealer);
		return NULL;
	}
	dealer->options = *options;
	dealer->taken = calloc(options->workers, sizeof(*dealer->taken));
	dealer->fragments = fragments_new(FRAGMENT_LIMITS);
	bool ok = dealer->taken && dealer->fragments;
	for (size_t i = 0; ok && i < DEAL_ROUNDS; i++) {
		dealer->rounds[i].hands = calloc(options->workers, sizeof(struct hand));
		ok = dealer->rounds[i].hands != NULL;
	}
	if (ok)
		return dealer;
	dealer_free(dealer);
	return NULL;
}

static void joined_free(struct round *round)
{
	while (round->joined) {
		struct joined *joined = round->joined;
		round->joined = joined->next;
		free(joined);
	}
}

void dealer_free(struct dealer *dealer)
{
	if (!dealer)
		return;
	for (size_t i = 0; i < DEAL_ROUNDS; i++) {
		struct round *round = &dealer->rounds[i];
		for (unsigned w = 0; round->hands && w < dealer->options.workers; w++)
			free(round->hands[w].packets);
		free(round->hands);
		free(round->buffer);
		joined_free(round);
	}
	capture_free(dealer->capture);
	fragments_free(dealer->fragments);
	free(dealer->taken);
	pthread_cond_destroy(&dealer->changed);
	pthread_mutex_destroy(&dealer->lock);
	free(dealer);
}

struct dealer_report dealer_report(const struct dealer *dealer)
{
	struct dealer_report report = dealer->report;
	report.fragments_lost = fragments_lost(dealer->fragments);
	return report;
}

/* Dealing: one at a time, without the lock. */

static bool lies_in(struct bytes part, struct bytes whole)
{
	uintptr_t at = (uintptr_t)part.data, from = (uintptr_t)whole.data;
	return part.len == 0 || (at >= from && at - from <= whole.len && part.len <= whole.len - (at - from));
}

static bool keep_joined(struct round *round, struct packet *packet)
{
	struct joined *joined = malloc(sizeof(*joined) + packet->payload.len);
	if (!joined)
		return false;
	memcpy(joined->octets, packet->payload.data, packet->payload.len);
	joined->next = round->joined;
	round->joined = joined;
	packet->payload = bytes_of(joined->octets, packet->payload.len);
	return true;
}

/* The place of one more packet; NULL without memory. */
static struct dealt *hand_add(struct hand *hand)
{
	if (hand->count == hand->room) {
		size_t room = hand->room ? hand->room * 2 : HAND_FIRST;
		struct dealt *wider = realloc(hand->packets, room * sizeof(*wider));
		if (!wider)
			return NULL;
		hand->packets = wider;
		hand->room = room;
	}
	return &hand->packets[hand->count++];
}

static void deal_frame(struct dealer *dealer, struct round *round, const struct frame *frame)
{
	struct packet packet;
	enum link_result result = link_decode(frame, dealer->fragments, &packet);
	link_count(&dealer->report.link, result, frame);
	if (result != LINK_PACKET)
		return;
	packet.number = frame->number;
	uint64_t hash = table_hash(&packet);
	struct hand *hand = &round->hands[(uint32_t)hash % dealer->options.workers];
	bool kept = lies_in(packet.payload, frame->bytes) || keep_joined(round, &packet);
	struct dealt *dealt = kept ? hand_add(hand) : NULL;
	if (!dealt) {
		dealer->report.no_memory++;
		return;
	}
	*dealt = (struct dealt){packet, hash};
	hand->octets += packet.payload.len;
}

/* The next file. False: there is none, or it cannot be opened. */
static bool open_next(struct dealer *dealer)
{
	struct dealer_report *report = &dealer->report;
	if (dealer->next_path == dealer->options.path_count)
		return false;
	struct capture_options options = {
		.path = dealer->options.paths[dealer->next_path++], .stop_fd = dealer->options.stop_fd};
	dealer->capture = capture_open(&options, &report->err);
	if (!dealer->capture) {
		report->failed = true;
		return false;
	}
	capture_lend(dealer->capture);
	return true;
}

static void close_file(
	struct dealer *dealer, struct round *round, enum capture_result result, const struct error *fault)
{
	struct dealer_report *report = &dealer->report;
	struct capture_counts counts = capture_count(dealer->capture);
	capture_count_add(&report->capture, &counts);
	if (result == CAPTURE_CUT) {
		report->cut = true;
		report->note = *fault;
	}
	if (result == CAPTURE_BROKEN) {
		report->failed = true;
		report->err = *fault;
	}
	report->stopped |= result == CAPTURE_STOPPED;
	if (!round->buffer)
		round->buffer = capture_part(dealer->capture, &round->room);
	capture_free(dealer->capture);
	dealer->capture = NULL;
}

/* Frames of one buffer. False: nothing follows them. */
static bool deal(struct dealer *dealer, struct round *round)
{
	struct capture_item item;
	struct error fault;
	if (!dealer->capture && !open_next(dealer))
		return false;
	if (round->buffer)
		capture_give_back(dealer->capture, round->buffer, round->room);
	round->buffer = NULL;
	if (dealer->has_first)
		deal_frame(dealer, round, &dealer->first);
	dealer->has_first = false;
	for (;;) {
		enum capture_result result = capture_next(dealer->capture, &item, -1, &fault);
		round->buffer = capture_left(dealer->capture, &round->room);
		if (result != CAPTURE_FRAME && result != CAPTURE_SECRETS && result != CAPTURE_MORE) {
			close_file(dealer, round, result, &fault);
			return !dealer->report.failed && !dealer->report.stopped;
		}
		if (round->buffer) {
			dealer->first = item.frame;
			dealer->has_first = result == CAPTURE_FRAME;
			return true;
		}
		/* Secrets were looked for before. */
		if (result == CAPTURE_FRAME)
			deal_frame(dealer, round, &item.frame);
	}
}

static void round_begin(struct dealer *dealer, struct round *round)
{
	joined_free(round);
	for (unsigned w = 0; w < dealer->options.workers; w++)
		round->hands[w].count = round->hands[w].octets = 0;
}

/* With the lock, which is let go meanwhile. */
static void deal_round(struct dealer *dealer)
{
	struct round *round = &dealer->rounds[dealer->dealt % DEAL_ROUNDS];
	dealer->dealing = true;
	pthread_mutex_unlock(&dealer->lock);
	round_begin(dealer, round);
	bool more = deal(dealer, round);
	pthread_mutex_lock(&dealer->lock);
	dealer->dealing = false;
	dealer->ended |= !more;
	round->holders = dealer->options.workers;
	dealer->dealt++;
	pthread_cond_broadcast(&dealer->changed);
}

/* Taking. */

static void round_done(struct dealer *dealer, unsigned worker)
{
	if (dealer->taken[worker] == 0)
		return;
	struct round *last = &dealer->rounds[(dealer->taken[worker] - 1) % DEAL_ROUNDS];
	if (last->holders > 0 && --last->holders == 0)
		pthread_cond_broadcast(&dealer->changed);
}

const struct hand *dealer_take(struct dealer *dealer, unsigned worker)
{
	const struct hand *hand = NULL;
	pthread_mutex_lock(&dealer->lock);
	round_done(dealer, worker);
	for (;;) {
		if (dealer->taken[worker] < dealer->dealt) {
			hand = &dealer->rounds[dealer->taken[worker]++ % DEAL_ROUNDS].hands[worker];
			break;
		}
		if (dealer->ended)
			break;
		if (!dealer->dealing && dealer->rounds[dealer->dealt % DEAL_ROUNDS].holders == 0)
			deal_round(dealer);
		else
			pthread_cond_wait(&dealer->changed, &dealer->lock);
	}
	pthread_mutex_unlock(&dealer->lock);
	return hand;
}

void dealer_stop(struct dealer *dealer)
{
	pthread_mutex_lock(&dealer->lock);
	dealer->ended = true;
	pthread_cond_broadcast(&dealer->changed);
	pthread_mutex_unlock(&dealer->lock);
}
