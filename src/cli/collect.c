/* overt collect — takes keys from those who may send them, and gives them to those who may read them. */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/collect_parts.h"
#include "cli/collect_place.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "collect/collector.h"
#include "collect/issue.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_DEFAULT "127.0.0.1:4489"

struct wish {
	struct collect_options options;
	const char *bus_certificate, *bus_key, *bus_ca;
	const char *folder, *names[ISSUE_NAMES_MAX], *clients[256];
	size_t name_count, client_count;
	bool verbose;
	char room[FILE_PATH_MAX], grants[FILE_PATH_MAX], audit[FILE_PATH_MAX], signer[FILE_PATH_MAX];
	char bus_key_room[FILE_PATH_MAX], bus_ca_room[FILE_PATH_MAX];
	struct collect_paths paths;
};

ARGUMENT_TEXT(read_folder, wish, folder)
ARGUMENT_TEXT(read_certificate, wish, options.files.certificate)
ARGUMENT_TEXT(read_key, wish, options.files.key)
ARGUMENT_TEXT(read_ca, wish, options.files.ca)
ARGUMENT_TEXT(read_grants, wish, options.grants)
ARGUMENT_TEXT(read_audit, wish, options.audit)
ARGUMENT_TEXT(read_spool, wish, options.spool)
ARGUMENT_TEXT(read_user, wish, options.user)
ARGUMENT_TEXT(read_metrics, wish, options.metrics)
ARGUMENT_TEXT(read_bus, wish, options.bus.servers)
ARGUMENT_TEXT(read_site, wish, options.site)
ARGUMENT_TEXT(read_bus_certificate, wish, bus_certificate)
ARGUMENT_TEXT(read_bus_key, wish, bus_key)
ARGUMENT_TEXT(read_bus_ca, wish, bus_ca)
ARGUMENT_FLAG(read_verbose, wish, verbose)

static bool read_listen(void *ctx, const char *value, struct error *err)
{
	struct collect_options *options = &((struct wish *)ctx)->options;
	if (options->listen_count == COLLECT_LISTEN_MAX)
		return error_set(err, "at most %d of these", COLLECT_LISTEN_MAX);
	options->listen[options->listen_count++] = value;
	return true;
}

static bool read_signer(void *ctx, const char *value, struct error *err)
{
	struct collect_options *options = &((struct wish *)ctx)->options;
	return collect_read_signers(value, options->signers, COLLECT_SIGNERS_MAX, &options->signer_count, err);
}

static bool read_lifetime(void *ctx, const char *value, struct error *err)
{
	uint64_t *ns = &((struct wish *)ctx)->options.store.lifetime_ns;
	(void)err;
	return text_duration(bytes_str(value), ns) && *ns >= NS_PER_S && *ns <= UINT64_C(366) * 86400 * NS_PER_S;
}

static bool read_bus_wait(void *ctx, const char *value, struct error *err)
{
	uint64_t *ns = &((struct wish *)ctx)->options.bus_wait_ns;
	(void)err;
	return text_duration(bytes_str(value), ns) && *ns >= NS_PER_S && *ns <= 600 * NS_PER_S;
}

static bool read_size(const char *value, size_t *out)
{
	uint64_t octets;
	if (!text_size(bytes_str(value), &octets) || octets < 65536 || octets > (UINT64_C(1) << 40))
		return false;
	*out = (size_t)octets;
	return true;
}

static bool read_memory(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_size(value, &((struct wish *)ctx)->options.store.octets);
}

static bool read_client_memory(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_size(value, &((struct wish *)ctx)->options.store.owner_octets);
}

static bool read_count(const char *value, unsigned *out)
{
	uint64_t n;
	if (!text_number(bytes_str(value), 1000000000, &n) || n == 0)
		return false;
	*out = (unsigned)n;
	return true;
}

static bool read_clients(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_count(value, &((struct wish *)ctx)->options.clients);
}

static bool read_client_connections(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_count(value, &((struct wish *)ctx)->options.client_connections);
}

static bool read_patience(void *ctx, const char *value, struct error *err)
{
	uint64_t *ns = &((struct wish *)ctx)->options.patience_ns;
	(void)err;
	return text_duration(bytes_str(value), ns) && *ns >= NS_PER_S && *ns <= UINT64_C(3600) * NS_PER_S;
}

static bool read_rate(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_count(value, &((struct wish *)ctx)->options.rate);
}

