#include "cli/verbs.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/ca_places.h"
#include "pki/authority.h"
#include "pki/file.h"
#include "pki/summary.h"
#include "proxy/program.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] = "usage: overt ca show    [--state DIR]\n"
			    "       overt ca install [--state DIR] --permit NAMES | --everything\n"
			    "       overt ca remove  [--state DIR]\n"
			    "       overt ca export  [--state DIR] [--format pem|der] [FILE]\n"
			    "       overt ca rotate  [--state DIR] [--lead DURATION]\n"
			    "\n"
			    "  --state DIR       where the CA stands; default $XDG_DATA_HOME/overt\n"
			    "  --permit NAMES    what the CA may sign for: example.com (and all below it),\n"
			    "                    10.0.0.0/8, 192.0.2.7, with commas or blanks between\n"
			    "  --everything      the CA may sign for every name\n"
			    "  --format FORMAT   pem (all certificates that clients may trust) or der (the\n"
			    "                    issuing one)\n"
			    "  --lead DURATION   the present CA goes on issuing that long (7d); default: the\n"
			    "                    new one issues at once\n"
			    "  --system-dir DIR  instead of /usr/local/share/ca-certificates; no update\n"
			    "                    command is run then\n"
			    "  --nss DIR         NSS database, instead of $HOME/.pki/nssdb; \"none\": leave it\n"
			    "                    alone\n";

struct ca_options {
	const char *action;
	char state[FILE_PATH_MAX];
	char nss[FILE_PATH_MAX];
	const char *permit;
	bool everything;
	bool der;
	int64_t lead_s;
	const char *file; /* of export; NULL: standard output */
	struct ca_places places;
	struct name_ranges ranges; /* of --permit */
	int64_t now_s;
};

static int failed(const struct ca_options *options, const struct error *err, int code)
{
	fprintf(stderr, "overt ca %s: %s\n", options->action, err->text);
	return code;
}

static bool home_path(char out[FILE_PATH_MAX], const char *below, struct error *err)
{
	const char *home = getenv("HOME");
	if (!home || *home == '\0')
		return error_set(err, "--state: HOME is not set; name a directory");
	return file_join(out, home, below, err);
}

static bool defaults_set(struct ca_options *options, struct error *err)
{
	const char *data = getenv("XDG_DATA_HOME");
	options->now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	options->places = (struct ca_places){.system_dir = CA_SYSTEM_DIR, .system_update = true};
	if (home_path(options->nss, ".pki/nssdb", NULL))
		options->places.nss_dir = options->nss;
	if (options->state[0] != '\0')
		return true;
	if (data && data[0] == '/')
		return file_join(options->state, data, "overt", err);
	return home_path(options->state, ".local/share/overt", err);
}

enum { OPT_STATE = 256, OPT_PERMIT, OPT_EVERYTHING, OPT_FORMAT, OPT_LEAD, OPT_SYSTEM, OPT_NSS, OPT_HELP };

static const struct option long_options[] = {
	{"state", required_argument, NULL, OPT_STATE},
	{"permit", required_argument, NULL, OPT_PERMIT},
	{"everything", no_argument, NULL, OPT_EVERYTHING},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"lead", required_argument, NULL, OPT_LEAD},
	{"system-dir", required_argument, NULL, OPT_SYSTEM},
	{"nss", required_argument, NULL, OPT_NSS},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static bool option_take(struct ca_options *options, int option, const char *value, struct error *err)
{
	uint64_t lead_ns;
	switch (option) {
	case OPT_STATE:
		if (*value == '\0' || (size_t)snprintf(options->state, FILE_PATH_MAX, "%s", value) >= FILE_PATH_MAX)
			return error_set(err, "--state: the path is empty or too long");
		return true;
	case OPT_PERMIT:
		options->permit = value;
		return name_ranges_parse(bytes_str(value), &options->ranges, err) || error_prefix(err, "--permit");
	case OPT_EVERYTHING:
		options->everything = true;
		return true;
	case OPT_FORMAT:
		options->der = strcmp(value, "der") == 0;
		return options->der || strcmp(value, "pem") == 0 ||
		       error_set(err, "--format: %s is neither pem nor der", value);
	case OPT_LEAD:
		if (!text_duration(bytes_str(value), &lead_ns) || lead_ns / NS_PER_S > 365 * 86400ULL)
			return error_set(err, "--lead: %s is no duration such as 7d or 12h, of a year at most", value);
		options->lead_s = (int64_t)(lead_ns / NS_PER_S);
		return true;
	case OPT_SYSTEM:
		options->places.system_dir = value;
		options->places.system_update = false;
		return true;
	case OPT_NSS:
		options->places.nss_dir = strcmp(value, "none") == 0 ? NULL : value;
		return true;
	default:
		return false;
	}
}

