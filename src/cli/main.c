#include "cli/verbs.h"

#include "base/fold.h"
#include "proxy/child.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *line;
} verbs[] = {
	{"proxy", verb_proxy, "inspect, pass through or block TLS connections as rules say"},
	{"exec", verb_exec, "run one program and show its TLS traffic, with a proxy and a CA of its own"},
	{"watch", verb_watch, "read TLS connections from a capture or an interface, with keys of an endpoint"},
	{"collect", verb_collect,
		"take keys from those who may send them, hold them sealed, give them to their readers"},
	{"grant", verb_grant, "make, list, show and revoke grants: who may read which record keys"},
	{"get", verb_get, "fetch a page over Accord, and say who stands between and what was proven"},
	{"local", verb_local, "on one's own machine: Accord for browsers and all other programs"},
	{"accord", verb_accord, "make and show the Accord anchor, and check saved proofs"},
	{"explain", verb_explain, "show on this machine why TLS is as it is: what a proxy can and cannot do"},
	{"assess", verb_assess, "measure a server, a client, a proxy or a path: what is exposed, graded line by line"},
	{"tour", verb_tour, "five minutes on loopback: all of the above, each with the command that repeats it"},
	{"ca", verb_ca, "show, install, remove, export or rotate the local CA"},
	{"check", verb_check, "check a rules file, and say which rule would decide"},
	{"log", verb_log, "show, verify, prove or witness the audit log"},
	{"refusals", verb_refusals, "list clients that did not accept a leaf, by name"},
	{"version", verb_version, "say which version this is and what it is built on"},
	{"help", verb_help, "show this, or the options of a verb"},
};

#define LEFT  13 /* columns before what a verb does */
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

static void usage(FILE *out)
{
	fputs("overt: TLS visibility that is never covert\n\nusage: overt VERB [OPTIONS]\n\n", out);
	for (size_t i = 0; i < VERBS; i++) {
		fprintf(out, "  %-10s ", verbs[i].name);
		fold(out, verbs[i].line, LEFT, LEFT, FOLD_COLUMNS);
		fputc('\n', out);
	}
	fputs("\novert help VERB, or overt VERB --help, shows the options of a verb; man overt\ntells the rest.\n",
		out);
}

int verb_help(int argc, char **argv)
{
	if (argc < 2) {
		usage(stdout);
		return 0;
	}
	const struct verb *verb = find(argv[1]);
	if (!verb) {
		fprintf(stderr, "overt: there is no verb %s; overt help lists them\n", argv[1]);
		return EXIT_MISUSE;
	}
	char help[] = "--help";
	char *args[] = {argv[1], help, NULL};
	return verb->run(2, args);
}

int verb_version(int argc, char **argv)
{
	bool help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
	if (argc > 1 && !help) {
		fprintf(stderr, "overt version: %s: not expected here\n", argv[1]);
		return EXIT_MISUSE;
	}
	printf("overt %s\n%s\n", OVERT_VERSION, OpenSSL_version(OPENSSL_VERSION));
	return 0;
}

int main(int argc, char **argv)
{
	/* Broken pipes and full files are told by the call that meets them. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (child_wanted(argc, argv))
		return child_main(argc, argv);
	if (argc < 2) {
		usage(stderr);
		return EXIT_MISUSE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return verb_help(1, argv + 1);
	if (strcmp(argv[1], "--version") == 0)
		return verb_version(argc - 1, argv + 1);
	const struct verb *verb = find(argv[1]);
	if (!verb) {
		fprintf(stderr, "overt: there is no verb %s; overt help lists them\n", argv[1]);
		return EXIT_MISUSE;
	}
	return verb->run(argc - 1, argv + 1);
}
