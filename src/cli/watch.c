/* overt watch — reads TLS connections that others hold, from a capture or an interface, with keys of an endpoint. */
#include "watch/watch.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/collect_reader.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "keys/secret.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct wish {
	struct watch_options options;
	struct collect_reader reader;
	struct collect_source source;
	struct keyring *ring; /* where the fetch puts keys */
	uint64_t record_keys; /* of these, such as no secret follows from */
	bool quiet, verbose, standard_input;
};

static bool add(struct watch_names *names, const char *value, struct error *err)
{
	if (names->count == WATCH_INPUTS_MAX)
		return error_set(err, "at most %d of these", WATCH_INPUTS_MAX);
	names->at[names->count++] = value;
	return true;
}

static bool read_capture(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	wish->standard_input |= strcmp(value, "-") == 0;
	return add(&wish->options.captures, value, err);
}

static bool read_keylog(void *ctx, const char *value, struct error *err)
{
	return add(&((struct wish *)ctx)->options.keylogs, value, err);
}

static bool read_private_key(void *ctx, const char *value, struct error *err)
{
	return add(&((struct wish *)ctx)->options.private_keys, value, err);
}

static bool read_psk(void *ctx, const char *value, struct error *err)
{
	return add(&((struct wish *)ctx)->options.psks, value, err);
}

ARGUMENT_TEXT(read_collector, wish, reader.collector)
ARGUMENT_TEXT(read_bus, wish, reader.bus)
ARGUMENT_TEXT(read_consumer, wish, reader.consumer)
ARGUMENT_TEXT(read_log, wish, reader.audit)
ARGUMENT_TEXT(read_reader_key, wish, reader.reader_key)
ARGUMENT_TEXT(read_certificate, wish, reader.certificate)
ARGUMENT_TEXT(read_certificate_key, wish, reader.key)
ARGUMENT_TEXT(read_collector_ca, wish, reader.ca)
ARGUMENT_TEXT(read_interface, wish, options.interface)
ARGUMENT_TEXT(read_filter, wish, options.filter)
ARGUMENT_TEXT(read_connect, wish, options.connect)
ARGUMENT_TEXT(read_jsonl, wish, options.outputs.jsonl)
ARGUMENT_TEXT(read_pcapng, wish, options.rewrite)
ARGUMENT_TEXT(read_plaintext, wish, options.outputs.plaintext)
ARGUMENT_TEXT(read_plaintext_pcapng, wish, options.outputs.pcapng)
ARGUMENT_TEXT(read_objects, wish, options.outputs.objects)
ARGUMENT_FLAG(read_follow, wish, options.follow)
ARGUMENT_FLAG(read_promiscuous, wish, options.promiscuous)
ARGUMENT_FLAG(read_show_secrets, wish, options.outputs.unmasked)
ARGUMENT_FLAG(read_quiet, wish, quiet)
ARGUMENT_FLAG(read_verbose, wish, verbose)

static bool read_format(void *ctx, const char *value, struct error *err)
{
	if (strcmp(value, "jsonl") != 0)
		return error_set(err, "the one form there is, but for the table, is jsonl");
	return read_jsonl(ctx, "-", err);
}

static bool read_number(const char *value, uint64_t least, uint64_t most, uint64_t *out, struct error *err)
{
	if (text_number(bytes_str(value), most, out) && *out >= least)
		return true;
	return error_set(
		err, "expected a number from %llu to %llu", (unsigned long long)least, (unsigned long long)most);
}

static bool read_workers(void *ctx, const char *value, struct error *err)
{
	uint64_t n;
	if (!read_number(value, 1, WATCH_WORKERS_MAX, &n, err))
		return false;
	((struct wish *)ctx)->options.workers = (unsigned)n;
	return true;
}

static bool read_connections(void *ctx, const char *value, struct error *err)
{
	uint64_t n;
	if (!read_number(value, 1, UINT32_MAX, &n, err))
		return false;
	((struct wish *)ctx)->options.table.connections = (size_t)n;
	return true;
}

static bool read_memory(void *ctx, const char *value, struct error *err)
{
	uint64_t megabytes;
	struct watch_options *options = &((struct wish *)ctx)->options;
	if (!read_number(value, 1, 1 << 20, &megabytes, err))
		return false;
	struct session_limits *session = &options->session;
	session->park_total = (size_t)(megabytes << 20);
	/* Keys released after rotation come an epoch late: who gives more memory wants more of it for one connection. */
	if (session->park_session < session->park_total / 16)
		session->park_session = session->park_total / 16;
	if (session->park_session > session->park_total)
		session->park_session = session->park_total;
	return true;
}