/* 0 to go on, else the exit code plus one. */
static int options_parse(struct ca_options *options, int argc, char **argv)
{
	struct error err = {{0}};
	if (!defaults_set(options, &err) && options->state[0] == '\0') {
		/* --state may still come. */
	}
	opterr = 0;
	optind = 1;
	int option;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(usage, stdout);
			return 1;
		}
		const char *given = argv[optind - 1];
		bool known = option != '?' && option != ':';
		if (!known)
			error_set(&err, "%s: no such option, or its value is missing; see overt ca --help", given);
		if (!known || !option_take(options, option, optarg, &err))
			return failed(options, &err, EXIT_MISUSE) + 1;
	}
	if (options->state[0] == '\0')
		return failed(options, &err, EXIT_MISUSE) + 1;
	bool file_may = strcmp(options->action, "export") == 0;
	if (argc - optind > (file_may ? 1 : 0)) {
		error_set(&err, "%s: not expected here", argv[optind + (file_may ? 1 : 0)]);
		return failed(options, &err, EXIT_MISUSE) + 1;
	}
	if (optind < argc && strcmp(argv[optind], "-") != 0)
		options->file = argv[optind];
	return 0;
}

static void ranges_print(const char *label, const struct name_ranges *ranges)
{
	printf("%s", label);
	for (size_t i = 0; i < ranges->count; i++) {
		char text[SUBJECT_NAME_MAX + 8];
		name_range_print(&ranges->at[i], text, sizeof(text));
		printf("%s%s", i ? ", " : "", text);
	}
	printf("\n");
}

static int load(struct ca_options *options, struct authority **out)
{
	struct error err;
	bool missing;
	if (authority_load(out, options->state, options->now_s, &missing, &err))
		return 0;
	if (missing)
		error_set(&err,
			"--state %s: there is no CA yet; overt proxy makes one when it first runs, and so does overt "
			"ca install",
			options->state);
	return failed(options, &err, missing ? EXIT_FAILURE : EXIT_MISUSE);
}

static void cert_show(const struct ca_options *options, const struct authority *authority, X509 *cert)
{
	struct cert_summary summary;
	struct authority_issuer issuer;
	char from[16];
	char until[16];
	cert_summary_of(cert, &summary);
	cert_date(from, sizeof(from), summary.not_before_s);
	cert_date(until, sizeof(until), summary.not_after_s);
	bool issues = authority_issuer(authority, options->now_s, &issuer) && issuer.cert == cert;
	const char *role = issues                                  ? "issues now"
	                   : summary.not_before_s > options->now_s ? "issues later"
	                                                           : "trusted still";
	printf("subject      %s\nsha256       %s\nvalid        %s to %s (%s)\n", summary.subject, summary.sha256, from,
		until, role);
	printf("system store %s\n", ca_system_has(&options->places, cert) ? "installed" : "not installed");
	printf("nss database %s\n", ca_nss_has(&options->places, cert) ? "installed" : "not installed");
}

static int show(struct ca_options *options)
{
	struct authority *authority;
	int code = load(options, &authority);
	if (code != 0)
		return code;
	printf("state        %s\n", options->state);
	for (size_t i = 0; authority_cert(authority, i); i++)
		cert_show(options, authority, authority_cert(authority, i));
	struct name_ranges permitted = {.count = 0};
	if (authority_permit_list(authority, &permitted))
		ranges_print("permits      ", &permitted);
	else
		printf("permits      everything\n");
	authority_free(authority);
	return EXIT_SUCCESS;
}

