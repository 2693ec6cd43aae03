/* Keys that go: to a reader, those its grants cover, once the entry that says so is in the log. */
#include "collect/parts.h"

#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>

#define GRANTS_READ 16 /* grants that one entry each is written for at a time */

/* What one turn gives. */
struct gather {
	struct peer *peer;
	struct writer to;
	size_t mark; /* of the frame in progress */
	bool open;
	uint64_t next;
	int64_t now_s;
	struct {
		const struct grant *grant;
		uint64_t keys;
	} read[GRANTS_READ];
	size_t grants;
};

static bool covered(const struct gather *gather, const struct seal_head *head, const struct grant **grant)
{
	enum courier_why why;
	*grant = grants_in_force(gather->peer->collector, head->grant, &why);
	return *grant && grant_is_of(*grant, &gather->peer->who) &&
	       grant_judge_head(*grant, head, gather->now_s) == GRANT_ALLOWS;
}

static bool count_in(struct gather *gather, const struct grant *grant)
{
	size_t at = 0;
	while (at < gather->grants && gather->read[at].grant != grant)
		at++;
	if (at == GRANTS_READ)
		return false;
	if (at == gather->grants) {
		gather->read[at].grant = grant;
		gather->read[at].keys = 0;
		gather->grants++;
	}
	gather->read[at].keys++;
	return true;
}

/* The number that the reader goes on with is known at the end: it is written where the frame began. */
static void close_frame(struct gather *gather, uint64_t next)
{
	if (!gather->open)
		return;
	struct writer number = writer_over(gather->to.data + gather->mark, 8);
	writer_u64(&number, next);
	courier_close(&gather->to, gather->mark);
	gather->open = false;
}

static void open_frame(struct gather *gather)
{
	gather->mark = courier_open(&gather->to, COURIER_GIVE);
	writer_u64(&gather->to, 0);
	gather->open = true;
}

/* False when there is no room for it now. */
static bool add(struct gather *gather, const struct store_item *item, uint64_t number)
{
	const struct collector *collector = gather->peer->collector;
	const char *sender = item->tag < collector->source_count ? collector->sources[item->tag]->name : "";
	size_t len = item->sealed.len + strlen(sender) + 16;
	if (gather->open && gather->to.len - gather->mark + len > COURIER_MAX_BODY)
		close_frame(gather, number);
	if (gather->to.len + len + 64 > gather->to.cap)
		return false;
	if (!gather->open)
		open_frame(gather);
	writer_vec8(&gather->to, bytes_str(sender));
	writer_u64(&gather->to, item->wall_ns);
	writer_vec16(&gather->to, item->sealed);
	return true;
}

/* From the cursor on, until the room is full or nothing more is there. Returns how many keys. */
static uint64_t gather_keys(struct gather *gather)
{
	const struct collector *collector = gather->peer->collector;
	const struct store *store = collector->store;
	uint64_t first = store_first(store), number = gather->peer->cursor, keys = 0;
	const struct grant *grant;
	struct store_item item;
	struct seal_head head;
	for (number = number < first ? first : number; number < collector->visible; number++) {
		if (!store_at(store, number, &item) || !seal_head_read(item.sealed, &head) ||
			!covered(gather, &head, &grant))
			continue;
		if (!count_in(gather, grant) || !add(gather, &item, number))
			break;
		keys++;
	}
	close_frame(gather, number);
	gather->next = number;
	return keys;
}

static void logged(bool ok, void *ctx);