static const struct argument table[] = {
	{"dir", 'd', "DIR", read_folder,
		"where all of it stands, unless said otherwise [$XDG_DATA_HOME/overt-collect]"},
	{"listen", 'l', "HOST:PORT", read_listen, "where to listen; several times [" LISTEN_DEFAULT "]"},
	{"signer", 's', "FILE", read_signer, "verifier keys of those whose grants count; several times [DIR/signers]"},
	{"grants", 0, "DIR", read_grants, "the folder of the grants; changes are seen [DIR/grants]"},
	{"log", 0, "FILE", read_audit, "the audit log [DIR/audit.log]"},
	{"certificate", 0, "FILE", read_certificate, "the collector's certificate [DIR/collector.pem]"},
	{"key", 0, "FILE", read_key, "its key [DIR/collector.key]"},
	{"ca", 0, "FILE", read_ca, "who vouches for senders and readers [DIR/ca.pem]"},
	{"lifetime", 0, "DURATION", read_lifetime, "how long a key is held, as 90s, 1h, 2d [1h]"},
	{"memory", 0, "SIZE", read_memory, "for sealed keys [256MiB]"},
	{"client-memory", 0, "SIZE", read_client_memory, "for those of one sender [64MiB]"},
	{"clients", 0, "N", read_clients, "connections at once [1024]"},
	{"client-connections", 0, "N", read_client_connections, "of which with one certificate [256]"},
	{"patience", 0, "DURATION", read_patience,
		"how long a client may leave a handshake, a frame or what it is sent unfinished [10s]"},
	{"rate", 0, "N", read_rate, "keys per second of one sender; above, it is read more slowly [200000]"},
	{"spool", 0, "FILE", read_spool, "hold sealed keys on disk too, so that they survive a restart"},
	{"bus", 0, "SERVERS", read_bus,
		"publish what is taken there, before it is answered: nats://HOST:PORT, several with commas between"},
	{"site", 0, "NAME", read_site, "with --bus: where this collector stands, as its permissions there say"},
	{"bus-certificate", 0, "FILE", read_bus_certificate, "with --bus: what it shows there [its own]"},
	{"bus-key", 0, "FILE", read_bus_key, "the key of that [the certificate's name with .key]"},
	{"bus-ca", 0, "FILE", read_bus_ca, "who vouches for the bus [ca.pem beside that certificate]"},
	{"bus-wait", 0, "DURATION", read_bus_wait, "for the bus to store keys; then their sender is sent away [8s]"},
	{"metrics", 0, "HOST:PORT", read_metrics,
		"serve counters and health as Prometheus text, on a loopback address"},
	{"user", 0, "NAME", read_user, "become that user once the ports are open"},
	{"verbose", 'v', NULL, read_verbose, "log more"},
};

static const struct arguments arguments = {
	.verb = "collect", .table = table, .count = sizeof(table) / sizeof(table[0])};

static bool find_folder(struct wish *wish, struct error *err)
{
	if (wish->folder)
		return true;
	wish->folder = wish->room;
	return collect_place(wish->room, err);
}

/* Who it is to the bus. */
static bool complete_bus(struct wish *wish, struct error *err)
{
	struct bus_options *bus = &wish->options.bus;
	if (!bus->servers)
		return !wish->options.site || error_set(err, "--site goes with --bus only");
	if (!wish->options.site)
		return error_set(err, "--bus needs --site: where this collector stands");
	bus->certificate = wish->bus_certificate ? wish->bus_certificate : wish->options.files.certificate;
	bus->key = wish->bus_certificate ? wish->bus_key : wish->options.files.key;
	bus->ca = wish->bus_ca ? wish->bus_ca : wish->bus_certificate ? NULL : wish->options.files.ca;
	return collect_find_beside(bus->certificate, &bus->key, wish->bus_key_room, &bus->ca, wish->bus_ca_room, err);
}

/* What was not said stands in the folder. */
static bool complete(struct wish *wish, struct error *err)
{
	struct collect_options *options = &wish->options;
	bool ok = find_folder(wish, err) &&
	          collect_find_files(&options->files, &wish->paths, wish->folder, "collector", err) &&
	          file_join(wish->grants, wish->folder, "grants", err) &&
	          file_join(wish->audit, wish->folder, "audit.log", err) &&
	          file_join(wish->signer, wish->folder, "signers", err) && complete_bus(wish, err);
	if (!ok)
		return false;
	if (!options->grants)
		options->grants = wish->grants;
	if (!options->audit)
		options->audit = wish->audit;
	if (options->listen_count == 0)
		options->listen[options->listen_count++] = LISTEN_DEFAULT;
	return options->signer_count > 0 ||
	       collect_read_signers(wish->signer, options->signers, COLLECT_SIGNERS_MAX, &options->signer_count, err);
}

static int run(int argc, char **argv)
{
	static struct wish wish; /* large */
	struct error err;
	int rest;
	sigset_t set;
	collect_options_init(&wish.options);
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err) || !complete(&wish, &err))
		return complain("collect", &err, EXIT_MISUSE);
	log_setup("collect", STDERR_FILENO, wish.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Before the log's thread begins, so that it inherits them blocked. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return collect_run(&wish.options, &err) ? EXIT_SUCCESS : complain("collect", &err, EXIT_FAILURE);
}

