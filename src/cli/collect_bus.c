/* overt collect bus — the fleet's bus: configurations of its nodes, and the streams and consumers of readers. */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "bus/admin.h"
#include "bus/config.h"
#include "cli/arguments.h"
#include "cli/collect_parts.h"
#include "cli/collect_place.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "collect/issue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READERS_MAX   64
#define CONSUMERS_MAX 64
#define CONFIG_ROOM   ((size_t)512 * 1024)
#define STORE_DEFAULT (UINT64_C(16) << 30)

struct wish {
	const char *action, *folder, *at, *servers, *certificate;
	struct bus_plan plan;
	struct {
		char name[BUS_LOGIN_MAX + 1];
		uint8_t key_id[SEAL_KEY_ID];
	} readers[READERS_MAX];
	size_t reader_count;
	const char *consumers[CONSUMERS_MAX];
	size_t consumer_count;
	uint64_t lifetime_ns, size;
	unsigned replicas;
	char room[FILE_PATH_MAX];
};

ARGUMENT_TEXT(read_folder, wish, folder)
ARGUMENT_TEXT(read_at, wish, at)
ARGUMENT_TEXT(read_bus, wish, servers)
ARGUMENT_TEXT(read_certificate, wish, certificate)

static bool read_node(void *ctx, const char *value, struct error *err)
{
	return bus_plan_node(&((struct wish *)ctx)->plan, value, err);
}

static bool read_collector(void *ctx, const char *value, struct error *err)
{
	return bus_plan_collector(&((struct wish *)ctx)->plan, value, err);
}

static bool read_reader(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	uint8_t key[READER_KEY];
	const char *file = strchr(value, '=');
	if (wish->reader_count == READERS_MAX)
		return error_set(err, "at most %d readers", READERS_MAX);
	if (!file || file == value || (size_t)(file - value) > BUS_LOGIN_MAX)
		return error_set(err,
			"%s: a reader is written NAME=FILE, the name in its certificate and its public key", value);
	char *name = wish->readers[wish->reader_count].name;
	uint8_t *id = wish->readers[wish->reader_count].key_id;
	snprintf(name, BUS_LOGIN_MAX + 1, "%.*s", (int)(file - value), value);
	if (!collect_read_public(file + 1, key, err))
		return false;
	if (!seal_key_id(key, id))
		return error_set(err, "%s: no id can be made of it", file + 1);
	wish->reader_count++;
	return bus_plan_reader(&wish->plan, name, id, err);
}

static bool read_consumer(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->consumer_count == CONSUMERS_MAX)
		return error_set(err, "at most %d consumers", CONSUMERS_MAX);
	wish->consumers[wish->consumer_count++] = value;
	return bus_consumer_valid(value);
}

static bool read_lifetime(void *ctx, const char *value, struct error *err)
{
	uint64_t *ns = &((struct wish *)ctx)->lifetime_ns;
	(void)err;
	return text_duration(bytes_str(value), ns) && *ns >= NS_PER_S && *ns <= UINT64_C(366) * 86400 * NS_PER_S;
}

static bool read_octets(const char *value, uint64_t *out)
{
	return text_size(bytes_str(value), out) && *out >= (UINT64_C(1) << 20) && *out <= (UINT64_C(1) << 44);
}

static bool read_size(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_octets(value, &((struct wish *)ctx)->size);
}

static bool read_store(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_octets(value, &((struct wish *)ctx)->plan.store);
}

static bool read_replicas(void *ctx, const char *value, struct error *err)
{
	uint64_t n;
	(void)err;
	if (!text_number(bytes_str(value), 5, &n) || n == 0)
		return false;
	((struct wish *)ctx)->replicas = (unsigned)n;
	return true;
}

static bool read_action(void *ctx, const char *word, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->action)
		return error_set(err, "%s: one action at a time", word);
	wish->action = word;
	return true;
}

static const struct argument table[] = {
	{"dir", 'd', "DIR", read_folder, "the folder with the CA, as overt collect init makes it"},
	{"node", 0, "NAME=HOST", read_node,
		"nodes: a server of the bus; HOST:PORT:ROUTES for other ports than 4222, 6222"},
	{"collector", 0, "NAME=SITE", read_collector, "nodes: a collector's certificate, and where it stands"},
	{"reader", 0, "NAME=FILE", read_reader, "a reader's certificate, and its public key (overt grant key)"},
	{"at", 0, "DIR", read_at, "nodes: where a node's folder will stand on its machine [where it is written]"},
	{"store", 0, "SIZE", read_store, "nodes: what a node may keep on its disk [16GiB]"},
	{"bus", 'b', "SERVERS", read_bus, "the others: nats://HOST:PORT, several with commas between"},
	{"certificate", 0, "FILE", read_certificate, "the others: the administrator's [DIR/" BUS_ADMIN ".pem]"},
	{"consumer", 0, "NAME", read_consumer, "streams, rewind: of each reader named; several times"},
	{"lifetime", 0, "DURATION", read_lifetime, "streams: how long a key is held [1h]"},
	{"size", 0, "SIZE", read_size, "streams: octets held for one reader; more are refused [1GiB]"},
	{"replicas", 0, "N", read_replicas, "streams: copies of each key [3]"},
};

