#include "assess/listen.h"

#include "assess/listen_parts.h"
#include "assess/target.h"
#include "assess/vantage.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SERVE_NS (5 * NS_PER_S) /* one connection */
#define DONE_NS  NS_PER_S       /* quiet after the last case */
#define LOOK_MS  200

/* One connection: the thread's own. */
struct call {
	struct listener *listener;
	int fd;
	struct front_visit front;
	const struct stall *stall;
	size_t number; /* of the stall; SIZE_MAX: a good one */
};

static const struct play good_play;

static bool still_on(void *arg)
{
	const struct front_visit *visit = arg;
	return !atomic_load(&visit->listener->end);
}

/* With the lock held. The good one is where hello and trust are learnt. */
static void note_good(struct guest *guest, const struct visit_seen *seen)
{
	if (seen->hello_len == 0)
		return;
	uint8_t *copy = malloc(seen->hello_len);
	if (copy) {
		memcpy(copy, seen->hello, seen->hello_len);
		free(guest->hello);
		guest->hello = copy;
		guest->hello_len = seen->hello_len;
	}
	guest->good |= seen->request > 0;
}

static void *serve(void *arg)
{
	struct call *call = arg;
	struct listener *listener = call->listener;
	bool good = call->number == SIZE_MAX;
	const struct visit_order order = {.ctx = call->stall->ctx,
		.play = good ? &good_play : &call->stall->one.play,
		.patience_ns = SERVE_NS,
		.go_on = still_on,
		.answer = good ? front_answer : NULL,
		.answer_max = LISTEN_ANSWER,
		.arg = &call->front};
	struct visit_seen *seen = calloc(1, sizeof(*seen));
	if (seen)
		visit(call->fd, &order, seen);
	close(call->fd);
	pthread_mutex_lock(&listener->lock);
	struct guest *guest = guest_of(listener, &call->front.from);
	if (guest) {
		if (seen && good)
			note_good(guest, seen);
		else if (seen)
			guest_note(guest, call->number, seen);
		guest->open -= guest->open > 0;
		guest->last_ns = clock_monotonic_ns();
	}
	listener->open--;
	pthread_cond_signal(&listener->closed);
	pthread_mutex_unlock(&listener->lock);
	free(seen);
	free(call);
	return NULL;
}

/* With the lock held: what this connection meets, or false where it is one too many. */
static bool assign(struct listener *listener, const struct stall *at, struct call *call)
{
	struct guest *guest = guest_of(listener, &call->front.from);
	if (!guest || guest->open >= LISTEN_EACH || listener->open >= LISTEN_CONNECTIONS) {
		listener->turned_away++;
		return false;
	}
	call->number = SIZE_MAX;
	call->stall = &listener->front;
	/* Who has met the last case comes for the report next, however late. */
	bool report_due = at == &listener->walk && guest->next == listener->stalls + 1;
	if (at != &listener->front && guest->told && !report_due)
		guest_again(guest);
	if (at == &listener->walk) {
		if (guest->next > 0 && guest->next <= listener->stalls)
			call->number = guest->next - 1;
		guest->next += guest->next <= listener->stalls + 1;
		call->front.walk = true;
	} else if (at != &listener->front) {
		call->number = (size_t)(at - listener->stall);
	}
	if (call->number != SIZE_MAX)
		call->stall = &listener->stall[call->number];
	guest->open++;
	guest->connections++;
	guest->last_ns = clock_monotonic_ns();
	listener->open++;
	return true;
}

/* What assign raised, where nobody serves it. */
static void give_up(struct listener *listener, const struct call *call)
{
	pthread_mutex_lock(&listener->lock);
	struct guest *guest = guest_of(listener, &call->front.from);
	if (guest)
		guest->open -= guest->open > 0;
	listener->open--;
	listener->turned_away++;
	pthread_mutex_unlock(&listener->lock);
}

static void take(struct listener *listener, const struct stall *at)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	pthread_t thread;
	int fd = accept4(at->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct call *call = fd >= 0 ? calloc(1, sizeof(*call)) : NULL;
	bool ours = call && hostport_from_sockaddr(&call->front.from, (struct sockaddr *)&from, len);
	if (ours) {
		call->listener = call->front.listener = listener;
		call->fd = fd;
		pthread_mutex_lock(&listener->lock);
		ours = assign(listener, at, call);
		pthread_mutex_unlock(&listener->lock);
	}
	if (ours && pthread_create(&thread, NULL, serve, call) == 0) {
		pthread_detach(thread);
		return;
	}
	if (ours)
		give_up(listener, call);
	if (fd >= 0)
		close(fd);
	free(call);
}