static bool read_wait(void *ctx, const char *value, struct error *err)
{
	uint64_t seconds;
	if (!read_number(value, 0, 86400, &seconds, err))
		return false;
	((struct wish *)ctx)->options.session.park_ns = seconds * 1000000000ULL;
	return true;
}

static const struct argument table[] = {
	{"read", 'r', "FILE", read_capture,
		"a capture: pcap or pcapng, also packed with gzip or zstd; - is standard input"},
	{"interface", 'i', "NAME", read_interface, "capture live there; \"any\" is all of them"},
	{"filter", 'f', "EXPRESSION", read_filter, "of the live capture, as pcap-filter(7) has it"},
	{"promiscuous", 'p', NULL, read_promiscuous, "frames for other machines too"},
	{"connect", 0, "HOST:PORT", read_connect, "read a capture that is sent there (PCAP-over-IP)"},
	{"follow", 'F', NULL, read_follow, "captures and key logs go on growing: wait for more"},
	{"keys", 'k', "FILE", read_keylog, "a key log (SSLKEYLOGFILE); may be given several times"},
	{"private-key", 0, "FILE", read_private_key, "RSA keys of servers, for TLS 1.2 with RSA key exchange"},
	{"psk", 0, "FILE", read_psk, "pre-shared keys, a line IDENTITY:HEX each"},
	{"collector", 0, "HOST:PORT", read_collector, "fetch keys there (overt collect), as a reader"},
	{"bus", 0, "SERVERS", read_bus, "or there: nats://HOST:PORT, several with commas between"},
	{"consumer", 0, "NAME", read_consumer, "with --bus: what the bus knows this watch by [" CONSUMER_DEFAULT "]"},
	{"log", 0, "FILE", read_log, "with --bus: the audit log that every read is entered in first"},
	{"reader-key", 0, "FILE", read_reader_key, "with either: the private key that opens them"},
	{"certificate", 0, "FILE", read_certificate, "with either: the certificate that says who asks"},
	{"certificate-key", 0, "FILE", read_certificate_key, "its key [the certificate's name with .key]"},
	{"collector-ca", 0, "FILE", read_collector_ca, "who vouches for either [ca.pem beside the certificate]"},
	{"format", 'T', "jsonl", read_format, "JSON lines on standard output in place of the table"},
	{"jsonl", 0, "FILE", read_jsonl, "JSON lines to a file; - is standard output"},
	{"pcapng", 'w', "FILE", read_pcapng, "the packets as they came, with the secrets that open them"},
	{"plaintext", 0, "DIR", read_plaintext, "a file per connection and direction with its plaintext alone"},
	{"plaintext-pcapng", 0, "FILE", read_plaintext_pcapng, "the plaintext, as TCP streams"},
	{"export-objects", 0, "DIR", read_objects,
		"a file per body of HTTP, unpacked, and index.jsonl that lists them"},
	{"show-secrets", 0, NULL, read_show_secrets, "credentials in the table and in JSON lines as they are"},
	{"workers", 'j', "N", read_workers, "threads; by default one per processor"},
	{"connections", 0, "N", read_connections, "followed at a time [262144]"},
	{"wait", 0, "SECONDS", read_wait, "how long ciphertext waits for its key [60]"},
	{"wait-memory", 0, "MIB", read_memory, "memory for ciphertext that waits [64]"},
	{"quiet", 'q', NULL, read_quiet, "no table"},
	{"verbose", 'v', NULL, read_verbose, "log more"},
};

static const struct arguments arguments = {
	.verb = "watch", .table = table, .count = sizeof(table) / sizeof(table[0]), .word = read_capture};

static int help(void)
{
	puts("usage: overt watch [OPTIONS] [FILE...]\n\n"
	     "Reads connections of TLS 1.2, TLS 1.3 and DTLS 1.2 out of captures or off an\n"
	     "interface, with keys that an endpoint gave away. Nothing is sent, and the\n"
	     "connections do not notice.\n\n"
	     "  overt watch -k keys.log capture.pcapng\n"
	     "      what a server and its clients said\n"
	     "  overt watch -k keys.log -i eth0 -f 'port 443'\n"
	     "      the same, while they say it\n");
	arguments_help(&arguments);
	puts("\nAt the end a line on standard error tells what was decrypted, what not, and why;\n"
	     "overt-watch(1) explains it. Exits with 0 when all was read, 1 when the input\n"
	     "broke off or an output lost something, 2 when misused or when nothing could be\n"
	     "read.");
	return 0;
}

