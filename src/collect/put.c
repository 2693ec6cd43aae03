/* Keys that come: judged by their grants, stored, and answered once their entries are in the log. */
#include "collect/parts.h"

#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>

#define GROUPS_MAX 16 /* grants in one batch that are counted together; more make several entries of one grant */

/* What one entry of the log speaks of. */
struct group {
	struct seal_head first; /* of the first key, whose grant and consent are those of all */
	uint64_t count;
	bool one_epoch, one_connection, one_name, from_client, from_server;
};

struct put {
	struct collector *collector;
	struct source *source;
	const struct grant *last; /* grant judged last: nearly always the next one's too */
	struct group groups[GROUPS_MAX];
	size_t group_count;
	struct batch *batch;
	uint64_t now_ns, wall_ns;
	int64_t now_s;
	bool lost; /* an entry was not taken */
};

static void logged(bool ok, void *ctx);

static void batch_free(struct batch *batch)
{
	free(batch ? batch->leans : NULL);
	free(batch);
}

struct put *put_begin(struct collector *collector, struct source *source)
{
	struct put *put = calloc(1, sizeof(*put));
	struct batch *batch = calloc(1, sizeof(*batch));
	if (!put || !batch) {
		free(put);
		batch_free(batch);
		return NULL;
	}
	batch->collector = collector;
	batch->from = store_end(collector->store);
	*put = (struct put){.collector = collector,
		.source = source,
		.batch = batch,
		.now_ns = collect_age_ns(collector, loop_now_ns(collector->loop)),
		.wall_ns = clock_wall_ns(),
		.now_s = collect_now_s()};
	return put;
}

/* With `last` the entry is waited for: those before it are on the disk then, too. */
static void log_group(struct put *put, const struct group *group, struct batch *last)
{
	const struct seal_head *first = &group->first;
	char id[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1], random[2 * KEYLOG_RANDOM + 1];
	struct audit_entry entry = {.kind = AUDIT_RELEASE};
	text_hex(id, sizeof(id), bytes_of(first->grant, RELEASE_GRANT));
	text_hex(key, sizeof(key), bytes_of(first->key_id, SEAL_KEY_ID));
	text_hex(random, sizeof(random), bytes_of(first->client_random, KEYLOG_RANDOM));
	entry_add(&entry, AUDIT_T("grant", bytes_str(id)));
	entry_add(&entry, AUDIT_T("reader_key", bytes_str(key)));
	if (group->one_connection)
		entry_add(&entry, AUDIT_C("connection", bytes_str(random)));
	if (group->one_name)
		entry_add(&entry, AUDIT_C("name", bytes_str(first->name)));
	if (first->grade == RELEASE_GRADE_RECORD) {
		entry_add(&entry, AUDIT_T("direction", bytes_str(group->from_client && group->from_server ? "both"
								 : group->from_client                     ? "client"
													  : "server")));
		if (group->one_epoch)
			entry_add(&entry, AUDIT_N("epoch", first->epoch));
	}
	entry_add(&entry, AUDIT_T("mode", bytes_str(first->mode == RELEASE_LIVE ? "live" : "after-rotation")));
	entry_add(&entry, AUDIT_T("grade", bytes_str(first->grade == RELEASE_GRADE_RAW ? "raw" : "record")));
	entry_add(&entry, AUDIT_N("count", group->count));
	entry_add(&entry, AUDIT_T("consent", bytes_str(first->consent == RELEASE_BOTH ? "both" : "unilateral")));
	entry_add(&entry, AUDIT_T("sender", bytes_str(put->source->name)));
	entry_add(&entry, AUDIT_T("sender_key", bytes_str(put->source->key_hex)));
	struct audit_log *log = put->collector->log;
	enum audit_result result = last ? audit_append_synced(log, &entry, put->wall_ns, logged, last)
	                                : audit_append(log, &entry, put->wall_ns, NULL);
	put->lost |= result != AUDIT_QUEUED;
}

