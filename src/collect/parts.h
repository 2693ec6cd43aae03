/* collect/parts.h — what the files of the collector share. Not for other rooms. */
#ifndef COLLECT_PARTS_H
#define COLLECT_PARTS_H

#include "audit/log.h"
#include "base/clock.h"
#include "base/hostport.h"
#include "collect/collector.h"
#include "collect/link.h"
#include "keys/courier.h"
#include "keys/keylog_split.h"
#include "policy/grant_entry.h"
#include "policy/grant_folder.h"

#include <stdio.h>
#include <time.h>

#define SOURCES_MAX     4096 /* certificates seen; beyond, those without connections and keys are forgotten */
#define BATCHES_MAX     64   /* unanswered ones of a sender; then it is not read */
#define PEER_IN_CAP     ((size_t)COURIER_MAX_BODY + COURIER_HEADER + 16384)
#define PEER_OUT_CAP    ((size_t)1024 * 1024)
#define GIVE_ROOM       ((size_t)256 * 1024) /* octets of frames that one entry in the log covers */
#define TURN_READS      64                   /* of at most a record, before other peers have their turn */
#define TOGETHER_KEYS   8                    /* as many keys a batch counts for beside its own */
#define RAW_SEALERS_MAX 64                   /* readers of lines that have one; the one longest unused gives way */

struct collector;

/* Somebody who sends, by certificate key: the account outlives the connection. */
struct source {
	char name[COLLECT_NAME_MAX + 1];
	uint8_t key_hash[32];
	char key_hex[65];
	struct store_owner owner;
	unsigned connections;
	double tokens; /* of `rate` */
	uint64_t filled_ns;
	uint64_t slowed; /* times it was read later for its rate */
};

/* What was taken and waits for its entry in the log. */
struct batch {
	struct batch *next;
	struct collector *collector;
	struct peer *peer; /* NULL: gone, or nobody wants an answer */
	struct courier_taken taken;
	uint64_t from, to; /* numbers in the store: those of other senders do not fall between */
	bool done, ok;
	bool spooled;         /* on the disk, where that is wanted */
	enum courier_why why; /* not ok: what has failed */
	/*
	 * Keys that it calls known and that had not been answered when they came again, by their numbers: what becomes of
	 * them decides whether they are.
	 */
	uint64_t *leans;
	size_t lean_count;
	bool unsure; /* some of these the bus has not taken since */
};

/* The log's side of what a reader gets next: the reader may be gone when the entry is written. */
struct give_owed {
	struct peer *peer; /* NULL: gone */
};

/* What a reader gets next. */
struct give {
	uint8_t *frames; /* GIVE_ROOM octets, made when first needed */
	size_t len;
	uint64_t keys;
	uint64_t next;          /* number to go on from afterwards */
	uint64_t generation;    /* of the grants it was judged by */
	struct give_owed *owed; /* the entry is on its way to the log */
};

enum peer_stage { PEER_HANDSHAKE, PEER_KEYS, PEER_READ, PEER_LINES };

struct peer {
	struct collector *collector;
	struct peer *next, *prev;
	struct link link;
	struct loop_timer timer; /* handshake, rate */
	struct loop_task again;
	enum peer_stage stage;
	struct collect_identity who;
	struct source *source;
	char key_hex[65]; /* of who.key_hash */
	struct buffer in;
	unsigned unanswered;
	bool slowed; /* for its rate, until the timer */
	/* Since when something is left unfinished; 0: nothing is. */
	uint64_t half_ns, stuck_ns, silent_ns;
	uint64_t sent_before; /* octets, a second ago */
	bool dead;
	/* Lines. */
	struct keylog_split *split;
	uint64_t lines, lines_refused, lines_bad, lines_unwanted;
	/* Reading. */
	bool wants, follow, caught_up;
	uint64_t cursor;
	struct give give;
};

struct collect_counts {
	uint64_t accepted, refused_clients, failed_handshakes, late;
	uint64_t batches, malformed, refused, refused_log;
	uint64_t given, reads;
	uint64_t lines, lines_bad, lines_refused, lines_unwanted;
};

struct listening {
	struct collector *collector;
	struct loop_io io;
};

struct collector {
	const struct collect_options *options;
	struct loop *loop;
	SSL_CTX *ctx;
	struct audit_log *log;
	struct listening listening[COLLECT_LISTEN_MAX];
	struct loop_io signals;
	struct loop_timer second;
	struct store *store;
	uint64_t visible; /* keys below are in the log and may be given */
	uint8_t instance[COURIER_INSTANCE];
	struct grant_set *grants;
	uint64_t generation; /* of the grants */
	struct grant_folder folder;
	uint8_t enough[GRANT_MAX][RELEASE_GRANT]; /* grants whose readers have said so */
	size_t enough_count;
	int64_t ended_s; /* grants that end up to then have their end in the log */
	struct source *sources[SOURCES_MAX];
	size_t source_count;
	struct peer *peers, *graves;
	size_t peer_count;
	struct loop_task burial;
	struct batch *batches, **batches_end;
	struct raw_sealer {
		uint8_t key[SEAL_KEY];
		struct sealer *sealer; /* NULL: a free slot */
		uint64_t used;         /* of raw_turn, when it last was */
	} raw[RAW_SEALERS_MAX];
	uint64_t raw_turn;
	int spool_fd;
	off_t spool_size;    /* of what is whole in it */
	bool spool_owes;     /* it holds what is no longer held: to be written anew */
	bool spool_full;     /* as was last said */
	uint64_t spool_lost; /* keys refused because the disk did not take them */
	struct loop_task settling;
	struct metrics *metrics;   /* NULL: none are asked for */
	bool own_expired;          /* as was last said */
	struct bus_publisher *bus; /* NULL: none */
	struct collect_counts counts;
	bool log_open;    /* as was last said */
	bool grants_owed; /* the folder has changed, and could not be taken up yet */
};