/* One source of packets. */
static bool consistent(const struct wish *wish, struct error *err)
{
	const struct watch_options *options = &wish->options;
	unsigned sources = (options->captures.count > 0) + (options->connect != NULL) + (options->interface != NULL);
	if (sources == 0)
		return error_set(err, "what shall be read? Name a capture, or an interface with -i");
	if (sources > 1)
		return error_set(err, "one source at a time: captures, -i, or --connect");
	if (wish->standard_input && options->captures.count > 1)
		return error_set(err, "standard input stands alone: name no other capture beside -");
	if (options->filter && !options->interface)
		return error_set(
			err, "--filter goes with -i only; captures can be filtered with tshark or tcpdump before");
	if (options->follow && options->captures.count > 1)
		return error_set(err, "--follow takes one capture: the end of the first would never come");
	return true;
}

static int stop_fd = -1;

/*
 * The first signal ends in good order, and so do all of SIGTERM. A second SIGINT ends at once, but for one that comes with
 * the first: timeout(1) sends its signal to the process and to the process's group.
 */
static void stop(int number)
{
	static uint64_t first_ns;
	int saved = errno;
	uint64_t one = 1, now_ns = clock_monotonic_ns();
	if (first_ns == 0) {
		first_ns = now_ns;
		(void)!write(stop_fd, &one, sizeof(one));
	} else if (number == SIGINT && now_ns - first_ns > NS_PER_S) {
		_exit(128 + SIGINT);
	}
	errno = saved;
}

static bool catch_signals(struct error *err)
{
	struct sigaction action = {.sa_handler = stop};
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGINT);
	sigaddset(&action.sa_mask, SIGTERM);
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0)
		return error_set_errno(err, "no descriptor for signals");
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return true;
}

/* Keys from a collector or a bus. */

static void key_took(const struct release *release, const char *sender, void *ctx)
{
	struct wish *wish = ctx;
	(void)sender;
	wish->record_keys += release->grade == RELEASE_GRADE_RECORD;
	if (!release_to_keyring(release, wish->ring))
		log_warn("key not kept", LOG_S("why", "too many of one connection"));
}

static bool begin_fetch(struct keyring *ring, bool follow, void *ctx, struct error *err)
{
	struct wish *wish = ctx;
	wish->ring = ring;
	return collect_source_begin(&wish->source, &wish->reader, follow, NULL, key_took, wish, err);
}

static void end_fetch(void *ctx)
{
	struct wish *wish = ctx;
	struct fetch_counts counts = collect_source_end(&wish->source);
	if (counts.unopened > 0)
		fprintf(stderr, "overt watch: %llu keys could not be opened with %s\n",
			(unsigned long long)counts.unopened, wish->reader.reader_key);
	if (wish->record_keys > 0 && wish->options.rewrite)
		fprintf(stderr,
			"overt watch: %llu record keys are not in %s, which has secrets only; --plaintext-pcapng has "
			"what they open\n",
			(unsigned long long)wish->record_keys, wish->options.rewrite);
}

static bool use_collector(struct wish *wish, struct error *err)
{
	if (!wish->reader.collector && !wish->reader.bus)
		return true;
	wish->options.source = (struct watch_source){.begin = begin_fetch, .end = end_fetch, .ctx = wish};
	return collect_reader_complete(&wish->reader, err);
}

static int report(const struct watch_report *found, bool ok, const struct error *err)
{
	char summary[WATCH_SUMMARY_ROOM];
	bool nothing = found->capture.frames + found->live.frames == 0;
	if (!nothing || (ok && !found->cut)) {
		watch_summary(found, summary);
		fprintf(stderr, "overt watch: %s\n", summary);
	}
	if (!ok || found->cut)
		return complain("watch", ok ? &found->note : err, nothing ? EXIT_MISUSE : 1);
	return found->sink_lost > 0 ? 1 : 0;
}

int verb_watch(int argc, char **argv)
{
	static struct wish wish; /* large */
	static struct watch_report found;
	struct error err;
	int rest;
	if (wants_help(argc, argv))
		return help();
	watch_options_init(&wish.options);
	secret_process();
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err) || !consistent(&wish, &err) ||
		!use_collector(&wish, &err) || !catch_signals(&err))
		return complain("watch", &err, EXIT_MISUSE);
	bool json_there = wish.options.outputs.jsonl && strcmp(wish.options.outputs.jsonl, "-") == 0;
	wish.options.outputs.terminal_fd = wish.quiet || json_there ? -1 : STDOUT_FILENO;
	wish.options.stop_fd = stop_fd;
	log_setup("watch", STDERR_FILENO, wish.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
	bool ok = watch_run(&wish.options, &found, &err);
	close(stop_fd);
	return report(&found, ok, &err);
}
