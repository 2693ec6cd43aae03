/* What goes into the next batch: each release sealed to every reader of it, and entered in the log first. */
#include "share/sender_parts.h"

#include "base/clock.h"
#include "share/entry.h"

_Static_assert(QUEUE_TAG == ENDS_TAG, "a tag names a connection");

static void add_sealed(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed)
{
	struct sender *sender = arg;
	struct entry_texts texts;
	struct audit_entry entry;
	bool fits = sender->more.len == 0 && sender->frame.cap - sender->frame.len >= sealed.len + 2;
	entry_of_release(grant, release, &texts, &entry);
	/* Its entry first: what is not logged does not leave. */
	if (!sender_log(sender, &entry)) {
		sender->counts.unlogged++;
		return;
	}
	writer_vec16(fits ? &sender->frame : &sender->more, sealed);
	sender->batch.sealed += fits;
	sender->logged++;
}

static void add_tag(struct sender *sender, const uint8_t tag[static QUEUE_TAG])
{
	memcpy(sender->batch.tags.octets[sender->batch.tags.count++], tag, QUEUE_TAG);
}

/* For every reader who is to get it. False: nobody is. */
static bool seal_one(struct sender *sender, struct queued *one)
{
	uint64_t before = sender->logged;
	const struct granting_ask ask = {
		.wall_s = sender_wall_s(), .now_ns = clock_monotonic_ns(), .tag = one->tagged ? one->tag : NULL};
	size_t count = granting_seal(sender->granting, &one->release, &ask, add_sealed, sender);
	release_wipe(&one->release);
	sender->counts.sealed += count;
	bool waits = one->tagged && count > 0 && sender->logged - before == count;
	sender->more_left = bytes_of(sender->more_room, sender->more.len);
	sender->more_tagged = waits && sender->more.len > 0;
	if (sender->more_tagged)
		memcpy(sender->more_tag, one->tag, QUEUE_TAG);
	else if (waits)
		add_tag(sender, one->tag);
	if (one->tagged && count == 0 && sender->options.done)
		sender->options.done(sender->options.arg, one->tag);
	return count > 0;
}

/* What the frames before had no room for. */
static void add_more(struct sender *sender)
{
	struct bytes rest = sender->more_left, sealed;
	while (bytes_vec16(&rest, &sealed) && sender->frame.cap - sender->frame.len >= sealed.len + 2) {
		writer_vec16(&sender->frame, sealed);
		sender->batch.sealed++;
		sender->more_left = rest;
	}
	if (sender->more_left.len > 0)
		return;
	sender->more = writer_over(sender->more_room, sizeof(sender->more_room));
	if (sender->more_tagged)
		add_tag(sender, sender->more_tag);
	sender->more_tagged = false;
}

uint32_t sender_drop_more(struct sender *sender)
{
	struct bytes sealed;
	uint32_t count = 0;
	while (bytes_vec16(&sender->more_left, &sealed))
		count++;
	sender->more.len = 0;
	sender->more_tagged = false;
	return count;
}

bool sender_fill(struct sender *sender)
{
	uint64_t uncovered = 0;
	sender->batch = (struct batch){.frame = sender->room};
	sender->frame = writer_over(sender->room, sizeof(sender->room));
	size_t mark = courier_open(&sender->frame, COURIER_PUT);
	writer_u64(&sender->frame, 0);
	add_more(sender);
	for (size_t i = sender->batch.tags.count;
		i < BATCH_TAGS && sender->more.len == 0 && sender->frame.len < SENDER_FRAME / 2 &&
		queue_take(sender->queue, sender->one);
		i++)
		uncovered += !seal_one(sender, sender->one);
	courier_close(&sender->frame, mark);
	sender->batch.len = sender->frame.len;
	sender->counts.uncovered += uncovered;
	if (uncovered > 0)
		sender_log_refusal(sender, "no grant covers it", "host", uncovered);
	if (sender->batch.sealed == 0)
		return false;
	if (audit_flush(sender->log))
		return true;
	sender->counts.unlogged += sender->batch.sealed + sender_drop_more(sender);
	return false;
}
