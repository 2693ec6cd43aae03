#include "bus/admin.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_NS  (30 * NS_PER_S)
#define PAUSE_NS     (200 * NS_PER_MS)
#define API_MS       5000
#define ACK_WAIT_NS  INT64_C(5000000000) /* then what was not acknowledged is delivered again */
#define DUPLICATE_NS INT64_C(120000000000)
#define MESSAGE_MAX  4096
#define READERS      "OVERT_"

struct bus_admin {
	const struct bus_options *options;
	struct bus_events events;
	struct bus_connection bus;
};

struct bus_admin *bus_admin_new(const struct bus_options *options, struct error *err)
{
	jsOptions js;
	struct bus_admin *admin = calloc(1, sizeof(*admin));
	if (!admin) {
		error_set(err, "no memory for the bus");
		return NULL;
	}
	admin->options = options;
	jsOptions_Init(&js);
	js.Wait = API_MS;
	if (bus_prepare(&admin->bus, options, "overt collect bus", NULL, &admin->events, err) &&
		bus_connect(&admin->bus, &js, err))
		return admin;
	bus_admin_free(admin);
	return NULL;
}

void bus_admin_free(struct bus_admin *admin)
{
	if (!admin)
		return;
	bus_forget(&admin->bus);
	free(admin);
}

/* What a cluster answers that has not found its leaders and nodes yet. */
static bool may_pass(natsStatus status, jsErrCode code)
{
	return status == NATS_TIMEOUT || status == NATS_NO_RESPONDERS || code == JSClusterNotAvailErr ||
	       code == JSClusterNoPeersErr || code == JSClusterNotLeaderErr || code == JSClusterIncompleteErr ||
	       code == JSClusterNotAssignedErr || code == JSInsufficientResourcesErr || code == JSNotEnabledErr ||
	       code == JSStreamNotFoundErr;
}

