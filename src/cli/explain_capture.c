#include "cli/explain_capture.h"

#include "base/text.h"
#include "explain/schedule_streams.h"
#include "keys/keyring.h"
#include "watch/capture.h"
#include "watch/link.h"
#include "watch/table.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRONT_MAX   ((size_t)64 * 1024)        /* octets of each direction before it is known to be the one */
#define FRONT_TOTAL ((size_t)64 * 1024 * 1024) /* octets of all that are not known to be it, by what is allocated */
#define STREAM_MAX  ((size_t)64 * 1024 * 1024) /* octets of each direction of the one */

/* A connection of the capture that may be the one. */
struct candidate {
	struct buffer octets[2];
	const char *because[2]; /* octets are missing behind those that are held */
	struct collect hello;
	uint8_t *scratch; /* FRONT_MAX octets, for a hello that spans records; else NULL */
	uint64_t number;  /* among those of TLS, from 1; 0: its ClientHello has not come */
	uint8_t random[HELLO_RANDOM];
	char client[64], server[64];
};

struct search {
	const struct explain_capture *wish;
	struct keyring *ring;
	struct table *table;
	struct candidate *found; /* the one */
	bool over;               /* it has ended */
	uint64_t count;          /* connections of TLS */
	uint64_t number;         /* wanted; 0: any */
	bool by_random;
	uint8_t random[HELLO_RANDOM]; /* wanted, where by_random */
	size_t held;                  /* octets allocated for those that are not known to be the one */
	uint64_t crowded;             /* passed over because that was FRONT_TOTAL */
	uint64_t endless;             /* passed over because no hello was whole within FRONT_MAX */
	bool no_memory;
};

static size_t weight(const struct candidate *candidate)
{
	return sizeof(*candidate) + candidate->octets[0].room + candidate->octets[1].room +
	       (candidate->scratch ? FRONT_MAX : 0);
}

static void candidate_free(struct candidate *candidate)
{
	if (!candidate)
		return;
	buffer_clear(&candidate->octets[0]);
	buffer_clear(&candidate->octets[1]);
	free(candidate->scratch);
	free(candidate);
}

static bool has_keys(struct search *search, const struct candidate *candidate)
{
	struct keyset keys = {0};
	bool found = keyring_find_random(search->ring, bytes_of(candidate->random, HELLO_RANDOM), &keys) > 0;
	keyset_free(&keys);
	return found;
}

static bool is_wanted(struct search *search, const struct candidate *candidate)
{
	if (search->by_random)
		return memcmp(search->random, candidate->random, HELLO_RANDOM) == 0;
	return search->number > 0 ? candidate->number == search->number : has_keys(search, candidate);
}

/* One that is not known to be the one is let go. */
static void drop(struct search *search, struct connection *c)
{
	search->held -= weight(c->user);
	candidate_free(c->user);
	c->user = NULL;
}

static void pass_over(struct search *search, struct connection *c)
{
	drop(search, c);
	table_ignore(search->table, c);
}

static void write_ends(struct candidate *candidate, const struct connection *c)
{
	flow_address_text(connection_client(c), candidate->client, sizeof(candidate->client));
	flow_address_text(connection_server(c), candidate->server, sizeof(candidate->server));
}

/* A hello in one record needs no room of its own; one that spans several is begun again with some. */
static enum schedule_opening read_hello(struct search *search, struct candidate *candidate)
{
	struct bytes octets = buffer_bytes(&candidate->octets[FLOW_UP]);
	enum schedule_opening opening = schedule_streams_random(&candidate->hello, octets, candidate->random);
	if (opening != SCHEDULE_NO_ROOM || candidate->scratch)
		return opening;
	candidate->scratch = malloc(FRONT_MAX);
	search->no_memory |= !candidate->scratch;
	if (!candidate->scratch)
		return SCHEDULE_NO_HELLO;
	search->held += FRONT_MAX;
	collect_init(&candidate->hello, candidate->scratch, FRONT_MAX);
	return schedule_streams_random(&candidate->hello, octets, candidate->random);
}

/* The client's octets so far: once its hello is whole, it is the one or it is passed over. */
static void judge(struct search *search, struct connection *c)
{
	struct candidate *candidate = c->user;
	enum schedule_opening opening = read_hello(search, candidate);
	if (opening == SCHEDULE_MORE)
		return;
	if (opening != SCHEDULE_HELLO) {
		pass_over(search, c);
		return;
	}
	candidate->number = ++search->count;
	if (search->found || !is_wanted(search, candidate)) {
		pass_over(search, c);
		return;
	}
	candidate->octets[0].cap = candidate->octets[1].cap = STREAM_MAX;
	write_ends(candidate, c);
	search->found = candidate;
	search->held -= weight(candidate);
}

