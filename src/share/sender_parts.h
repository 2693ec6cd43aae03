/* share/sender_parts.h — what the files of share/sender.h share. */
#ifndef SHARE_SENDER_PARTS_H
#define SHARE_SENDER_PARTS_H

#include "audit/log.h"
#include "keys/courier.h"
#include "share/batch.h"
#include "share/granting.h"
#include "share/kept.h"
#include "share/post.h"
#include "share/refusals.h"
#include "share/sender.h"

#include <pthread.h>
#include <stdatomic.h>

#define SENDER_FRAME ((size_t)COURIER_HEADER + COURIER_MAX_BODY)
#define SENDER_MORE  (GRANT_MAX * ((size_t)SEAL_MAX + 2))

struct sender {
	struct sender_options options;
	struct queue *queue;
	struct granting *granting;
	struct post *post;
	struct refusals *refusals;
	struct loop *loop; /* the log wants one; nothing of it is waited for here */
	struct audit_log *log;
	pthread_t thread, keeper;
	bool runs, keeps;
	/* Of the grants and the log: the thread may wait for the collector for long, and grants end all the same. */
	pthread_mutex_t lock;
	pthread_cond_t wake; /* the keeper */
	bool ending;
	atomic_bool wants_lines;
	atomic_uint_fast64_t offered, lost;
	/* The thread's. */
	struct sender_counts counts;
	struct queued *one; /* memory for secrets */
	uint64_t number;    /* of the last batch sent */
	uint64_t logged;    /* releases sealed, with their entries in the log */
	struct batch batch;
	struct writer frame; /* the batch's */
	struct kept kept;
	/* Of one release for many readers, what the frame has no room for: it goes with the next ones. */
	struct writer more;
	struct bytes more_left;
	bool more_tagged; /* somebody waits for all of it */
	uint8_t more_tag[QUEUE_TAG];
	uint8_t room[SENDER_FRAME], more_room[SENDER_MORE];
};

/* Since 1970 UTC. */
must_check int64_t sender_wall_s(void);
void sender_lock(struct sender *sender);
void sender_unlock(struct sender *sender);

/* Under the lock: */

/* False when the log is closed. */
must_check bool sender_log(struct sender *sender, const struct audit_entry *entry);
void sender_log_refusal(struct sender *sender, const char *why, const char *side, uint64_t count);
/* Fills the batch with what waits, and has that in the log. False when there is nothing in it to be sent. */
must_check bool sender_fill(struct sender *sender);

/* Of the thread that sends, with the lock or without: what the batch had no room for will not be sent; how many that are. */
must_check uint32_t sender_drop_more(struct sender *sender);

/* Of that thread, without the lock: */

void sender_tell_done(struct sender *sender, const struct batch_tags *tags);
/* Sends the batch that was filled. */
void sender_send(struct sender *sender);
/* Once more what was refused before; `last`: it will not be tried again. False when there was nothing to try. */
must_check bool sender_send_kept(struct sender *sender, bool last);

#endif
