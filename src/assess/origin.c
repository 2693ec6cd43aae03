#include "assess/origin.h"

#include "assess/serving.h"
#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#define SERVE_NS   (4 * NS_PER_S) /* one connection */
#define STAPLE_MAX ((size_t)4096)

struct origin {
	struct serving *serving;
	pthread_mutex_t lock; /* of all below */
	struct play play;
	uint8_t staple[STAPLE_MAX]; /* the play's */
	SSL_CTX *ctx;
	unsigned turn; /* counts cases: a connection of an older one is dropped, and writes nothing */
	bool busy;
	struct visit_seen seen;
};

bool origin_play(struct origin *origin, const struct play *play, struct error *err)
{
	SSL_CTX *ctx = play->staple.len <= STAPLE_MAX ? play_context(play) : NULL;
	if (!ctx)
		return error_set_openssl(err, "this OpenSSL cannot play the case");
	pthread_mutex_lock(&origin->lock);
	SSL_CTX_free(origin->ctx);
	origin->ctx = ctx;
	origin->play = *play;
	if (play->staple.len > 0)
		memcpy(origin->staple, play->staple.data, play->staple.len);
	origin->turn++;
	origin->seen = (struct visit_seen){0};
	pthread_mutex_unlock(&origin->lock);
	return true;
}

/* One connection: of which case it is. */
struct turn {
	struct origin *origin;
	const struct serving *serving;
	unsigned number;
};

static bool still_mine(void *arg)
{
	const struct turn *turn = arg;
	struct origin *origin = turn->origin;
	pthread_mutex_lock(&origin->lock);
	bool mine = origin->turn == turn->number;
	pthread_mutex_unlock(&origin->lock);
	return mine && !serving_ends(turn->serving);
}

static void serve(void *arg, const struct serving *self, int fd)
{
	struct origin *origin = arg;
	struct turn turn = {.origin = origin, .serving = self};
	struct visit_order order = {.patience_ns = SERVE_NS, .go_on = still_mine, .arg = &turn};
	struct play play;
	uint8_t staple[STAPLE_MAX];
	pthread_mutex_lock(&origin->lock);
	bool ready = origin->ctx && SSL_CTX_up_ref(origin->ctx) == 1;
	order.ctx = ready ? origin->ctx : NULL;
	play = origin->play;
	memcpy(staple, origin->staple, sizeof(staple));
	play.staple = bytes_of(staple, play.staple.len);
	order.play = &play;
	turn.number = origin->turn;
	origin->busy = ready;
	pthread_mutex_unlock(&origin->lock);
	struct visit_seen *seen = calloc(1, sizeof(*seen));
	if (ready && seen)
		visit(fd, &order, seen);
	pthread_mutex_lock(&origin->lock);
	if (ready && seen && origin->turn == turn.number)
		visit_join(&origin->seen, seen);
	origin->busy = false;
	pthread_mutex_unlock(&origin->lock);
	SSL_CTX_free(order.ctx);
	free(seen);
}

struct origin *origin_new(const char *ip, uint16_t port, struct error *err)
{
	struct origin *origin = calloc(1, sizeof(*origin));
	if (!origin) {
		error_set(err, "no memory");
		return NULL;
	}
	pthread_mutex_init(&origin->lock, NULL);
	origin->serving = serving_new(ip, port, serve, origin, err);
	if (origin->serving)
		return origin;
	origin_free(origin);
	return NULL;
}

void origin_free(struct origin *origin)
{
	if (!origin)
		return;
	serving_free(origin->serving);
	SSL_CTX_free(origin->ctx);
	pthread_mutex_destroy(&origin->lock);
	free(origin);
}

uint16_t origin_port(const struct origin *origin)
{
	return serving_port(origin->serving);
}

void origin_look(struct origin *origin, uint64_t patience_ns, struct visit_seen *out)
{
	uint64_t until_ns = clock_monotonic_ns() + patience_ns;
	for (bool busy = true; busy;) {
		pthread_mutex_lock(&origin->lock);
		busy = origin->busy && clock_monotonic_ns() < until_ns;
		*out = origin->seen;
		pthread_mutex_unlock(&origin->lock);
		/* Nothing is awaited here but the other thread's next turn. */
		if (busy)
			(void)poll(NULL, 0, 5);
	}
}