/* Says what became of a place. True unless it failed. */
static bool place_report(const struct ca_options *options, const char *place, enum ca_place_result result,
	const char *done, const struct error *err)
{
	char program[PROGRAM_PATH_MAX];
	switch (result) {
	case CA_PLACE_DONE:
		printf("%s: %s\n", place, done);
		return true;
	case CA_PLACE_ABSENT:
		printf("%s: none here, or no tool for it: left alone\n", place);
		return true;
	case CA_PLACE_DENIED:
		fprintf(stderr, "overt ca %s: %s; run: sudo %s ca %s --state %s%s%s%s%s --nss none\n", options->action,
			err->text, program_called(program, sizeof(program)), options->action, options->state,
			options->permit ? " --permit '" : "", options->permit ? options->permit : "",
			options->permit ? "'" : "", options->everything ? " --everything" : "");
		return false;
	case CA_PLACE_FAILED:
		fprintf(stderr, "overt ca %s: %s\n", options->action, err->text);
		return false;
	}
	return false;
}

/* Does the same for every certificate of the authority; the first that is not done tells the result. */
static enum ca_place_result for_each(const struct ca_options *options, const struct authority *authority,
	enum ca_place_result (*verb)(const struct ca_places *places, X509 *cert, struct error *err), struct error *err)
{
	enum ca_place_result result = CA_PLACE_DONE;
	for (size_t i = 0; result == CA_PLACE_DONE && authority_cert(authority, i); i++)
		result = verb(&options->places, authority_cert(authority, i), err);
	return result;
}

static bool system_holds(const struct ca_options *options, const struct authority *authority)
{
	bool holds = false;
	for (size_t i = 0; !holds && authority_cert(authority, i); i++)
		holds = ca_system_has(&options->places, authority_cert(authority, i));
	return holds;
}

static bool places_change(const struct ca_options *options, const struct authority *authority, bool put)
{
	struct error err = {{0}};
	const char *done = put ? "the CA is trusted there" : "the CA is not trusted there";
	/* Who is not root and finds nothing in the system store has nothing to take out, and may rebuild nothing. */
	bool idle = !put && geteuid() != 0 && !system_holds(options, authority);
	enum ca_place_result result = for_each(options, authority, put ? ca_system_put : ca_system_remove, &err);
	if (result == CA_PLACE_DONE && !idle)
		result = ca_system_update(&options->places, &err);
	bool ok = place_report(options, "system store", result, done, &err);
	if (ok && !put && !idle && result == CA_PLACE_DONE) {
		result = for_each(options, authority, ca_java_remove, &err);
		/* Where there is no Java of Debian's, there is nothing to say. */
		ok = result == CA_PLACE_ABSENT || place_report(options, "java store", result, done, &err);
	}
	result = for_each(options, authority, put ? ca_nss_put : ca_nss_remove, &err);
	return place_report(options, "nss database", result, done, &err) && ok;
}

static bool ranges_equal(const struct name_ranges *a, const struct name_ranges *b)
{
	for (size_t i = 0; i < a->count; i++) {
		bool found = false;
		for (size_t j = 0; j < b->count && !found; j++)
			found = name_range_equal(&a->at[i], &b->at[j]);
		if (!found)
			return false;
	}
	return true;
}

/* Whether the CA may sign for exactly what was asked. */
static bool is_as_asked(const struct ca_options *options, const struct authority *authority)
{
	struct name_ranges has = {.count = 0};
	if (!authority_permit_list(authority, &has))
		return options->everything;
	return options->permit && ranges_equal(&has, &options->ranges) && ranges_equal(&options->ranges, &has);
}

static bool remake(
	struct ca_options *options, struct authority **authority, const struct authority_make *make, struct error *err)
{
	struct name_ranges has = {.count = 0};
	if (authority_permit_list(*authority, &has))
		ranges_print("The CA that stood here may sign only for ", &has);
	else
		printf("The CA that stood here may sign for everything.\n");
	printf("It is replaced by a new one. Where the old one was installed by hand, install the new one instead; "
	       "send\n"
	       "SIGHUP to running proxies, which would still sign with the old one.\n");
	if (!places_change(options, *authority, false))
		return error_set(err, "the old CA is still trusted by this machine: nothing was changed");
	struct authority *fresh;
	if (!authority_remake(&fresh, options->state, make, options->now_s, err))
		return false;
	authority_free(*authority);
	*authority = fresh;
	return true;
}