/* Seconds since 1970 UTC. */
static inline int64_t collect_now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/*
 * Time as the store has it: monotonic, and ahead of it by a lifetime, so that what is as old as that has a time even where
 * the machine was started since.
 */
static inline uint64_t collect_age_ns(const struct collector *collector, uint64_t now_ns)
{
	return now_ns + collector->options->store.lifetime_ns;
}

/* source.c: the account of this peer; NULL when there are SOURCES_MAX with connections or keys. */
must_check struct source *source_of(struct collector *collector, const struct collect_identity *who);
must_check uint32_t source_number(const struct collector *collector, const struct source *source);
/* Takes `keys` tokens, on credit; how long to wait before more is read, in ns. */
must_check uint64_t source_take(struct source *source, unsigned per_s, unsigned keys, uint64_t now_ns);
void sources_free(struct collector *collector);

/* grants.c: before the first. */
void grants_begin(struct collector *collector);
/* Reads the folder. False (and the old ones stay) when it cannot be read or the log not be written. */
must_check bool grants_load(struct collector *collector, struct error *err);
/* Whether the folder may have changed since. */
must_check bool grants_stale(struct collector *collector);
/* Reads it; what cannot be read now is owed, and said once. */
void grants_refresh(struct collector *collector);
/*
 * Those whose time is over since this was last asked: each has its end in the log, and its keys go. While the log cannot be
 * written that waits; nothing is taken or given then.
 */
void grants_end_by_time(struct collector *collector);
/* What readers have ended before this start. */
must_check bool grants_read_enough(struct collector *collector, struct error *err);
/* The grant in force of this id, else NULL with the reason. */
must_check const struct grant *grants_in_force(
	const struct collector *collector, const uint8_t id[static RELEASE_GRANT], enum courier_why *why);
/* Whether this certificate is the grant's reader. */
must_check bool grant_is_of(const struct grant *grant, const struct collect_identity *who);
/* Whether it is any grant's reader. */
must_check bool grants_have_reader(const struct collector *collector, const struct collect_identity *who);
/* The reader of a grant says that it is enough: nothing more is taken or given, and senders are told. */
void grants_enough(struct collector *collector, struct peer *peer, const uint8_t id[static RELEASE_GRANT]);
enum courier_why collect_why_of(enum grant_verdict verdict);

/* peer.c */
void peer_accept(struct listening *listening);
void peer_close(struct peer *peer, const char *why);
/* Sends a frame made by the caller; closes the peer when it does not take it. */
void peer_send(struct peer *peer, struct bytes frame);
void peer_sorry(struct peer *peer, enum courier_why why, const char *text);
/* Goes on reading what was left: now, or at the end of this turn. */
void peer_go_on(struct peer *peer);
void peer_again(struct peer *peer);
/* Frees those that were closed. */
void peers_bury(struct collector *collector);

/* put.c */
void put_frame(struct peer *peer, struct bytes body);
/* A peer goes: its batches are answered to nobody. */
void put_forget(struct collector *collector, const struct peer *peer);
/* Keys taken together: of one sender, until their entries are in the log. */
struct put;
must_check struct put *put_begin(struct collector *collector, struct source *source);
void put_one(struct put *put, struct bytes sealed);
void put_refuse(struct put *put, enum courier_why why);
/* Logs, and answers `peer` (NULL: nobody) with `batch`. Frees `put`. */
void put_end(struct put *put, struct peer *peer, uint64_t batch);

/* From the loop: whether the batch is taken, or else why not. */
void put_settled(struct batch *batch, bool ok, enum courier_why why);
/*
 * One of its keys, by its number, is refused: it leaves, and whoever brought it again is told so, too. Before the batch is
 * settled.
 */
void put_take_out(struct batch *batch, uint64_t number, enum courier_why why);
/* Answers what is done; when the loop does not run any more. */
void put_settle(struct collector *collector);

/* bus.c: publishes what was taken, where there is a bus. */
must_check bool bus_open(struct collector *collector, struct error *err);
/* False: there is nothing to wait for. Else put_settled says what became of it. */
must_check bool bus_take(struct batch *batch);
/* Before the log: batches that wait for the bus fail. */
void bus_close(struct collector *collector);

/* give.c */
void give_want(struct peer *peer, const struct courier_want *want);
/* There may be something new, or room to send: to one, to all who wait. */
void give_pump(struct peer *peer);
void give_pump_all(struct collector *collector);
void give_free(struct peer *peer);

/* lines.c */
void lines_take(struct peer *peer, struct bytes text);
void lines_end(struct peer *peer);
void lines_free(struct collector *collector);

/* spool.c: sealed keys on disk, where that is wanted: what a restart brings back. */
must_check bool spool_open(struct collector *collector, struct error *err);
/* Batches at the front that are done go to the disk, together; those that it does not take are not ok any more. */
void spool_batches(struct collector *collector);
/* Once a second: writes it anew where that is worth it. */
void spool_tidy(struct collector *collector);
void spool_close(struct collector *collector);
/* patience.c: once a second. */
void peers_hurry(struct collector *collector);

/* metrics.c */
must_check bool metrics_open(struct collector *collector, struct error *err);
/* Once a second. */
void metrics_tidy(struct collector *collector);
void metrics_close(struct collector *collector);

#endif