static void count_in(struct put *put, const struct seal_head *head)
{
	size_t at = 0;
	while (at < put->group_count && (memcmp(put->groups[at].first.grant, head->grant, RELEASE_GRANT) != 0 ||
						put->groups[at].first.consent != head->consent))
		at++;
	if (at == GROUPS_MAX) {
		log_group(put, &put->groups[0], NULL);
		put->groups[0] = put->groups[--put->group_count];
		at = put->group_count;
	}
	struct group *group = &put->groups[at];
	if (at == put->group_count) {
		*group = (struct group){.first = *head, .one_epoch = true, .one_connection = true, .one_name = true};
		put->group_count++;
	}
	group->count++;
	group->one_epoch &= head->epoch == group->first.epoch;
	group->one_connection &= memcmp(head->client_random, group->first.client_random, KEYLOG_RANDOM) == 0;
	group->one_name &= strcmp(head->name, group->first.name) == 0;
	group->from_client |= head->from_client;
	group->from_server |= !head->from_client;
}

void put_refuse(struct put *put, enum courier_why why)
{
	struct courier_taken *taken = &put->batch->taken;
	if (taken->refused++ == 0)
		taken->why = (uint8_t)why;
	put->collector->counts.refused++;
}

static const struct grant *judge(struct put *put, const struct seal_head *head, enum courier_why *why)
{
	struct collector *collector = put->collector;
	const struct grant *grant = put->last;
	if (!grant || memcmp(grant->id, head->grant, RELEASE_GRANT) != 0)
		grant = grants_in_force(collector, head->grant, why);
	/* It may have come to the folder since that was read last: a key refused now is lost. */
	if (!grant && *why == COURIER_WHY_NO_GRANT && grants_stale(collector)) {
		grants_refresh(collector);
		grant = grants_in_force(collector, head->grant, why);
	}
	put->last = grant;
	if (!grant)
		return NULL;
	*why = !grant_has_sender(grant, put->source->name, put->source->key_hash)
	               ? COURIER_WHY_NOT_ALLOWED
	               : collect_why_of(grant_judge_head(grant, head, put->now_s));
	/* Its end is said before what is refused for it. */
	if (*why == COURIER_WHY_EXPIRED)
		grants_end_by_time(collector);
	return *why == COURIER_WHY_NONE ? grant : NULL;
}

/* A key that is known and not answered yet. Without memory for its number it is refused: it may come again. */
static void lean(struct put *put, const struct seal_head *head)
{
	struct batch *batch = put->batch;
	uint64_t number = 0;
	if (!store_find(put->collector->store, head, &number) || number < put->collector->visible)
		return;
	/* A power of two: there is room for no more. */
	size_t count = batch->lean_count;
	if ((count & (count - 1)) == 0) {
		uint64_t *more = realloc(batch->leans, (count ? 2 * count : 1) * sizeof(*more));
		if (!more) {
			batch->taken.known--;
			put_refuse(put, COURIER_WHY_FULL);
			return;
		}
		batch->leans = more;
	}
	batch->leans[batch->lean_count++] = number;
}

void put_one(struct put *put, struct bytes sealed)
{
	struct collector *collector = put->collector;
	struct courier_taken *taken = &put->batch->taken;
	enum courier_why why = COURIER_WHY_FORM;
	struct seal_head head;
	bool form = seal_head_read(sealed, &head);
	const struct grant *grant = form ? judge(put, &head, &why) : NULL;
	collector->counts.malformed += !form;
	if (!grant) {
		put_refuse(put, why);
		return;
	}
	switch (store_put(collector->store, &put->source->owner, &head, sealed, source_number(collector, put->source),
		put->now_ns, put->wall_ns)) {
	case STORE_CONTRADICTS:
		taken->contradictory++;
		taken->fresh++;
		break;
	case STORE_FRESH:
		taken->fresh++;
		break;
	case STORE_KNOWN:
		taken->known++;
		lean(put, &head);
		return;
	case STORE_FULL:
		put_refuse(put, COURIER_WHY_FULL);
		return;
	}
	count_in(put, &head);
}