/* Certificates. */

static bool read_name(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->name_count == ISSUE_NAMES_MAX)
		return error_set(err, "at most %d of these", ISSUE_NAMES_MAX);
	wish->names[wish->name_count++] = value;
	return *value != '\0';
}

static bool read_client(void *ctx, const char *word, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->client_count == sizeof(wish->clients) / sizeof(wish->clients[0]))
		return error_set(err, "not so many at once");
	wish->clients[wish->client_count++] = word;
	return true;
}

static const struct argument init_table[] = {
	{"dir", 'd', "DIR", read_folder, "where it shall stand [$XDG_DATA_HOME/overt-collect]"},
	{"name", 'n', "HOST", read_name,
		"a name or address by which senders and readers reach the collector [localhost, 127.0.0.1, ::1]"},
};

static const struct arguments init_arguments = {
	.verb = "collect init", .table = init_table, .count = 2, .word = read_client};

static bool issue_clients(const struct wish *wish, int64_t now_s, struct error *err)
{
	for (size_t i = 0; i < wish->client_count; i++) {
		if (!issue_client(wish->folder, wish->clients[i], now_s, err))
			return false;
		printf("Made %s/%s.pem and, readable by you alone, %s/%s.key.\n", wish->folder, wish->clients[i],
			wish->folder, wish->clients[i]);
	}
	return true;
}

static bool make_all(struct wish *wish, int64_t now_s, struct error *err)
{
	static const char *const own[] = {"localhost", "127.0.0.1", "::1"};
	char grants[FILE_PATH_MAX];
	size_t count = wish->name_count ? wish->name_count : sizeof(own) / sizeof(own[0]);
	if (!issue_init(wish->folder, wish->name_count ? wish->names : own, count, now_s, err) ||
		!file_join(grants, wish->folder, "grants", err) || !file_make_directory(grants, err))
		return false;
	printf("Made %s with a CA (ca.pem, ca.key), the collector's certificate and key, and grants/.\n", wish->folder);
	return true;
}

static int make_certificates(int argc, char **argv, bool first)
{
	static struct wish wish;
	const char *verb = first ? "collect init" : "collect client";
	const struct arguments own = {.verb = verb, .table = init_table, .count = first ? 2 : 1, .word = read_client};
	struct error err;
	int rest;
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	if (!arguments_read(&own, argc, argv, &wish, &rest, &err) || !find_folder(&wish, &err))
		return complain(verb, &err, EXIT_MISUSE);
	if (!first && wish.client_count == 0)
		return complain(verb, &(struct error){"name the client that the certificate is for"}, EXIT_MISUSE);
	if ((first && !make_all(&wish, now_s, &err)) || !issue_clients(&wish, now_s, &err))
		return complain(verb, &err, EXIT_FAILURE);
	if (first)
		puts("ca.key makes new clients; keep it away from the collector. Each client gets its\n"
		     "own pair and ca.pem.");
	return EXIT_SUCCESS;
}

static int help(void)
{
	puts("usage: overt collect [OPTIONS]\n"
	     "       overt collect init   [--dir DIR] [--name HOST]... [CLIENT]...\n"
	     "       overt collect client [--dir DIR] CLIENT...\n"
	     "       overt collect fetch  --collector HOST:PORT --reader-key FILE [OPTIONS]\n"
	     "       overt collect bus    nodes|streams|show|rewind|purge [OPTIONS]\n\n"
	     "Takes keys over mutual TLS 1.3, holds them sealed to their readers, and gives\n"
	     "each reader what its grants say. init and client make certificates; fetch is a\n"
	     "reader that writes files; bus sets up the bus of a fleet of collectors. See\n"
	     "overt-collect(1), and overt-grant(1) for grants.\n");
	arguments_help(&arguments);
	puts("\nof init and client:");
	arguments_help(&init_arguments);
	puts("\nof fetch:");
	collect_fetch_help();
	puts("\nof bus:");
	collect_bus_help();
	return 0;
}

int verb_collect(int argc, char **argv)
{
	if (wants_help(argc, argv))
		return help();
	if (argc >= 2 && strcmp(argv[1], "init") == 0)
		return make_certificates(argc - 1, argv + 1, true);
	if (argc >= 2 && strcmp(argv[1], "client") == 0)
		return make_certificates(argc - 1, argv + 1, false);
	if (argc >= 2 && strcmp(argv[1], "fetch") == 0)
		return collect_fetch(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "bus") == 0)
		return collect_bus(argc - 1, argv + 1);
	return run(argc, argv);
}
