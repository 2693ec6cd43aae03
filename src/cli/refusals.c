/* overt refusals — which clients did not accept a leaf, for which names: what to look at before writing a bypass rule. */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "proxy/refusal.h"
#include "tls/alert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void help(void)
{
	puts("usage: overt refusals [--state DIR]\n\n"
	     "Lists clients that did not accept a leaf of the local CA: when, who, for which\n"
	     "name, how often, and what they said. Such a program pins its server's\n"
	     "certificate, or does not trust the CA. To let it pass unread, write a rule that\n"
	     "bypasses the name, or one with refused: bypass.\n\n"
	     "  --state DIR   where the proxy keeps its state [$XDG_DATA_HOME/overt]");
}

static void print_when(uint64_t at_s, char out[24])
{
	time_t at = (time_t)at_s;
	struct tm local;
	localtime_r(&at, &local);
	strftime(out, 24, "%Y-%m-%d %H:%M:%S", &local);
}

static void print_one(const struct refusal *refusal, void *ctx)
{
	char when[24], name[REFUSAL_NAME_MAX * 4 + 1];
	size_t *count = ctx;
	if (++*count == 1)
		printf("%-19s  %-24s %6s  %-22s %s\n", "last", "client", "times", "said", "name");
	print_when(refusal->last_s, when);
	text_clean(name, sizeof(name), bytes_str(refusal->name));
	const char *said =
		refusal->alert == REFUSAL_CLOSED ? "closed the connection" : alert_name((uint8_t)refusal->alert);
	printf("%-19s  %-24s %6llu  %-22s %s\n", when, refusal->client, (unsigned long long)refusal->count,
		said ? said : "an unknown alert", name);
}

static int list(const char *state)
{
	struct error err;
	char path[4200];
	size_t count = 0;
	struct refusal_limits limits = {.lifetime_s = 3650ULL * 86400};
	snprintf(path, sizeof(path), "%s/refusals.db", state);
	if (access(path, F_OK) != 0) {
		printf("No refusals: no proxy has kept any at %s.\n", path);
		return 0;
	}
	struct refusal_store *store = refusal_store_open(path, &limits, &err);
	if (!store)
		return complain("refusals", &err, 1);
	bool ok = refusal_each(store, clock_wall_ns() / NS_PER_S, print_one, &count, &err);
	refusal_store_close(store);
	if (!ok)
		return complain("refusals", &err, 1);
	if (count == 0)
		puts("No refusals.");
	return 0;
}

int verb_refusals(int argc, char **argv)
{
	struct error err;
	int rest;
	if (wants_help(argc, argv)) {
		help();
		return 0;
	}
	struct config *config = config_new(&err);
	bool ok = config && config_read_args(config, CONFIG_PROXY, argc, argv, &rest, &err) &&
	          config_check(config, CONFIG_PROXY, &err);
	if (ok && rest < argc)
		ok = error_set(&err, "%s: not expected here (overt refusals --help)", argv[rest]);
	int code = ok ? list(config->state) : complain("refusals", &err, EXIT_MISUSE);
	config_free(config);
	return code;
}