/* What was thought to be known, because it had come in from..to, is not. */
static void stop_leaning(struct batch *batch, uint64_t from, uint64_t to, enum courier_why why)
{
	struct courier_taken *taken = &batch->taken;
	size_t kept = 0;
	for (size_t i = 0; i < batch->lean_count; i++) {
		if (batch->leans[i] < from || batch->leans[i] >= to) {
			batch->leans[kept++] = batch->leans[i];
			continue;
		}
		taken->known--;
		taken->refused++;
		taken->why = (uint8_t)why;
		batch->unsure |= why == COURIER_WHY_BUS;
	}
	batch->lean_count = kept;
}

/* What earlier batches lost while this one was looked at: why is not known any more, so that its sender is to come again. */
static void look_at_leans(struct batch *batch)
{
	struct store_item item;
	for (size_t i = 0; i < batch->lean_count;) {
		uint64_t number = batch->leans[i];
		if (store_at(batch->collector->store, number, &item))
			i++;
		else
			stop_leaning(batch, number, number + 1, COURIER_WHY_BUS);
	}
}

/* A batch whose entries did not get into the log, or whose keys not onto the bus, was never taken. */
static void undo(struct batch *batch)
{
	struct courier_taken *taken = &batch->taken;
	for (uint64_t n = batch->from; n < batch->to; n++)
		store_drop(batch->collector->store, n);
	taken->refused += taken->fresh;
	taken->fresh = taken->contradictory = 0;
	taken->why = (uint8_t)batch->why;
	batch->collector->counts.refused_log += batch->why == COURIER_WHY_LOG;
	stop_leaning(batch, batch->from, batch->to, batch->why);
	for (struct batch *later = batch->collector->batches; later; later = later->next)
		stop_leaning(later, batch->from, batch->to, batch->why);
}

void put_take_out(struct batch *batch, uint64_t number, enum courier_why why)
{
	struct courier_taken *taken = &batch->taken;
	store_drop(batch->collector->store, number);
	taken->fresh--;
	taken->contradictory = taken->contradictory < taken->fresh ? taken->contradictory : taken->fresh;
	taken->refused++;
	taken->why = (uint8_t)why;
	batch->collector->counts.refused++;
	/* This one stands among them. */
	for (struct batch *other = batch->collector->batches; other; other = other->next)
		stop_leaning(other, number, number + 1, why);
}

/* It is not known what its sender still has to bring: that it brings all of it again is simplest. */
static void send_away(struct peer *peer, enum courier_why why)
{
	peer->unanswered--;
	peer_sorry(peer, why, courier_why_text(why));
}

static void answer(struct batch *batch)
{
	uint8_t room[64];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes frame;
	struct peer *peer = batch->peer;
	if (!peer || peer->dead)
		return;
	if (batch->unsure || (!batch->ok && batch->why == COURIER_WHY_BUS)) {
		send_away(peer, COURIER_WHY_BUS);
		return;
	}
	peer->unanswered--;
	courier_taken_write(&to, &batch->taken);
	if (peer->stage == PEER_KEYS && writer_done(&to, &frame))
		peer_send(peer, frame);
	/* Later: this may be called from within what reads. */
	if (!peer->dead)
		peer_again(peer);
}

/* Answers in the order in which batches came: what can be given grows without holes. */
void put_settle(struct collector *collector)
{
	bool fresh = false;
	spool_batches(collector);
	while (collector->batches && collector->batches->done) {
		struct batch *batch = collector->batches;
		collector->batches = batch->next;
		if (!collector->batches)
			collector->batches_end = &collector->batches;
		if (!batch->ok)
			undo(batch);
		if (batch->to > collector->visible)
			collector->visible = batch->to;
		fresh |= batch->taken.fresh > 0;
		answer(batch);
		batch_free(batch);
	}
	if (fresh)
		give_pump_all(collector);
}