/* Whether to try again, after a pause. */
static bool again(natsStatus status, jsErrCode code, uint64_t until_ns)
{
	const struct timespec pause = {.tv_nsec = (long)PAUSE_NS};
	if (status == NATS_OK || !may_pass(status, code) || clock_monotonic_ns() >= until_ns)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static bool result(struct bus_admin *admin, natsStatus status, jsErrCode code, const char *what, struct error *err)
{
	char why[BUS_WHY];
	return status == NATS_OK ||
	       error_set(err, "%s: %s: %s", admin->options->servers, what, bus_why(why, status, code));
}

/* Makes it, or makes it as wanted where it stands otherwise. */
static bool stream(struct bus_admin *admin, jsStreamConfig *config, uint64_t until_ns, struct error *err)
{
	natsStatus s;
	jsErrCode code;
	do {
		code = 0;
		s = js_AddStream(NULL, admin->bus.js, config, NULL, &code);
		if (s != NATS_OK && code == JSStreamNameExistErr)
			s = js_UpdateStream(NULL, admin->bus.js, config, NULL, &code);
	} while (again(s, code, until_ns));
	return result(admin, s, code, config->Name, err);
}

static bool consumer(struct bus_admin *admin, const char *in, const char *name, uint64_t until_ns, struct error *err)
{
	natsStatus s;
	jsErrCode code;
	jsConsumerConfig config;
	jsConsumerConfig_Init(&config);
	config.Durable = name;
	config.AckPolicy = js_AckExplicit;
	config.AckWait = ACK_WAIT_NS;
	config.MaxAckPending = BUS_IN_HAND;
	config.DeliverPolicy = js_DeliverAll;
	if (!bus_consumer_valid(name))
		return error_set(err, "%s: a consumer has letters, digits, hyphens and underscores, at most %d", name,
			BUS_CONSUMER_MAX);
	do {
		code = 0;
		s = js_AddConsumer(NULL, admin->bus.js, in, &config, NULL, &code);
	} while (again(s, code, until_ns));
	return result(admin, s, code, name, err);
}

bool bus_admin_stream(struct bus_admin *admin, const struct bus_stream_wish *wish, struct error *err)
{
	char name[BUS_STREAM], subjects[BUS_SUBJECT];
	const char *const list[] = {subjects};
	uint64_t until_ns = clock_monotonic_ns() + PATIENCE_NS;
	jsStreamConfig config;
	bus_stream(name, wish->key_id);
	bus_subjects(subjects, wish->key_id);
	jsStreamConfig_Init(&config);
	config.Name = name;
	config.Description = wish->name;
	config.Subjects = (const char **)(uintptr_t)list;
	config.SubjectsLen = 1;
	config.Storage = js_FileStorage;
	config.Replicas = wish->replicas;
	config.MaxAge = (int64_t)wish->lifetime_ns;
	config.MaxBytes = (int64_t)wish->octets;
	config.MaxMsgSize = MESSAGE_MAX;
	config.Discard = js_DiscardNew;
	config.Duplicates = config.MaxAge < DUPLICATE_NS ? config.MaxAge : DUPLICATE_NS;
	if (!stream(admin, &config, until_ns, err))
		return false;
	for (size_t i = 0; i < wish->consumer_count; i++) {
		if (!consumer(admin, name, wish->consumers[i], until_ns, err))
			return false;
	}
	return true;
}

bool bus_admin_rewind(
	struct bus_admin *admin, const uint8_t key_id[static SEAL_KEY_ID], const char *name, struct error *err)
{
	char in[BUS_STREAM];
	jsErrCode code = 0;
	bus_stream(in, key_id);
	natsStatus s = js_DeleteConsumer(admin->bus.js, in, name, NULL, &code);
	return result(admin, s, code, name, err) && consumer(admin, in, name, clock_monotonic_ns() + PATIENCE_NS, err);
}

bool bus_admin_purge(struct bus_admin *admin, const uint8_t key_id[static SEAL_KEY_ID], struct error *err)
{
	char name[BUS_STREAM];
	jsErrCode code = 0;
	bus_stream(name, key_id);
	natsStatus s = js_PurgeStream(admin->bus.js, name, NULL, &code);
	return result(admin, s, code, name, err);
}

static void show_stream(struct bus_admin *admin, const jsStreamInfo *info,
	void (*show)(const struct bus_shown *shown, void *ctx), void *ctx)
{
	struct bus_shown shown = {.stream = info->Config->Name,
		.reader = info->Config->Description ? info->Config->Description : "",
		.consumer = "",
		.leader = info->Cluster && info->Cluster->Leader ? info->Cluster->Leader : "",
		.messages = info->State.Msgs,
		.octets = info->State.Bytes,
		.replicas = (unsigned)info->Config->Replicas};
	jsConsumerInfoList *list = NULL;
	(void)!js_Consumers(&list, admin->bus.js, shown.stream, NULL, NULL);
	for (int i = 0; list && i < list->Count; i++) {
		shown.consumer = list->List[i]->Name;
		shown.waiting = list->List[i]->NumPending;
		shown.unacknowledged = (uint64_t)list->List[i]->NumAckPending;
		show(&shown, ctx);
	}
	if (!list || list->Count == 0)
		show(&shown, ctx);
	jsConsumerInfoList_Destroy(list);
}

bool bus_admin_show(
	struct bus_admin *admin, void (*show)(const struct bus_shown *shown, void *ctx), void *ctx, struct error *err)
{
	jsStreamInfoList *list = NULL;
	jsErrCode code = 0;
	natsStatus s = js_Streams(&list, admin->bus.js, NULL, &code);
	if (s == NATS_NOT_FOUND)
		return true;
	for (int i = 0; list && i < list->Count; i++) {
		if (strncmp(list->List[i]->Config->Name, READERS, strlen(READERS)) == 0)
			show_stream(admin, list->List[i], show, ctx);
	}
	jsStreamInfoList_Destroy(list);
	return result(admin, s, code, "streams", err);
}
