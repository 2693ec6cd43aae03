#include "proxy/resolver.h"

#include "base/local_socket.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 64
#define ANSWER_MAX  (1 + 127 + (size_t)RESOLVER_ADDRESSES_MAX * 17)

struct resolver {
	int fd;
	unsigned count;
	pthread_t threads[THREADS_MAX];
	bool joined;
	atomic_uint done; /* threads that have ended */
};

void resolver_answer_write(struct writer *w, const struct resolver_answer *answer)
{
	writer_vec8(w, bytes_str(answer->text));
	for (size_t i = 0; i < answer->count; i++) {
		const union resolver_address *a = &answer->addresses[i];
		if (a->any.sa_family == AF_INET)
			writer_vec8(w, bytes_of(&a->v4.sin_addr, sizeof(a->v4.sin_addr)));
		else
			writer_vec8(w, bytes_of(&a->v6.sin6_addr, sizeof(a->v6.sin6_addr)));
	}
}

static bool address_from(struct bytes octets, union resolver_address *out)
{
	*out = (union resolver_address){0};
	if (octets.len == sizeof(out->v4.sin_addr)) {
		out->v4.sin_family = AF_INET;
		memcpy(&out->v4.sin_addr, octets.data, octets.len);
		return true;
	}
	if (octets.len == sizeof(out->v6.sin6_addr)) {
		out->v6.sin6_family = AF_INET6;
		memcpy(&out->v6.sin6_addr, octets.data, octets.len);
		return true;
	}
	return false;
}

bool resolver_answer_read(struct bytes in, struct resolver_answer *answer)
{
	struct resolver_answer read = {0};
	struct bytes text;
	if (!bytes_vec8(&in, &text) || text.len >= sizeof(read.text) || bytes_find(text, 0, 0) < text.len)
		return false;
	if (text.len)
		memcpy(read.text, text.data, text.len);
	while (in.len) {
		struct bytes octets;
		if (read.count == RESOLVER_ADDRESSES_MAX || !bytes_vec8(&in, &octets) ||
			!address_from(octets, &read.addresses[read.count++]))
			return false;
	}
	/* Either addresses, or why there are none. */
	if ((read.count > 0) == (read.text[0] != '\0'))
		return false;
	*answer = read;
	return true;
}

static void take_addresses(const struct addrinfo *list, struct resolver_answer *answer)
{
	for (const struct addrinfo *a = list; a && answer->count < RESOLVER_ADDRESSES_MAX; a = a->ai_next) {
		struct bytes octets = BYTES_NONE;
		if (a->ai_family == AF_INET) {
			const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a->ai_addr;
			octets = bytes_of(&v4->sin_addr, sizeof(v4->sin_addr));
		} else if (a->ai_family == AF_INET6) {
			const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a->ai_addr;
			if (!IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
				octets = bytes_of(&v6->sin6_addr, sizeof(v6->sin6_addr));
		}
		if (address_from(octets, &answer->addresses[answer->count]))
			answer->count++;
	}
}

/*
 * Without AI_ADDRCONFIG: glibc does not count loopback addresses there, so a machine that has nothing else would not find
 * its own localhost, and IPv6 only on loopback would be hidden. An address of a family that has no route costs a connect
 * that fails at once, which happy eyeballs passes over.
 */
static void look_up(const char *name, struct resolver_answer *answer)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	*answer = (struct resolver_answer){0};
	int code = getaddrinfo(name, NULL, &hints, &list);
	if (code == 0) {
		take_addresses(list, answer);
		freeaddrinfo(list);
	}
	if (answer->count == 0) {
		const char *why = code == 0 ? "it has no address that can be used" : gai_strerror(code);
		if (code == EAI_NONAME || code == EAI_NODATA)
			why = "no such name";
		else if (code == EAI_AGAIN)
			why = "no name server answered";
		snprintf(answer->text, sizeof(answer->text), "%s", why);
	}
}

/* A name as a C string; false when it is none. */
static bool name_of(struct bytes body, char out[RESOLVER_NAME_MAX + 1])
{
	if (body.len == 0 || body.len > RESOLVER_NAME_MAX || bytes_find(body, 0, 0) < body.len)
		return false;
	memcpy(out, body.data, body.len);
	out[body.len] = '\0';
	return true;
}

