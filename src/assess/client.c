#include "assess/client.h"

#include "assess/client_cases.h"
#include "assess/identity.h"
#include "assess/origin.h"
#include "assess/run.h"
#include "base/clock.h"
#include "tls/hello.h"

#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define NAME       "localhost"
#define LOOK_NS    (5 * NS_PER_S)
#define FOLDER_MAX 512

struct client {
	const struct client_options *options;
	struct identity_maker *maker;
	struct origin *origin;
	struct report *report;
	char folder[FOLDER_MAX], ca_file[FOLDER_MAX + 16], url[80];
	int signals;
	bool stopped;
	uint64_t deadline_ns;
	struct identity good;
	struct visit_seen seen; /* large */
};

/* One run of the command. False with err set when it cannot be run. */
static bool call(struct client *client, const struct play *play, enum run_end *end, int *code, struct error *err)
{
	const struct run_wish wish = {.command = client->options->command,
		.url = client->url,
		.ca_file = client->ca_file,
		.patience_ns = client->options->patience_ns,
		.signals = client->signals};
	if (!origin_play(client->origin, play, err))
		return false;
	if (!run_once(&wish, end, code, err)) {
		client->stopped = *end == RUN_STOPPED;
		return false;
	}
	origin_look(client->origin, LOOK_NS, &client->seen);
	client->report->connections += client->seen.connections;
	return true;
}

static void try_case(struct client *client, const struct client_case *one)
{
	enum run_end end;
	int code;
	char more[80];
	struct error err = {""};
	struct identity identity;
	struct play play = one->play;
	if (!identity_applies(client->maker, one->fault))
		return;
	if (clock_monotonic_ns() + client->options->patience_ns > client->deadline_ns) {
		report_add(client->report, one->check, GRADE_UNKNOWN, one->probed, NULL,
			"not tried: the time for the whole is spent");
		return;
	}
	play.identity = &identity;
	bool made = identity_make(client->maker, one->fault, one->rsa, &identity);
	play.staple = bytes_of(identity.status, identity.status_len);
	if (!made || !call(client, &play, &end, &code, &err)) {
		report_add(client->report, one->check, GRADE_UNKNOWN, one->probed, NULL, "not tried: %s",
			made ? err.text : "the certificate could not be made");
	} else {
		if (end == RUN_LATE)
			snprintf(more, sizeof(more), "; ended for taking too long");
		else
			snprintf(more, sizeof(more), "; exit code %d", code);
		client_tell_case(client->report, one, &client->seen, more);
	}
	identity_free(&identity);
}

static void try_all(struct client *client, bool speaks_13)
{
	struct client_case *cases = calloc(CLIENT_CASES_MAX, sizeof(*cases));
	size_t count = cases ? client_cases(cases) : 0;
	for (size_t i = 0; i < count && !client->stopped; i++) {
		if (cases[i].sentinel && !speaks_13)
			report_add(client->report, cases[i].check, GRADE_NONE, cases[i].probed, NULL,
				"not tried: it does not offer TLS 1.3");
		else
			try_case(client, &cases[i]);
	}
	free(cases);
	client_tell_dropout(client->report);
}

static bool assess(struct client *client, struct error *err)
{
	const struct play fine = {.identity = &client->good};
	struct client_hello hello;
	enum run_end end;
	int code;
	if (!call(client, &fine, &end, &code, err))
		return false;
	if (client->seen.request == 0)
		return error_set(err,
			"the command does not fetch %s although all is well there (%s, %s %d): does it take the URL "
			"from {} or "
			"OVERT_URL, and the root from SSL_CERT_FILE or OVERT_CA?",
			client->url, client->seen.connections ? "it connected" : "it made no connection",
			end == RUN_LATE ? "ended after" : "exit code",
			end == RUN_LATE ? (int)(client->options->patience_ns / NS_PER_S) : code);
	struct bytes body = bytes_of(client->seen.hello, client->seen.hello_len);
	client_tell_hello(client->report, body);
	bool speaks_13 =
		client_hello_parse(body, &hello) == HELLO_OK && client_hello_offers_version(&hello, TLS_VERSION_13);
	report_add(client->report, "control", GRADE_NONE, "a good certificate", NULL, "accepted, as it should be");
	try_all(client, speaks_13);
	return !client->stopped || error_set(err, "stopped by a signal");
}

static bool write_root(struct client *client, struct error *err)
{
	const char *above = getenv("TMPDIR");
	if (!above || above[0] != '/')
		above = "/tmp";
	int n = snprintf(client->folder, sizeof(client->folder), "%s/overt-assess-XXXXXX", above);
	if (n < 0 || (size_t)n >= sizeof(client->folder) || !mkdtemp(client->folder)) {
		client->folder[0] = '\0';
		return error_set_errno(err, "%s: no folder for the root can be made there (TMPDIR)", above);
	}
	snprintf(client->ca_file, sizeof(client->ca_file), "%s/root.pem", client->folder);
	FILE *file = fopen(client->ca_file, "we");
	bool ok = file && PEM_write_X509(file, identity_root(client->maker)) == 1;
	if (file && fclose(file) != 0)
		ok = false;
	return ok || error_set_errno(err, "%s", client->ca_file);
}

static bool begin(struct client *client, struct error *err)
{
	client->maker = identity_maker_new(NAME, NULL, err);
	if (!client->maker || !write_root(client, err))
		return false;
	client->origin = origin_new("127.0.0.1", 0, err);
	client->report = client->origin ? report_new("client", client->options->command[0]) : NULL;
	if (!client->report)
		return false;
	snprintf(client->url, sizeof(client->url), "https://%s:%u/", NAME, origin_port(client->origin));
	return identity_make(client->maker, IDENTITY_GOOD, false, &client->good) ||
	       error_set_openssl(err, "certificates cannot be made");
}

static struct report *assess_all(const struct client_options *options, int signals, struct error *err)
{
	struct client *client = calloc(1, sizeof(*client));
	uint64_t began_ns = clock_monotonic_ns();
	if (!client) {
		error_set(err, "no memory");
		return NULL;
	}
	client->options = options;
	client->signals = signals;
	client->deadline_ns = began_ns + options->whole_ns;
	bool ok = begin(client, err) && assess(client, err);
	struct report *report = client->report;
	if (report)
		report->took_ns = clock_monotonic_ns() - began_ns;
	if (!ok) {
		report_free(report);
		report = NULL;
	}
	origin_free(client->origin);
	identity_free(&client->good);
	identity_maker_free(client->maker);
	if (client->ca_file[0])
		(void)unlink(client->ca_file);
	if (client->folder[0])
		(void)rmdir(client->folder);
	free(client);
	return report;
}

/*
 * Signals wait until the command is ended and the folder gone; whoever sent one is obeyed by letting it through then. Threads
 * that are started here have them blocked, too.
 */
struct report *client_assess(const struct client_options *options, struct error *err)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set, before;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaddset(&set, ending[i]);
	(void)pthread_sigmask(SIG_BLOCK, &set, &before);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	struct report *report = NULL;
	if (signals >= 0)
		report = assess_all(options, signals, err);
	else
		error_set_errno(err, "no signalfd");
	if (signals >= 0)
		close(signals);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return report;
}