static const struct arguments arguments = {
	.verb = "collect bus", .table = table, .count = sizeof(table) / sizeof(table[0]), .word = read_action};

void collect_bus_help(void)
{
	arguments_help(&arguments);
}

/* Nodes. */

static bool write_file(const char *folder, const char *name, struct bytes content, struct error *err)
{
	char path[FILE_PATH_MAX];
	return file_join(path, folder, name, err) && file_replace(path, content, 0644, err);
}

static bool copy_ca(const char *from, const char *to, struct error *err)
{
	char path[FILE_PATH_MAX];
	struct file_bytes file = {0};
	bool ok = file_join(path, from, "ca.pem", err) && file_read(path, 65536, &file, NULL, err) &&
	          write_file(to, "ca.pem", bytes_of(file.data, file.len), err);
	file_bytes_free(&file);
	return ok;
}

static bool issue_missing(const struct wish *wish, const char *folder, size_t node, int64_t now_s, struct error *err)
{
	char path[FILE_PATH_MAX];
	if (!file_join(path, folder, "node.pem", err))
		return false;
	return file_exists(path) ||
	       issue_node(wish->folder, folder, wish->plan.nodes[node].name, wish->plan.nodes[node].host, now_s, err);
}

static bool write_node(const struct wish *wish, size_t node, int64_t now_s, struct error *err)
{
	char bus[FILE_PATH_MAX], folder[FILE_PATH_MAX];
	bool ok = file_join(bus, wish->folder, "bus", err) &&
	          file_join(folder, bus, wish->plan.nodes[node].name, err) && file_make_directory(folder, err) &&
	          issue_missing(wish, folder, node, now_s, err) && copy_ca(wish->folder, folder, err);
	if (!ok)
		return false;
	char *full = realpath(folder, NULL);
	uint8_t *room = malloc(CONFIG_ROOM);
	struct writer one = writer_over(room, room ? CONFIG_ROOM : 0), two;
	ok = full && bus_config_node(&wish->plan, node, wish->at ? wish->at : full, &one);
	two = writer_over(room + one.len, room ? CONFIG_ROOM - one.len : 0);
	ok = (ok && bus_config_users(&wish->plan, &two)) ||
	     error_set(err, "%s: the configuration cannot be written", folder);
	ok = ok && write_file(folder, "nats.conf", bytes_of(one.data, one.len), err) &&
	     write_file(folder, "users.conf", bytes_of(two.data, two.len), err);
	free(room);
	free(full);
	if (ok)
		printf("Made %s: nats-server -c %s/nats.conf\n", folder, wish->at ? wish->at : folder);
	return ok;
}

static bool nodes(const struct wish *wish, struct error *err)
{
	char admin[FILE_PATH_MAX];
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	if (wish->plan.node_count == 0)
		return error_set(err, "which nodes? Say --node NAME=HOST for each");
	if (wish->plan.node_count == 2)
		return error_set(err, "two nodes have no quorum when one is lost: one to try it, or three or five");
	if (!file_join(admin, wish->folder, BUS_ADMIN ".pem", err) ||
		(!file_exists(admin) && !issue_bus_admin(wish->folder, now_s, err)))
		return false;
	for (size_t i = 0; i < wish->plan.node_count; i++) {
		if (!write_node(wish, i, now_s, err))
			return false;
	}
	return true;
}

/* What is done on a bus that runs. */

static bool streams(const struct wish *wish, struct bus_admin *admin, struct error *err)
{
	for (size_t i = 0; i < wish->reader_count; i++) {
		const struct bus_stream_wish one = {.key_id = wish->readers[i].key_id,
			.name = wish->readers[i].name,
			.lifetime_ns = wish->lifetime_ns,
			.octets = wish->size,
			.replicas = wish->replicas,
			.consumers = wish->consumers,
			.consumer_count = wish->consumer_count};
		char stream[BUS_STREAM];
		if (!bus_admin_stream(admin, &one, err))
			return false;
		bus_stream(stream, one.key_id);
		printf("%s: the stream %s, and %zu consumers\n", one.name, stream, one.consumer_count);
	}
	return wish->reader_count > 0 || error_set(err, "whose streams? Say --reader NAME=FILE");
}