/* One entry for each grant; the last is waited for. `owed` is freed by `logged`. */
static bool log_reads(const struct gather *gather, struct give_owed *owed)
{
	const struct peer *peer = gather->peer;
	struct audit_log *log = peer->collector->log;
	char id[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1];
	bool ok = true;
	for (size_t i = 0; i < gather->grants && ok; i++) {
		const struct grant *grant = gather->read[i].grant;
		struct audit_entry entry = {.kind = AUDIT_READ};
		text_hex(id, sizeof(id), bytes_of(grant->id, RELEASE_GRANT));
		text_hex(key, sizeof(key), bytes_of(grant->key_id, SEAL_KEY_ID));
		entry_add(&entry, AUDIT_T("client", bytes_str(peer->key_hex)));
		entry_add(&entry, AUDIT_T("client_name", bytes_str(peer->who.name)));
		entry_add(&entry, AUDIT_T("as", bytes_str("reader")));
		entry_add(&entry, AUDIT_N("keys", gather->read[i].keys));
		entry_add(&entry, AUDIT_T("grant", bytes_str(id)));
		entry_add(&entry, AUDIT_T("reader_key", bytes_str(key)));
		bool last = i + 1 == gather->grants;
		ok = (last ? audit_append_synced(log, &entry, clock_wall_ns(), logged, owed)
			   : audit_append(log, &entry, clock_wall_ns(), NULL)) == AUDIT_QUEUED;
	}
	return ok;
}

static void caught_up(struct peer *peer)
{
	uint8_t room[32];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes frame;
	if (peer->caught_up)
		return;
	peer->caught_up = true;
	courier_caught_up_write(&to, peer->cursor);
	if (writer_done(&to, &frame))
		peer_send(peer, frame);
}

static bool room_made(struct give *give)
{
	if (!give->frames)
		give->frames = malloc(GIVE_ROOM);
	return give->frames != NULL;
}

void give_pump(struct peer *peer)
{
	struct collector *collector = peer->collector;
	struct give *give = &peer->give;
	bool may = peer->wants && !peer->dead && !give->owed && link_space(&peer->link) >= GIVE_ROOM &&
	           audit_log_closed(collector->log) == NULL;
	if (!may)
		return;
	if (!room_made(give))
		return;
	struct gather gather = {.peer = peer, .to = writer_over(give->frames, GIVE_ROOM), .now_s = collect_now_s()};
	if (gather_keys(&gather) == 0) {
		peer->cursor = gather.next;
		caught_up(peer);
		return;
	}
	struct give_owed *owed = calloc(1, sizeof(*owed));
	if (!owed)
		return;
	owed->peer = peer;
	if (!log_reads(&gather, owed)) {
		free(owed);
		return;
	}
	give->owed = owed;
	give->len = gather.to.len;
	give->next = gather.next;
	give->generation = collector->generation;
	for (size_t i = 0; i < gather.grants; i++)
		give->keys += gather.read[i].keys;
}

/* What the entry spoke of may go now, if the grants are still those it was judged by. */
static void logged(bool ok, void *ctx)
{
	struct give_owed *owed = ctx;
	struct peer *peer = owed->peer;
	free(owed);
	if (!peer)
		return;
	struct give *give = &peer->give;
	uint64_t keys = give->keys;
	give->owed = NULL;
	give->keys = 0;
	if (peer->dead || !ok)
		return;
	if (give->generation == peer->collector->generation) {
		peer->cursor = give->next;
		peer->caught_up = false;
		peer->collector->counts.given += keys;
		peer->collector->counts.reads++;
		peer_send(peer, bytes_of(give->frames, give->len));
	}
	give_pump(peer);
}

void give_pump_all(struct collector *collector)
{
	for (struct peer *peer = collector->peers, *next; peer; peer = next) {
		next = peer->next;
		if (peer->stage == PEER_READ)
			give_pump(peer);
	}
}

void give_want(struct peer *peer, const struct courier_want *want)
{
	struct collector *collector = peer->collector;
	uint8_t room[64];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes frame;
	bool same = memcmp(want->instance, collector->instance, COURIER_INSTANCE) == 0;
	if (peer->wants) {
		peer_sorry(peer, COURIER_WHY_FORM, "WANT is said once");
		return;
	}
	peer->wants = true;
	peer->follow = want->follow;
	peer->cursor = same ? want->from : 0;
	courier_instance_write(&to, collector->instance, collector->options->store.lifetime_ns / NS_PER_MS);
	if (writer_done(&to, &frame))
		peer_send(peer, frame);
	log_info("reader", LOG_S("name", peer->who.name), LOG_S("follow", peer->follow ? "yes" : "no"));
	give_pump(peer);
}

void give_free(struct peer *peer)
{
	if (peer->give.owed)
		peer->give.owed->peer = NULL;
	free(peer->give.frames);
	peer->give = (struct give){0};
}