static void settle_now(struct loop_task *task)
{
	put_settle((struct collector *)((char *)task - offsetof(struct collector, settling)));
}

/* With a disk to wait for, at the end of the turn: what came together is synced together. */
static void settle(struct collector *collector)
{
	if (collector->spool_fd >= 0)
		loop_task_queue(collector->loop, &collector->settling, settle_now);
	else
		put_settle(collector);
}

void put_settled(struct batch *batch, bool ok, enum courier_why why)
{
	batch->done = true;
	batch->ok = ok;
	if (!ok)
		batch->why = why;
	settle(batch->collector);
}

static void logged(bool ok, void *ctx)
{
	struct batch *batch = ctx;
	if (!ok || !bus_take(batch))
		put_settled(batch, ok, COURIER_WHY_LOG);
}

static void log_refusals(struct put *put)
{
	const struct courier_taken *taken = &put->batch->taken;
	struct audit_entry entry = {.kind = AUDIT_REFUSAL};
	entry_add(&entry, AUDIT_T("why", bytes_str(courier_why_text(taken->why))));
	entry_add(&entry, AUDIT_T("side", bytes_str("collector")));
	entry_add(&entry, AUDIT_N("count", taken->refused));
	entry_add(&entry, AUDIT_T("sender", bytes_str(put->source->name)));
	entry_add(&entry, AUDIT_T("sender_key", bytes_str(put->source->key_hex)));
	(void)!audit_append(put->collector->log, &entry, put->wall_ns, NULL);
	log_warn("keys refused", LOG_S("from", put->source->name), LOG_S("why", courier_why_text(taken->why)),
		LOG_N("count", taken->refused));
}

/* While an entry is on its way the batch is not done; one that was not taken undoes it. */
static void log_all(struct put *put)
{
	struct batch *batch = put->batch;
	for (size_t i = 0; i < put->group_count; i++)
		log_group(put, &put->groups[i], i + 1 == put->group_count && !put->lost ? batch : NULL);
	batch->ok = !put->lost;
	batch->done = put->lost || put->group_count == 0;
	batch->why = COURIER_WHY_LOG;
}

void put_end(struct put *put, struct peer *peer, uint64_t number)
{
	struct collector *collector = put->collector;
	struct batch *batch = put->batch;
	batch->to = store_end(collector->store);
	look_at_leans(batch);
	batch->peer = peer;
	batch->taken.batch = number;
	collector->counts.batches++;
	if (peer)
		peer->unanswered++;
	if (batch->taken.refused > 0)
		log_refusals(put);
	*collector->batches_end = batch;
	collector->batches_end = &batch->next;
	log_all(put);
	free(put);
	settle(collector);
}

void put_frame(struct peer *peer, struct bytes body)
{
	struct collector *collector = peer->collector;
	uint64_t number;
	struct bytes items, sealed;
	struct put *put = put_begin(collector, peer->source);
	if (!put || !courier_put_read(body, &number, &items)) {
		batch_free(put ? put->batch : NULL);
		free(put);
		peer_sorry(peer, COURIER_WHY_FORM, "a batch begins with its number");
		return;
	}
	bool open = audit_log_closed(collector->log) == NULL;
	while (bytes_vec16(&items, &sealed)) {
		if (open)
			put_one(put, sealed);
		else
			put_refuse(put, COURIER_WHY_LOG);
	}
	if (items.len > 0) {
		collector->counts.malformed++;
		put_refuse(put, COURIER_WHY_FORM);
	}
	put_end(put, peer, number);
}

void put_forget(struct collector *collector, const struct peer *peer)
{
	for (struct batch *batch = collector->batches; batch; batch = batch->next) {
		if (batch->peer == peer)
			batch->peer = NULL;
	}
}
