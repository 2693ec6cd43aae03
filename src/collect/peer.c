/* One connection of the collector. */
#include "collect/parts.h"

#include "base/hostport.h"
#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct peer *peer_of_io(struct loop_io *io)
{
	return (struct peer *)((char *)io - offsetof(struct peer, link.io));
}

/* At the end of a turn nothing points at them any more. */
void peers_bury(struct collector *collector)
{
	while (collector->graves) {
		struct peer *peer = collector->graves;
		collector->graves = peer->next;
		free(peer);
	}
}

static void bury(struct loop_task *task)
{
	peers_bury((struct collector *)((char *)task - offsetof(struct collector, burial)));
}

void peer_close(struct peer *peer, const char *why)
{
	struct collector *collector = peer->collector;
	if (peer->dead)
		return;
	peer->dead = true;
	if (peer->stage == PEER_LINES)
		lines_end(peer);
	log_info("client gone", LOG_S("name", peer->who.name), LOG_S("why", why));
	put_forget(collector, peer);
	give_free(peer);
	loop_timer_clear(collector->loop, &peer->timer);
	loop_task_cancel(collector->loop, &peer->again);
	link_close(&peer->link);
	if (peer->in.data)
		OPENSSL_cleanse(peer->in.data, peer->in.room);
	buffer_clear(&peer->in);
	if (peer->source)
		peer->source->connections--;
	if (peer->prev)
		peer->prev->next = peer->next;
	else
		collector->peers = peer->next;
	if (peer->next)
		peer->next->prev = peer->prev;
	collector->peer_count--;
	peer->next = collector->graves;
	collector->graves = peer;
	loop_task_queue(collector->loop, &collector->burial, bury);
}

void peer_send(struct peer *peer, struct bytes frame)
{
	if (!peer->dead && link_send(&peer->link, frame) == LINK_FAILED)
		peer_close(peer, peer->link.fault.text);
}

void peer_sorry(struct peer *peer, enum courier_why why, const char *text)
{
	uint8_t room[300];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes frame;
	if (peer->dead)
		return;
	log_warn("client refused", LOG_S("name", peer->who.name), LOG_S("why", text));
	courier_sorry_write(&to, why, text);
	if (peer->stage != PEER_LINES && writer_done(&to, &frame))
		peer_send(peer, frame);
	peer_close(peer, courier_why_text(why));
}

/* Frames. */

static void key_frame(struct peer *peer, const struct courier_frame *frame)
{
	if (frame->type == COURIER_PUT)
		put_frame(peer, frame->body);
	else
		peer_sorry(peer, COURIER_WHY_FORM, "a sender says PUT only");
}

static void read_frame(struct peer *peer, const struct courier_frame *frame)
{
	struct courier_want want;
	uint8_t grant[RELEASE_GRANT];
	if (frame->type == COURIER_WANT && courier_want_read(frame->body, &want))
		give_want(peer, &want);
	else if (frame->type == COURIER_ENOUGH && courier_enough_read(frame->body, grant))
		grants_enough(peer->collector, peer, grant);
	else
		peer_sorry(peer, COURIER_WHY_FORM, "a reader says WANT and ENOUGH only");
}

/*
 * Keys in so many octets, near enough for a rate: a sealed one without names has some 344. What comes together has entries
 * in the log, which cost more than keys do.
 */
static unsigned keys_in(size_t octets)
{
	return (unsigned)(octets / 344) + TOGETHER_KEYS;
}

static void rate_over(struct loop_timer *timer)
{
	struct peer *peer = (struct peer *)((char *)timer - offsetof(struct peer, timer));
	peer->slowed = false;
	peer_go_on(peer);
}

static void keep_rate(struct peer *peer, unsigned keys)
{
	struct collector *collector = peer->collector;
	uint64_t now_ns = loop_now_ns(collector->loop);
	uint64_t wait_ns = source_take(peer->source, collector->options->rate, keys, now_ns);
	if (wait_ns == 0)
		return;
	peer->slowed = true;
	loop_timer_set(collector->loop, &peer->timer, now_ns + wait_ns, rate_over);
}