/* The next client that has nothing more to say, or any when all is over. NULL: none. */
static struct report *next_report(struct listener *listener, bool over)
{
	struct report *report = NULL;
	uint64_t now = clock_monotonic_ns();
	pthread_mutex_lock(&listener->lock);
	for (size_t i = 0; !report && i < LISTEN_CLIENTS; i++) {
		struct guest *guest = &listener->guest[i];
		size_t met = guest->used ? guest_met(listener, guest) : 0;
		uint64_t quiet_ns = met == listener->stalls ? DONE_NS : listener->options->quiet_ns;
		bool due = over || (guest->open == 0 && now - guest->last_ns >= quiet_ns);
		if (met == 0 || guest->told || !due)
			continue;
		report = guest_report(listener, guest);
		guest->told = true;
		listener->reports++;
	}
	pthread_mutex_unlock(&listener->lock);
	return report;
}

static bool tell(struct listener *listener, bool over)
{
	bool more = true;
	for (struct report *report; more && (report = next_report(listener, over)) != NULL;) {
		more = listener->options->told(listener->options->arg, report);
		report_free(report);
	}
	return more && (listener->options->clients == 0 || listener->reports < listener->options->clients);
}

static void work(struct listener *listener, int signals)
{
	struct pollfd fds[CLIENT_CASES_MAX + 3];
	const struct stall *at[CLIENT_CASES_MAX + 3] = {NULL, &listener->front, &listener->walk};
	uint64_t began_ns = clock_monotonic_ns(), whole_ns = listener->options->whole_ns;
	nfds_t count = 3;
	for (size_t i = 0; i < listener->stalls; i++)
		at[count++] = &listener->stall[i];
	for (nfds_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){.fd = i == 0 ? signals : at[i]->fd, .events = POLLIN};
	while (tell(listener, false) && (whole_ns == 0 || clock_monotonic_ns() - began_ns < whole_ns)) {
		if (poll(fds, count, LOOK_MS) < 0 && errno != EINTR)
			return;
		if (fds[0].revents) {
			/* Taken, lest it end the program once it is let through again. */
			struct signalfd_siginfo info;
			(void)!read(signals, &info, sizeof(info));
			return;
		}
		for (nfds_t i = 1; i < count; i++) {
			if (fds[i].revents)
				take(listener, at[i]);
		}
	}
}

static void finish(struct listener *listener)
{
	atomic_store(&listener->end, true);
	pthread_mutex_lock(&listener->lock);
	while (listener->open > 0)
		pthread_cond_wait(&listener->closed, &listener->lock);
	pthread_mutex_unlock(&listener->lock);
	(void)tell(listener, true);
}

static void announce(const struct listener *listener)
{
	char line[1200], hex[VANTAGE_DIGEST * 2 + 1] = "";
	uint8_t digest[VANTAGE_DIGEST];
	if (key_digest(listener->front.identity.leaf, digest))
		text_hex(hex, sizeof(hex), bytes_of(digest, sizeof(digest)));
	snprintf(line, sizeof(line),
		"listening front=https://%s:%u/ walk=https://%s:%u/ cases=%zu root=%s/root.pem key=sha256:%s",
		listener->name, listener->front.port, listener->name, listener->walk.port, listener->stalls,
		listener->options->origin, hex);
	listener->options->begun(listener->options->arg, line);
}

static void free_stall(struct stall *stall)
{
	if (stall->fd >= 0)
		close(stall->fd);
	SSL_CTX_free(stall->ctx);
	identity_free(&stall->identity);
}

static void free_all(struct listener *listener)
{
	free_stall(&listener->front);
	free_stall(&listener->walk);
	for (size_t i = 0; i < listener->stalls; i++)
		free_stall(&listener->stall[i]);
	for (size_t i = 0; i < LISTEN_CLIENTS; i++)
		guest_forget(&listener->guest[i]);
	identity_free(&listener->rsa);
	identity_maker_free(listener->maker);
	pthread_cond_destroy(&listener->closed);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}

bool listen_run(const struct listen_options *options, struct error *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	sigset_t set, before;
	if (!listener)
		return error_set(err, "no memory");
	listener->options = options;
	listener->front.fd = listener->walk.fd = -1;
	pthread_mutex_init(&listener->lock, NULL);
	pthread_cond_init(&listener->closed, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, &before);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	bool ok = signals >= 0 ? listen_open(listener, err) : error_set_errno(err, "no signalfd");
	if (ok) {
		announce(listener);
		work(listener, signals);
		finish(listener);
	}
	if (signals >= 0)
		close(signals);
	free_all(listener);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}