static void opened(void *arg, struct connection *c, uint64_t time_ns)
{
	struct search *search = arg;
	bool crowded = search->held >= FRONT_TOTAL;
	struct candidate *candidate = search->found || crowded ? NULL : calloc(1, sizeof(*candidate));
	(void)time_ns;
	c->user = candidate;
	if (!candidate) {
		search->crowded += !search->found && crowded;
		search->no_memory |= !search->found && !crowded;
		table_ignore(search->table, c);
		return;
	}
	candidate->octets[0].cap = candidate->octets[1].cap = FRONT_MAX;
	collect_init(&candidate->hello, NULL, 0);
	search->held += weight(candidate);
}

/* Octets of one that is not known to be the one. */
static void front(struct search *search, struct connection *c, enum flow_direction direction, struct bytes octets)
{
	struct candidate *candidate = c->user;
	size_t before = weight(candidate);
	bool fits = buffer_add(&candidate->octets[direction], octets);
	search->held += weight(candidate) - before;
	if (fits && direction == FLOW_UP)
		judge(search, c);
	candidate = c->user;
	if (!candidate || candidate == search->found)
		return;
	bool crowded = search->held > FRONT_TOTAL;
	search->endless += !fits;
	search->crowded += fits && crowded;
	if (!fits || crowded || search->found)
		pass_over(search, c);
}

static void data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes octets,
	uint64_t time_ns)
{
	struct search *search = arg;
	struct candidate *candidate = c->user;
	(void)offset;
	(void)time_ns;
	if (!candidate || candidate->because[direction])
		return;
	if (candidate != search->found)
		front(search, c, direction, octets);
	else if (!buffer_add(&candidate->octets[direction], octets))
		candidate->because[direction] = "more was sent than is looked at here";
}

static void gap(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
	enum stream_cause cause, uint64_t time_ns)
{
	struct search *search = arg;
	struct candidate *candidate = c->user;
	(void)offset;
	(void)octets;
	(void)cause;
	(void)time_ns;
	if (!candidate)
		return;
	if (candidate != search->found && direction == FLOW_UP)
		pass_over(search, c); /* no hello becomes whole any more */
	else if (!candidate->because[direction])
		candidate->because[direction] = "octets are missing in the capture";
}

static void closed(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	struct search *search = arg;
	struct candidate *candidate = c->user;
	(void)time_ns;
	if (!candidate)
		return;
	if (candidate != search->found) {
		drop(search, c);
		return;
	}
	search->over = true;
	for (unsigned i = 0; reason == TABLE_FINISHED && i < 2; i++) {
		if (!candidate->because[i])
			candidate->because[i] = "the capture ends there";
	}
}

/* Packets. */

static void take_secrets(const struct capture_secrets *secrets, void *context)
{
	(void)keyring_add_text(((struct search *)context)->ring, secrets->text);
}

static bool read_packets(struct search *search, struct capture *capture, struct error *err)
{
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct capture_item item;
	struct packet packet;
	enum capture_result result = CAPTURE_FRAME;
	while (!search->over) {
		result = capture_next(capture, &item, -1, err);
		if (result == CAPTURE_SECRETS)
			take_secrets(&item.secrets, search);
		else if (result != CAPTURE_FRAME)
			break;
		else if (link_decode(&item.frame, fragments, &packet) == LINK_PACKET && packet.protocol == PACKET_TCP)
			table_packet(search->table, &packet, table_hash(&packet));
	}
	fragments_free(fragments);
	table_finish(search->table);
	/* A capture that was cut short may hold the connection all the same. */
	return result != CAPTURE_BROKEN || search->found != NULL;
}

static bool read_wish(struct search *search, struct error *err)
{
	const char *text = search->wish->connection;
	size_t len = 0;
	if (!text)
		return true;
	search->by_random = text_unhex(search->random, sizeof(search->random), &len, bytes_str(text)) &&
	                    len == sizeof(search->random);
	return search->by_random || (text_number(bytes_str(text), UINT64_MAX, &search->number) && search->number > 0) ||
	       error_set(err, "%s: a connection is named by its number, from 1, or by its client random, 64 hex digits",
		       text);
}