static bool may_read(const struct peer *peer)
{
	return !peer->dead && !peer->slowed && peer->unanswered < BATCHES_MAX;
}

/* Whole frames at the front of what has come. */
static void take_frames(struct peer *peer)
{
	struct bytes in = buffer_bytes(&peer->in);
	size_t had = in.len;
	struct courier_frame frame;
	enum courier_result result = COURIER_MORE;
	while (may_read(peer) && (result = courier_take(&in, &frame)) == COURIER_OK) {
		peer->half_ns = 0; /* what may follow is another */
		if (peer->stage == PEER_KEYS)
			keep_rate(peer, keys_in(frame.body.len));
		if (peer->stage == PEER_KEYS)
			key_frame(peer, &frame);
		else
			read_frame(peer, &frame);
	}
	if (peer->dead)
		return;
	buffer_drop(&peer->in, had - in.len);
	if (result == COURIER_UNKNOWN || result == COURIER_TOO_LONG) {
		peer->collector->counts.malformed++;
		peer_sorry(peer, COURIER_WHY_FORM,
			result == COURIER_UNKNOWN ? "no frame begins so" : "a frame over 65536 octets");
	}
}

static void ended(struct peer *peer, enum link_result result)
{
	peer_close(peer, result == LINK_END ? "it has said goodbye" : peer->link.fault.text);
}

static void again(struct loop_task *task)
{
	struct peer *peer = (struct peer *)((char *)task - offsetof(struct peer, again));
	peer_go_on(peer);
}

void peer_again(struct peer *peer)
{
	loop_task_queue(peer->collector->loop, &peer->again, again);
}

static enum link_result read_lines(struct peer *peer)
{
	uint8_t room[16384];
	size_t len;
	enum link_result result = link_read(&peer->link, room, sizeof(room), &len);
	if (result == LINK_OK) {
		keep_rate(peer, keys_in(len));
		lines_take(peer, bytes_of(room, len));
		OPENSSL_cleanse(room, len);
	}
	return result;
}

static enum link_result read_frames(struct peer *peer)
{
	size_t space, len;
	uint8_t *room = buffer_space(&peer->in, &space);
	if (!room)
		return LINK_WAIT;
	enum link_result result = link_read(&peer->link, room, space, &len);
	if (result == LINK_OK) {
		peer->in.len += len;
		take_frames(peer);
	}
	return result;
}

void peer_go_on(struct peer *peer)
{
	if (peer->dead || peer->stage == PEER_HANDSHAKE)
		return;
	if (peer->stage != PEER_LINES)
		take_frames(peer); /* what a pause has left */
	for (unsigned turns = 0; may_read(peer); turns++) {
		if (turns == TURN_READS) {
			peer_again(peer);
			return;
		}
		enum link_result result = peer->stage == PEER_LINES ? read_lines(peer) : read_frames(peer);
		if (peer->dead || result == LINK_WAIT)
			return;
		if (result != LINK_OK) {
			ended(peer, result);
			return;
		}
	}
}

/* The handshake. */

static unsigned connections_of(const struct collector *collector, const struct collect_identity *who)
{
	unsigned count = 0;
	for (const struct peer *peer = collector->peers; peer; peer = peer->next)
		count += memcmp(peer->who.key_hash, who->key_hash, sizeof(who->key_hash)) == 0;
	return count;
}

static const char *refusal(struct peer *peer)
{
	struct collector *collector = peer->collector;
	bool reader = grants_have_reader(collector, &peer->who);
	if (connections_of(collector, &peer->who) > collector->options->client_connections)
		return "too many connections with one certificate: see --client-connections";
	if (peer->stage == PEER_READ)
		return reader ? NULL : "no grant names this certificate as its reader";
	if (reader)
		return "a reader's certificate cannot send keys";
	peer->source = source_of(collector, &peer->who);
	if (!peer->source)
		return "too many senders";
	peer->source->connections++;
	return NULL;
}

