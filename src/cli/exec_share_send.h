/* cli/exec_share_send.h — overt exec --share --collector: keys of a run to a collector, under the grants of this host. */
#ifndef CLI_EXEC_SHARE_SEND_H
#define CLI_EXEC_SHARE_SEND_H

#include "cli/collect_place.h"
#include "cli/exec_share_consent.h"
#include "keys/share_item.h"
#include "share/sender.h"
#include "share/shipper.h"

#include <pthread.h>

#define SEND_SIGNERS_MAX 16

struct exec_send {
	const char *collector; /* HOST:PORT, several with commas between; NULL: none */
	struct collect_files files;
	const char *grants, *audit;
	struct note_key signers[SEND_SIGNERS_MAX];
	size_t signer_count;
	char key_room[FILE_PATH_MAX], ca_room[FILE_PATH_MAX]; /* where `files` may point to */
	bool ack_collector;
	/* The run's. */
	pthread_mutex_t lock;
	struct shipper *shipper; /* under the lock; NULL: nobody is to be told */
	SSL_CTX *ctx;
	struct collect_identity self;
	unsigned collectors;
	unsigned turn; /* of the collectors: with whom the next connection is tried first */
	struct sender *sender;
	struct exec_consent *consent; /* NULL: whatever leaves does so by one side's rule */
	char host[RELEASE_TEXT_MAX + 1];
};

/* With a collector: whether all that is needed was said; begins. */
must_check bool exec_send_begin(struct exec_send *send, struct error *err);
/*
 * Keys of application data; others are passed over. Any thread. False: with `ack_collector` the program waits, and
 * `shipper` is told when the collector has it.
 */
must_check bool exec_send_key(struct exec_send *send, const struct shipper_from *from, const struct share_item *item,
	struct shipper_ticket ticket);
/* For the log: an item of kind SHARE_REFUSED. Any thread. */
void exec_send_disagreed(struct exec_send *send, const struct share_item *item);
/* Whom to tell that the collector has a key; NULL before it goes. */
void exec_send_tell(struct exec_send *send, struct shipper *shipper);
/* Ends, and says on standard error what became of the keys. False when some were not taken. */
bool exec_send_end(struct exec_send *send);

#endif
