#include "assess/origin.h"

#include "assess/target.h"
#include "base/clock.h"
#include "base/hostport.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVE_NS   (4 * NS_PER_S) /* one connection */
#define STAPLE_MAX ((size_t)4096)
#define TURN_NS    (50 * NS_PER_MS)

struct origin {
	int fd;
	uint16_t port;
	pthread_t thread;
	bool started;
	atomic_bool end;
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
	unsigned number;
};

static bool still_mine(void *arg)
{
	const struct turn *turn = arg;
	struct origin *origin = turn->origin;
	pthread_mutex_lock(&origin->lock);
	bool mine = origin->turn == turn->number;
	pthread_mutex_unlock(&origin->lock);
	return mine && !atomic_load(&origin->end);
}

static void serve(struct origin *origin, int fd)
{
	struct turn turn = {.origin = origin};
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
	close(fd);
}

static void *run(void *arg)
{
	struct origin *origin = arg;
	while (!atomic_load(&origin->end)) {
		if (!wait_until(origin->fd, POLLIN, clock_monotonic_ns() + TURN_NS))
			continue;
		int fd = accept4(origin->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			serve(origin, fd);
	}
	return NULL;
}

static bool listen_on(struct origin *origin, const char *ip, uint16_t port, struct error *err)
{
	struct hostport at;
	struct sockaddr_storage to;
	int yes = 1;
	if (!hostport_parse_ip(&at, ip))
		return error_set(err, "%s: is no address to listen on", ip);
	at.port = port;
	socklen_t len = hostport_to_sockaddr(&at, &to);
	origin->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (origin->fd < 0)
		return error_set_errno(err, "no socket");
	(void)setsockopt(origin->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(origin->fd, (struct sockaddr *)&to, len) != 0 || listen(origin->fd, 64) != 0)
		return error_set_errno(err, "%s port %u cannot be listened on", ip, port);
	len = sizeof(to);
	if (getsockname(origin->fd, (struct sockaddr *)&to, &len) != 0 ||
		!hostport_from_sockaddr(&at, (struct sockaddr *)&to, len))
		return error_set_errno(err, "%s", ip);
	origin->port = at.port;
	return true;
}

struct origin *origin_new(const char *ip, uint16_t port, struct error *err)
{
	struct origin *origin = calloc(1, sizeof(*origin));
	if (!origin) {
		error_set(err, "no memory");
		return NULL;
	}
	origin->fd = -1;
	pthread_mutex_init(&origin->lock, NULL);
	atomic_init(&origin->end, false);
	if (listen_on(origin, ip, port, err)) {
		origin->started = pthread_create(&origin->thread, NULL, run, origin) == 0;
		if (origin->started)
			return origin;
		error_set(err, "no thread");
	}
	origin_free(origin);
	return NULL;
}

void origin_free(struct origin *origin)
{
	if (!origin)
		return;
	atomic_store(&origin->end, true);
	if (origin->started)
		pthread_join(origin->thread, NULL);
	if (origin->fd >= 0)
		close(origin->fd);
	SSL_CTX_free(origin->ctx);
	pthread_mutex_destroy(&origin->lock);
	free(origin);
}

uint16_t origin_port(const struct origin *origin)
{
	return origin->port;
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