static void begin(struct peer *peer)
{
	static const char *const what[] = {
		[COLLECT_KEYS] = "keys", [COLLECT_READ] = "reader", [COLLECT_LINES] = "lines"};
	enum collect_protocol protocol = collect_protocol_of(peer->link.ssl);
	loop_timer_clear(peer->collector->loop, &peer->timer);
	peer->stage = protocol == COLLECT_KEYS ? PEER_KEYS : protocol == COLLECT_READ ? PEER_READ : PEER_LINES;
	if (!collect_identity_of(peer->link.ssl, &peer->who)) {
		peer_close(peer, "its certificate has no common name that can be shown whole");
		return;
	}
	text_hex(peer->key_hex, sizeof(peer->key_hex), bytes_of(peer->who.key_hash, sizeof(peer->who.key_hash)));
	log_info("client", LOG_S("name", peer->who.name), LOG_S("sends", what[protocol]), LOG_S("key", peer->key_hex));
	const char *why = refusal(peer);
	if (why) {
		peer->collector->counts.refused_clients++;
		peer_sorry(peer, COURIER_WHY_NOT_ALLOWED, why);
	}
}

static void handshake(struct peer *peer)
{
	switch (link_handshake(&peer->link)) {
	case LINK_OK:
		begin(peer);
		break;
	case LINK_WAIT:
		break;
	case LINK_END:
	case LINK_FAILED:
		peer->collector->counts.failed_handshakes++;
		peer_close(peer,
			peer->link.fault.text[0] ? peer->link.fault.text : "it left before the handshake was over");
		break;
	}
}

static void ready(struct loop_io *io)
{
	struct peer *peer = peer_of_io(io);
	if (peer->stage == PEER_HANDSHAKE)
		handshake(peer);
	if (peer->dead || peer->stage == PEER_HANDSHAKE)
		return;
	if (link_flush(&peer->link) == LINK_FAILED) {
		peer_close(peer, peer->link.fault.text);
		return;
	}
	if (peer->stage == PEER_READ)
		give_pump(peer);
	peer_go_on(peer);
}

static void too_slow(struct loop_timer *timer)
{
	struct peer *peer = (struct peer *)((char *)timer - offsetof(struct peer, timer));
	peer->collector->counts.failed_handshakes++;
	peer_close(peer, "the handshake took too long");
}

static void add_peer(struct collector *collector, int fd)
{
	const int on = 1;
	SSL *ssl = SSL_new(collector->ctx);
	struct peer *peer = calloc(1, sizeof(*peer));
	if (!ssl || !peer) {
		SSL_free(ssl);
		free(peer);
		close(fd);
		return;
	}
	/* A peer whose host has gone is found out in the end. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	SSL_set_accept_state(ssl);
	peer->collector = collector;
	peer->in.cap = PEER_IN_CAP;
	if (!link_init(&peer->link, collector->loop, ssl, fd, PEER_OUT_CAP, ready)) {
		free(peer);
		return;
	}
	peer->next = collector->peers;
	if (peer->next)
		peer->next->prev = peer;
	collector->peers = peer;
	collector->peer_count++;
	collector->counts.accepted++;
	loop_timer_set(collector->loop, &peer->timer, loop_now_ns(collector->loop) + collector->options->patience_ns,
		too_slow);
	ready(&peer->link.io);
}

void peer_accept(struct listening *listening)
{
	struct collector *collector = listening->collector;
	for (;;) {
		int fd = accept4(listening->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			break;
		if (collector->peer_count >= collector->options->clients) {
			if (collector->counts.refused_clients++ % 1000 == 0)
				log_warn("client turned away", LOG_S("why", "too many at once: see --clients"));
			close(fd);
			continue;
		}
		add_peer(collector, fd);
	}
	listening->io.readable = false;
}