static bool rewind_all(const struct wish *wish, struct bus_admin *admin, struct error *err)
{
	if (wish->reader_count == 0 || wish->consumer_count == 0)
		return error_set(err, "which? Say --reader NAME=FILE and --consumer NAME");
	for (size_t i = 0; i < wish->reader_count; i++) {
		for (size_t j = 0; j < wish->consumer_count; j++) {
			if (!bus_admin_rewind(admin, wish->readers[i].key_id, wish->consumers[j], err))
				return false;
		}
	}
	return true;
}

static bool purge(const struct wish *wish, struct bus_admin *admin, struct error *err)
{
	for (size_t i = 0; i < wish->reader_count; i++) {
		if (!bus_admin_purge(admin, wish->readers[i].key_id, err))
			return false;
	}
	return wish->reader_count > 0 || error_set(err, "whose keys? Say --reader NAME=FILE");
}

static void show_one(const struct bus_shown *shown, void *ctx)
{
	char reader[BUS_LOGIN_MAX + 1], consumer[BUS_LOGIN_MAX + 1], leader[BUS_LOGIN_MAX + 1];
	(void)ctx;
	text_clean(reader, sizeof(reader), bytes_str(shown->reader));
	text_clean(consumer, sizeof(consumer), bytes_str(shown->consumer));
	text_clean(leader, sizeof(leader), bytes_str(shown->leader));
	printf("%-16s %-16s %10llu keys %10llu waiting %6llu unacknowledged  %u copies%s%s\n", reader,
		*consumer ? consumer : "-", (unsigned long long)shown->messages, (unsigned long long)shown->waiting,
		(unsigned long long)shown->unacknowledged, shown->replicas, *leader ? ", led by " : "", leader);
}

static bool show(const struct wish *wish, struct bus_admin *admin, struct error *err)
{
	(void)wish;
	return bus_admin_show(admin, show_one, NULL, err);
}

static const struct {
	const char *name;
	bool (*run)(const struct wish *wish, struct bus_admin *admin, struct error *err);
} actions[] = {{"streams", streams}, {"show", show}, {"rewind", rewind_all}, {"purge", purge}};

static bool administer(struct wish *wish, size_t action, struct error *err)
{
	static char certificate[FILE_PATH_MAX], key[FILE_PATH_MAX], ca[FILE_PATH_MAX];
	struct bus_options options = {.servers = wish->servers, .certificate = wish->certificate};
	if (!options.servers)
		return error_set(err, "where is the bus? Say --bus nats://HOST:PORT");
	if (!options.certificate) {
		if (!file_join(certificate, wish->folder, BUS_ADMIN ".pem", err))
			return false;
		options.certificate = certificate;
	}
	if (!collect_find_beside(options.certificate, &options.key, key, &options.ca, ca, err))
		return false;
	struct bus_admin *admin = bus_admin_new(&options, err);
	bool ok = admin && actions[action].run(wish, admin, err);
	bus_admin_free(admin);
	return ok;
}

static bool act(struct wish *wish, struct error *err)
{
	if (!wish->action)
		return error_set(err, "what shall be done? nodes, streams, show, rewind or purge");
	if (strcmp(wish->action, "nodes") == 0)
		return nodes(wish, err);
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(wish->action, actions[i].name) == 0)
			return administer(wish, i, err);
	}
	return error_set(err, "%s: there are nodes, streams, show, rewind and purge", wish->action);
}

int collect_bus(int argc, char **argv)
{
	static struct wish wish; /* large */
	struct error err;
	int rest;
	if (wants_help(argc, argv)) {
		collect_bus_help();
		return EXIT_SUCCESS;
	}
	wish.lifetime_ns = BUS_LIFETIME_NS;
	wish.size = BUS_STREAM_SIZE;
	wish.replicas = 3;
	wish.plan.store = STORE_DEFAULT;
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err))
		return complain("collect bus", &err, EXIT_MISUSE);
	log_setup("bus", STDERR_FILENO, LOG_LEVEL_WARN);
	if (!wish.folder) {
		if (!collect_place(wish.room, &err))
			return complain("collect bus", &err, EXIT_MISUSE);
		wish.folder = wish.room;
	}
	return act(&wish, &err) ? EXIT_SUCCESS : complain("collect bus", &err, EXIT_FAILURE);
}
