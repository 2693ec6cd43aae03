/* Batches on their way, until the collector has answered; what it refused for the time being goes once more. */
#include "share/sender_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <time.h>

#define PAUSE_NS (50 * NS_PER_MS) /* while there is no collector */

static bool lasts(void *arg, const struct seal_head *head)
{
	const struct sender *sender = arg;
	return granting_lasts(sender->granting, head->grant, sender_wall_s());
}

static void refused(struct sender *sender, uint64_t count, enum courier_why why)
{
	sender->counts.refused += count;
	sender_lock(sender);
	sender_log_refusal(sender, courier_why_text(why), "collector", count);
	sender_unlock(sender);
	log_warn("keys refused by the collector", LOG_N("keys", count), LOG_S("why", courier_why_text(why)));
}

/* False when nothing is left of it. */
static bool leave_out_ended(struct sender *sender, struct batch *batch)
{
	static const char *const why = "the grant ended before it was sent";
	sender_lock(sender);
	uint32_t out = batch_leave_out(batch, lasts, sender);
	if (out > 0)
		sender_log_refusal(sender, why, "host", out);
	sender_unlock(sender);
	sender->counts.ended += out;
	if (out > 0)
		log_info("keys not sent", LOG_N("keys", out), LOG_S("why", why));
	return !batch_is_empty(batch);
}

enum delivery {
	DELIVERY_ANSWERED,
	DELIVERY_NONE, /* the grants of all that was in it have ended */
	DELIVERY_STOPPED,
};

/* Until it was answered, over as many connections as that takes: what was taken already the collector knows again. */
static enum delivery deliver(struct sender *sender, struct batch *batch, struct courier_taken *taken)
{
	batch_number(batch, ++sender->number);
	while (queue_goes_on(sender->queue)) {
		const struct timespec pause = {.tv_nsec = (long)PAUSE_NS};
		bool ready = post_ready(sender->post);
		/* After it was waited for the connection, and before anything leaves. */
		if (!leave_out_ended(sender, batch))
			return DELIVERY_NONE;
		if (ready && post_send(sender->post, bytes_of(batch->frame, batch->len), sender->number, taken))
			return DELIVERY_ANSWERED;
		if (!ready)
			nanosleep(&pause, NULL);
	}
	return DELIVERY_STOPPED;
}

void sender_send(struct sender *sender)
{
	struct batch *batch = &sender->batch;
	struct courier_taken taken;
	enum delivery delivery = deliver(sender, batch, &taken);
	if (delivery == DELIVERY_STOPPED)
		sender->counts.unsent += batch->sealed;
	else if (delivery == DELIVERY_NONE)
		sender_tell_done(sender, &batch->tags);
	if (delivery != DELIVERY_ANSWERED)
		return;
	sender->counts.taken += (uint64_t)taken.fresh + taken.known;
	bool later = taken.refused > 0 && kept_worth((enum courier_why)taken.why);
	/* Who waits for all of a release waits for this part, too. */
	sender->more_tagged = sender->more_tagged && !later;
	if (later && kept_add(&sender->kept, batch, &taken, clock_monotonic_ns()))
		return;
	if (taken.refused > 0)
		refused(sender, taken.refused, (enum courier_why)taken.why);
	if (!later)
		sender_tell_done(sender, &batch->tags);
}

bool sender_send_kept(struct sender *sender, bool last)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct kept_batch *kept = kept_due(&sender->kept, now_ns, last);
	struct courier_taken taken;
	if (!kept)
		return false;
	struct batch *batch = &kept->batch;
	sender->counts.again++;
	enum delivery delivery = deliver(sender, batch, &taken);
	if (delivery == DELIVERY_STOPPED)
		sender->counts.unsent += batch->sealed - batch->taken;
	else if (delivery == DELIVERY_NONE)
		sender_tell_done(sender, &batch->tags);
	if (delivery != DELIVERY_ANSWERED) {
		kept_drop(&sender->kept, kept);
		return true;
	}
	uint32_t had = taken.fresh + taken.known;
	sender->counts.taken += had > batch->taken ? had - batch->taken : 0;
	batch->taken = had > batch->taken ? had : batch->taken;
	kept->next_ns = now_ns + KEPT_STEP;
	bool later = taken.refused > 0 && kept_worth((enum courier_why)taken.why);
	if (later && !last && now_ns < kept->until_ns)
		return true;
	if (taken.refused > 0)
		refused(sender, taken.refused, (enum courier_why)taken.why);
	if (!later)
		sender_tell_done(sender, &batch->tags);
	kept_drop(&sender->kept, kept);
	return true;
}