static struct authority_make make_for(const struct ca_options *options, char *host, size_t cap)
{
	if (gethostname(host, cap - 1) < 0)
		host[0] = '\0';
	host[cap - 1] = '\0';
	return (struct authority_make){.host = host, .permit = options->permit ? &options->ranges : NULL};
}

static int install(struct ca_options *options)
{
	struct error err = {{0}};
	char host[256], program[PROGRAM_PATH_MAX];
	if (!options->permit == !options->everything) {
		error_set(&err, options->permit
					? "--permit and --everything exclude each other"
					: "say what the CA may sign for: --permit example.com,10.0.0.0/8 (which "
					  "the certificate itself then says), or --everything");
		return failed(options, &err, EXIT_MISUSE);
	}
	struct authority_make make = make_for(options, host, sizeof(host));
	struct authority *authority;
	if (!authority_open(&authority, options->state, &make, options->now_s, &err))
		return failed(options, &err, EXIT_MISUSE);
	bool ok = is_as_asked(options, authority) || remake(options, &authority, &make, &err);
	if (!ok)
		(void)failed(options, &err, EXIT_FAILURE);
	ok = ok && places_change(options, authority, true);
	if (ok)
		printf("Undo with: %s ca remove --state %s\n", program_called(program, sizeof(program)),
			options->state);
	authority_free(authority);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int uninstall(struct ca_options *options)
{
	struct authority *authority;
	int code = load(options, &authority);
	if (code != 0)
		return code;
	bool ok = places_change(options, authority, false);
	authority_free(authority);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int export(struct ca_options *options)
{
	struct authority *authority;
	struct authority_issuer issuer;
	struct error err;
	int code = load(options, &authority);
	if (code != 0)
		return code;
	struct bytes out = authority_pem(authority);
	if (options->der && authority_issuer(authority, options->now_s, &issuer))
		out = issuer.der;
	bool ok = true;
	if (options->file)
		ok = file_replace(options->file, out, 0644, &err);
	else if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
		ok = error_set_errno(&err, "standard output");
	authority_free(authority);
	return ok ? EXIT_SUCCESS : failed(options, &err, EXIT_FAILURE);
}

static int rotate(struct ca_options *options)
{
	struct error err;
	char host[256];
	struct authority *authority;
	struct authority_make make = make_for(options, host, sizeof(host));
	if (!authority_rotate(options->state, &make, options->lead_s, options->now_s, &err))
		return failed(options, &err, EXIT_MISUSE);
	int code = load(options, &authority);
	if (code != 0)
		return code;
	/* Where one of the certificates is trusted, the new one shall be too. */
	bool system = false;
	bool nss = false;
	for (size_t i = 0; authority_cert(authority, i); i++) {
		system |= ca_system_has(&options->places, authority_cert(authority, i));
		nss |= ca_nss_has(&options->places, authority_cert(authority, i));
	}
	if (!system)
		options->places.system_dir = NULL;
	if (!nss)
		options->places.nss_dir = NULL;
	printf("A new CA stands beside the old one in %s/ca.pem%s.\n", options->state,
		options->lead_s > 0 ? "; the old one issues until the lead is over" : " and issues from now on");
	printf("Clients that trust the old CA need the new one too: overt ca export. Running proxies take it up on "
	       "SIGHUP.\n");
	bool ok = (!system && !nss) || places_change(options, authority, true);
	authority_free(authority);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int verb_ca(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct ca_options *options);
	} actions[] = {
		{"show", show}, {"install", install}, {"remove", uninstall}, {"export", export}, {"rotate", rotate}};
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return fputs(usage, stdout) < 0;
	for (size_t i = 0; argc >= 2 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		struct ca_options *options = calloc(1, sizeof(*options));
		if (!options)
			return EXIT_FAILURE;
		options->action = actions[i].name;
		int ended = options_parse(options, argc - 1, argv + 1);
		int code = ended != 0 ? ended - 1 : actions[i].run(options);
		free(options);
		return code;
	}
	fprintf(stderr, "overt ca: %s%s\n%s",
		argc < 2 ? "an action is missing" : "no such action: ", argc < 2 ? "" : argv[1], usage);
	return EXIT_MISUSE;
}
