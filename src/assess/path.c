#include "assess/path.h"

#include "assess/path_parts.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

static bool begin(struct path *path, struct error *err)
{
	const struct path_options *options = path->options;
	struct target *target = &path->server.target;
	if (!target_of_word(options->host, "443", target, err) ||
		(options->proxy && !target_via(target, options->proxy, err)))
		return false;
	path->server.name = target->name;
	if (options->name) {
		enum name_result result = subject_name_parse(bytes_str(options->name), &path->server.name);
		if (result != NAME_OK)
			return error_set(err, "%s: %s", options->name, name_result_text(result));
	}
	path->public_name = name_is_public(&path->server.name);
	target->deadline_ns = clock_monotonic_ns() + options->whole_ns;
	target->step_ns = options->patience_ns;
	target->pause_ns = options->pause_ns;
	target->left = PATH_CONNECTIONS;
	if (!target_find(target, err))
		return false;
	path->report = path->server.report = report_new("path", target->text);
	return path->report || error_set(err, "no memory");
}

static bool look(struct path *path, struct error *err)
{
	struct target *target = &path->server.target;
	const struct handshake_wish wish = {.min = TLS_VERSION_10, .max = TLS_VERSION_13, .name = path->options->name};
	if (!handshake_try(target, &wish, &path->seen)) {
		bool tunnel = target->has_via && target->via_status != 0 && target->via_status / 100 != 2;
		return tunnel ? error_set(err, "%s: %s answers CONNECT with %u", target->text, target->via_text,
					target->via_status)
		              : error_set(err, "%s: no handshake: %s", target->text, path->seen.fault);
	}
	if (!path->seen.leaf)
		return error_set(err, "%s: shows no certificate", target->text);
	vantage_of(path->seen.leaf, &path->vantage);
	return true;
}

static enum path_verdict conclude(struct path *path, enum path_verdict verdict, const char *reason, const char *more)
{
	static const char *const words[] = {"nobody", "somebody", "cannot-be-told"};
	report_conclude(path->report, "termination", words[verdict], verdict != PATH_NOBODY, "%s%s%s", reason,
		more[0] ? " " : "", more);
	return verdict;
}

/* Without a proof: what the certificate alone allows to say. */
static enum path_verdict weigh(struct path *path, const char *who)
{
	char hints[100] = "";
	if (path->hints > 0)
		snprintf(hints, sizeof(hints), "Hints that speak for somebody: %u; none of them is a proof.",
			path->hints);
	if (path->same_end == YES && path->authentic)
		return conclude(path, PATH_NOBODY,
			"The other end, whose key is expected, says that what left here is what arrived there, with "
			"one channel "
			"binding.",
			"");
	if (path->match == EXPECT_OTHER && path->web_root == YES && path->verified)
		return conclude(path, PATH_CANNOT_TELL,
			"The key is another than the expected one, and a public CA vouches for it: a new certificate, "
			"another server of the same name, or somebody who got a certificate for it.",
			hints);
	if (path->match == EXPECT_OTHER)
		return conclude(path, PATH_SOMEBODY,
			"The key is another than the expected one, and no public CA vouches for it.", who);
	if (path->same_end == YES)
		return conclude(path, PATH_NOBODY,
			"What left here is what arrived there, with one channel binding. Only somebody who knows how "
			"overt asks could have changed the answer: give the other end's key by --expect to rule that "
			"out.",
			"");
	if (path->web_root == YES && path->verified)
		return conclude(path, PATH_NOBODY,
			"A public CA vouches for this key and name. Only somebody with a certificate of their own for "
			"this name could terminate: whom the operator gave one, or who got one wrongly.",
			hints);
	if (path->verified)
		return conclude(path, PATH_CANNOT_TELL,
			"The certificate is good by a root that this machine trusts; whether that is a proxy's or the "
			"operator's own cannot be seen from here. Give --expect, or ask a listener.",
			hints);
	return conclude(path, PATH_CANNOT_TELL,
		"Nobody who is trusted here vouches for the certificate: it may be the server's own or a proxy's. Give "
		"--expect from a place with a direct path, or ask a listener.",
		hints);
}

static enum path_verdict judge(struct path *path)
{
	char more[PATH_SENTENCE + 100];
	/* Before any key: who answers has shown the server's, and does not hold it. */
	if (path->seen.sent)
		return conclude(path, PATH_SOMEBODY,
			"A proxy that this program speaks Accord with: the certificate that came is its own, and the "
			"server's is in its proof. What was proven of both, overt exec says.",
			"");
	snprintf(more, sizeof(more), "It says it is: %s.", path->who);
	if (path->match == EXPECT_LEAF && path->same_end != NO)
		return conclude(path, PATH_NOBODY,
			"Who answers proved possession of the expected key: only the server, or somebody who was given "
			"its key.",
			"");
	if (path->match == EXPECT_LEAF)
		return conclude(path, PATH_SOMEBODY, path->proof, "It holds the server's own key.");
	if (path->match == EXPECT_ABOVE && path->same_end != NO)
		return conclude(path, PATH_NOBODY,
			"The leaf is signed by an expected key: who answers has a certificate of whom you expect.", "");
	if (path->proof[0])
		return conclude(path, PATH_SOMEBODY, path->proof, more);
	return weigh(path, more);
}

/* How well it is done: what the one in between offers to clients, as a server is graded. */
static void grade(struct path *path)
{
	struct error err = {""};
	if (!server_versions(&path->server, &err)) {
		report_add(path->report, "version", GRADE_UNKNOWN, "the versions that it speaks", NULL, "%s", err.text);
		return;
	}
	server_key_exchange(&path->server);
	server_dropout(&path->server);
	server_groups(&path->server);
	server_suites(&path->server);
}

struct report *path_assess(const struct path_options *options, enum path_verdict *verdict, struct error *err)
{
	struct path *path = calloc(1, sizeof(*path));
	uint64_t began_ns = clock_monotonic_ns();
	if (!path) {
		error_set(err, "no memory");
		return NULL;
	}
	path->options = options;
	bool ok = begin(path, err) && look(path, err);
	if (ok) {
		path_leaf(path);
		path_accord(path);
		path_root(path);
		path_expected(path);
		path_made_up_name(path);
		if (options->listener)
			path_listener(path);
		path_answers(path);
		*verdict = judge(path);
		if (*verdict == PATH_SOMEBODY)
			grade(path);
		path->report->connections = path->server.target.made;
		path->report->pause_ns = options->pause_ns;
		path->report->took_ns = clock_monotonic_ns() - began_ns;
		report_show_vantage(path->report, &path->vantage);
	} else {
		report_free(path->report);
	}
	struct report *report = ok ? path->report : NULL;
	handshake_seen_free(&path->seen);
	X509_free(path->anchor);
	free(path);
	return report;
}