static bool add_keys(struct search *search, struct error *err)
{
	const struct explain_capture *wish = search->wish;
	for (size_t i = 0; i < wish->key_count; i++) {
		if (!keyring_add_file(search->ring, wish->keys[i], false, err))
			return false;
	}
	for (size_t i = 0; i < wish->psk_count; i++) {
		if (!keyring_add_psks(search->ring, wish->psks[i], err))
			return false;
	}
	return keyring_update(search->ring, 0, err) != KEYRING_UNREADABLE;
}

static bool search_capture(struct search *search, struct error *err)
{
	const struct capture_options options = {.path = search->wish->path, .stop_fd = -1};
	const struct table_limits limits = table_limits_default();
	const struct table_events events = {.opened = opened, .data = data, .gap = gap, .closed = closed};
	struct capture *capture = capture_open(&options, err);
	/* Secrets may stand behind the packets that they open: a file is looked through for them first. */
	bool ok = capture && (!capture_seekable(capture) || capture_scan_secrets(capture, take_secrets, search, err));
	search->table = ok ? table_new(&limits, &events, search) : NULL;
	if (ok && !search->table)
		ok = error_set(err, "no memory");
	ok = ok && read_packets(search, capture, err);
	table_free(search->table);
	capture_free(capture);
	return ok;
}

/* What was not looked at, behind a sentence; nothing where all was. */
static const char *passed_text(const struct search *search, char out[200])
{
	out[0] = '\0';
	if (search->crowded + search->endless > 0)
		snprintf(out, 200,
			"; connections that were passed over unread: %llu for want of room, %llu whose first "
			"%zu octets hold no whole hello",
			(unsigned long long)search->crowded, (unsigned long long)search->endless, FRONT_MAX);
	return out;
}

static bool none_found(const struct search *search, struct error *err)
{
	unsigned long long count = search->count;
	const char *path = search->wish->path;
	char passed[200];
	passed_text(search, passed);
	if (search->no_memory)
		return error_set(err, "no memory");
	if (count == 0)
		return error_set(err, "%s: no TCP connection in it begins with a ClientHello%s", path, passed);
	if (search->wish->connection)
		return error_set(err, "%s: %llu connection%s of TLS begin%s in it, and %s is none of them%s", path,
			count, count == 1 ? "" : "s", count == 1 ? "s" : "", search->wish->connection, passed);
	return error_set(err,
		"%s: %llu connection%s of TLS begin%s in it, and the keys fit none: give its key log with --keys%s",
		path, count, count == 1 ? "" : "s", count == 1 ? "s" : "", passed);
}

static bool read_found(struct search *search, struct buffer *room, struct schedule_source *out, char said[EXPLAIN_SAID],
	struct error *err)
{
	struct candidate *one = search->found;
	struct crypto *crypto = crypto_new();
	char hex[HELLO_RANDOM * 2 + 1];
	const struct schedule_streams streams = {
		.octets = {buffer_bytes(&one->octets[FLOW_UP]), buffer_bytes(&one->octets[FLOW_DOWN])},
		.because = {one->because[FLOW_UP], one->because[FLOW_DOWN]}};
	char passed[200];
	text_hex(hex, sizeof(hex), bytes_of(one->random, HELLO_RANDOM));
	snprintf(said, EXPLAIN_SAID, "%s, connection %llu of those of TLS: from %s to %s, client random %s%s.",
		search->wish->path, (unsigned long long)one->number, one->client, one->server, hex,
		passed_text(search, passed));
	bool ok = crypto ? schedule_streams_read(crypto, &streams, search->ring, room, out, err)
	                 : error_set(err, "no memory");
	if (!ok)
		(void)error_prefix(err, "%s, connection %llu", search->wish->path, (unsigned long long)one->number);
	crypto_free(crypto);
	return ok;
}

bool explain_capture_read(const struct explain_capture *wish, struct buffer *room, struct schedule_source *out,
	char said[EXPLAIN_SAID], struct error *err)
{
	struct search search = {.wish = wish, .ring = keyring_new(NULL)};
	*out = (struct schedule_source){.name = "capture"};
	bool ok = search.ring != NULL || error_set(err, "no memory");
	ok = ok && read_wish(&search, err) && add_keys(&search, err) && search_capture(&search, err);
	if (ok)
		ok = search.found ? read_found(&search, room, out, said, err) : none_found(&search, err);
	candidate_free(search.found);
	keyring_free(search.ring);
	return ok;
}