static void answer_one(int fd, const struct ipc_message *question)
{
	char name[RESOLVER_NAME_MAX + 1];
	struct resolver_answer answer = {.text = "no such name"};
	if (name_of(question->body, name))
		look_up(name, &answer);
	uint8_t body[ANSWER_MAX];
	uint8_t datagram[IPC_HEAD + ANSWER_MAX];
	struct writer w = writer_over(body, sizeof(body));
	struct ipc_message message = {.kind = RESOLVER_RESOLVED, .id = question->id};
	resolver_answer_write(&w, &answer);
	if (!writer_done(&w, &message.body))
		return;
	size_t len = ipc_pack(datagram, sizeof(datagram), &message);
	/* A worker that does not read its answers makes this wait: it is the only one that asks here. */
	while (send(fd, datagram, len, MSG_NOSIGNAL) < 0) {
		struct pollfd room = {.fd = fd, .events = POLLOUT};
		if (errno == EAGAIN)
			poll(&room, 1, -1);
		else if (errno != EINTR)
			return;
	}
}

/* False when the other end has closed. */
static bool serve_one(struct resolver *resolver)
{
	uint8_t datagram[IPC_HEAD + RESOLVER_NAME_MAX + 1];
	struct ipc_message question;
	ssize_t n = recv(resolver->fd, datagram, sizeof(datagram), 0);
	if (n < 0) {
		struct pollfd more = {.fd = resolver->fd, .events = POLLIN};
		if (errno == EAGAIN)
			poll(&more, 1, -1);
		return errno == EAGAIN || errno == EINTR || errno == ECONNRESET;
	}
	/* A name too long was cut by recv and is refused by its length. */
	if (n > 0 && ipc_unpack(bytes_of(datagram, (size_t)n), &question) && question.kind == RESOLVER_RESOLVE)
		answer_one(resolver->fd, &question);
	return n > 0;
}

static void *run(void *arg)
{
	struct resolver *resolver = arg;
	while (serve_one(resolver))
		;
	atomic_fetch_add(&resolver->done, 1);
	return NULL;
}

bool resolver_done(const struct resolver *resolver)
{
	return atomic_load(&resolver->done) == resolver->count;
}

void resolver_wait(struct resolver *resolver)
{
	for (unsigned i = 0; i < resolver->count && !resolver->joined; i++)
		pthread_join(resolver->threads[i], NULL);
	resolver->joined = true;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	shutdown(resolver->fd, SHUT_RDWR);
	resolver_wait(resolver);
	close(resolver->fd);
	free(resolver);
}

struct resolver *resolver_serve(int fd, unsigned threads, struct error *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	if (!resolver || threads < 1 || threads > THREADS_MAX) {
		error_set(err, "cannot serve names with %u threads: 1 to %d can be had", threads, THREADS_MAX);
		free(resolver);
		close(fd);
		return NULL;
	}
	resolver->fd = fd;
	sigset_t all;
	sigset_t old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int code = 0;
	while (code == 0 && resolver->count < threads) {
		code = pthread_create(&resolver->threads[resolver->count], NULL, run, resolver);
		resolver->count += code == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		return resolver;
	errno = code;
	error_set_errno(err, "cannot start a thread of the resolver");
	resolver_free(resolver);
	return NULL;
}

#define CHANNELS_MAX 1024

/* Channels of a resolver process. A place is free when NULL. */
struct channels {
	struct resolver *all[CHANNELS_MAX];
	unsigned threads;
};

static bool channel_add(struct channels *channels, int fd)
{
	struct error err;
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		if (channels->all[i] && resolver_done(channels->all[i])) {
			resolver_free(channels->all[i]);
			channels->all[i] = NULL;
		}
		if (channels->all[i])
			continue;
		channels->all[i] = resolver_serve(fd, channels->threads, &err);
		if (!channels->all[i])
			log_error("resolver cannot serve a worker", LOG_S("reason", err.text));
		return channels->all[i] != NULL;
	}
	log_error("resolver cannot serve a worker", LOG_S("reason", "too many channels"));
	close(fd);
	return false;
}

/* One message of the supervisor. False when it has closed. */
static bool control_one(int control, struct channels *channels)
{
	uint8_t body[64];
	int fd;
	ssize_t n = local_socket_receive(control, body, sizeof(body), &fd);
	if (fd >= 0)
		(void)channel_add(channels, fd);
	return n > 0 || (n < 0 && errno == EINTR);
}

int resolver_main(int control, const int *fds, size_t count, unsigned threads)
{
	struct channels *channels = calloc(1, sizeof(*channels));
	if (!channels)
		return 1;
	int code = 0;
	channels->threads = threads;
	for (size_t i = 0; i < count; i++) {
		if (!channel_add(channels, fds[i]))
			code = 1;
	}
	while (control >= 0 && control_one(control, channels))
		;
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		if (channels->all[i])
			resolver_wait(channels->all[i]);
		resolver_free(channels->all[i]);
	}
	if (control >= 0)
		close(control);
	free(channels);
	return code;
}
