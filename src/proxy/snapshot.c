#include "proxy/snapshot.h"

#include "accord/anchor.h"
#include "pki/accord_ca.h"
#include "pki/file.h"
#include "pki/verify.h"
#include "policy/files.h"
#include "proxy/ca_open.h"
#include "proxy/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRY_MAX 4200
#define BUILT_IN  "built-in rules"

static const char *entry_of(const char *path, char out[ENTRY_MAX])
{
	snprintf(out, ENTRY_MAX, "file:%s", path);
	return out;
}

/* Files that the rules name are added to the bundle as the parser asks for them. */
static bool load_and_add(void *ctx, const char *path, struct bytes *out, struct error *err)
{
	struct bundle_writer *w = ctx;
	char entry[ENTRY_MAX];
	if (!policy_file_read(path, out, err))
		return false;
	bundle_add(w, entry_of(path, entry), *out);
	return true;
}

static bool add_rules(
	struct bundle_writer *w, const struct config *config, const char *rules, bool *accord, struct error *err)
{
	const char *path = config->rules;
	struct bytes text = bytes_str(rules);
	struct error why;
	if (path && !policy_file_read(path, &text, &why))
		return error_set(err, "--rules %s", why.text);
	bundle_add(w, "rules", text);
	bundle_add(w, "rules-name", bytes_str(path ? path : BUILT_IN));
	struct policy_source source = {.load = load_and_add, .release = policy_file_release, .ctx = w};
	struct policy *policy = policy_parse(text, path ? path : BUILT_IN, &source, err);
	bool ok = policy && identities_bundle(w, config, policy, err);
	*accord = ok && (policy_wants_accord(policy) || config->accord != CONFIG_ACCORD_OFF);
	policy_drop(policy);
	if (path)
		policy_file_free(text);
	return ok;
}

/* The Accord anchor, for judging a proxy behind this one. What stands behind servers too would tell nobody apart. */
static bool add_accord(struct bundle_writer *w, const struct config *config, const struct trust *web, struct error *err)
{
	char path[FILE_PATH_MAX];
	uint8_t *pem = NULL;
	size_t len = 0;
	if (!file_join(path, config->state, ACCORD_CA_FILE, err))
		return false;
	if (!file_exists(path)) {
		ca_lacks_accord(config, err);
		return false;
	}
	struct trust *anchors = trust_new(NULL);
	bool ok = anchors && trust_add_file(anchors, path, err) &&
	          accord_anchors_disjoint(trust_store(anchors), trust_store(web), err);
	if (!anchors || (ok && !trust_export(anchors, &pem, &len)))
		ok = error_set(err, "no memory for the Accord anchor");
	if (ok)
		bundle_add(w, "accord", bytes_of(pem, len));
	free(pem);
	trust_free(anchors);
	return ok;
}

static bool read_trust(struct trust *trust, const struct config *config, struct error *err)
{
	struct error why;
	if (!config->trust && !trust_add_system(trust, err))
		return false;
	if (config->trust && !trust_add_file(trust, config->trust, &why))
		return error_set(err, "--trust %s", why.text);
	for (size_t i = 0; i < config->crl.count; i++) {
		if (!trust_add_crl_file(trust, config->crl.items[i], &why))
			return error_set(err, "--crl %s", why.text);
	}
	return true;
}

static bool add_trust(struct bundle_writer *w, const struct config *config, bool accord, struct error *err)
{
	struct trust *trust = trust_new(NULL);
	if (!trust)
		return error_set(err, "no memory for trust anchors");
	bool ok = read_trust(trust, config, err) && (!accord || add_accord(w, config, trust, err)) &&
	          accord_serving_bundle(w, config, trust, err);
	uint8_t *pem = NULL;
	size_t len = 0;
	if (ok && !trust_export(trust, &pem, &len))
		ok = error_set(err, "no memory for trust anchors");
	if (ok)
		bundle_add(w, "trust", bytes_of(pem, len));
	free(pem);
	trust_free(trust);
	return ok;
}

static bool add_users(struct bundle_writer *w, const char *path, struct error *err)
{
	struct intake_users users = {0};
	struct bytes text;
	struct error why;
	if (!path)
		return true;
	if (!policy_file_read(path, &text, &why))
		return error_set(err, "--proxy-auth %s", why.text);
	bool ok = users_read(&users, text, path, &why) || error_set(err, "--proxy-auth %s", why.text);
	users_free(&users);
	bundle_add(w, "users", text);
	policy_file_free(text);
	return ok;
}

int snapshot_write(
	const struct config *config, const char *rules, struct bytes own_pem, uint64_t generation, struct error *err)
{
	struct bundle_writer w;
	uint8_t number[8];
	struct writer number_w = writer_over(number, sizeof(number));
	if (!bundle_begin(&w, err))
		return -1;
	writer_u64(&number_w, generation);
	bundle_add(&w, "generation", bytes_of(number, sizeof(number)));
	bundle_add(&w, "own", own_pem);
	bool accord = false;
	if (add_rules(&w, config, rules, &accord, err) && add_trust(&w, config, accord, err) &&
		add_users(&w, config->proxy_auth, err))
		return bundle_seal(&w, err);
	bundle_abandon(&w);
	return -1;
}

/* Reading. */

static bool load_from_bundle(void *ctx, const char *path, struct bytes *out, struct error *err)
{
	struct bundle *bundle = ctx;
	char entry[ENTRY_MAX];
	if (!bundle_find(bundle, entry_of(path, entry), out))
		return error_set(err, "%s: is not in the snapshot", path);
	bundle_keep(bundle);
	return true;
}

static void release_to_bundle(void *ctx, struct bytes text)
{
	(void)text;
	bundle_close(ctx);
}

static bool open_policy(struct snapshot *snapshot, struct error *err)
{
	struct bytes text, name;
	char path[ENTRY_MAX];
	if (!bundle_find(snapshot->bundle, "rules", &text) || !bundle_find(snapshot->bundle, "rules-name", &name))
		return error_set(err, "the snapshot holds no rules");
	snprintf(path, sizeof(path), "%.*s", (int)name.len, (const char *)name.data);
	struct policy_source source = {.load = load_from_bundle, .release = release_to_bundle, .ctx = snapshot->bundle};
	snapshot->policy = policy_parse(text, path, &source, err);
	return snapshot->policy != NULL;
}

bool snapshot_open(struct snapshot *snapshot, int fd, const struct config *config, struct error *err)
{
	struct bytes users, generation, accord;
	*snapshot = (struct snapshot){.bundle = bundle_open(fd, err)};
	if (!snapshot->bundle)
		return false;
	bool ok = open_policy(snapshot, err);
	if (!bundle_find(snapshot->bundle, "trust", &snapshot->trust_pem) ||
		!bundle_find(snapshot->bundle, "own", &snapshot->own_pem))
		ok = ok && error_set(err, "the snapshot holds no trust anchors");
	if (!bundle_find(snapshot->bundle, "generation", &generation) || !bytes_u64(&generation, &snapshot->generation))
		ok = ok && error_set(err, "the snapshot does not say which one it is");
	if (ok && bundle_find(snapshot->bundle, "users", &users))
		ok = users_read(&snapshot->users, users, "proxy users", err);
	if (ok && bundle_find(snapshot->bundle, "accord", &accord)) {
		snapshot->accord = trust_new(NULL);
		ok = snapshot->accord && trust_add_bytes(snapshot->accord, accord, "the Accord anchor", err);
	}
	if (ok)
		snapshot->identities = identities_open(snapshot->bundle, config, snapshot->policy, err);
	ok = ok && snapshot->identities && accord_serving_open(&snapshot->serving, snapshot->bundle, config, err);
	if (ok)
		return true;
	snapshot_close(snapshot);
	return false;
}

void snapshot_close(struct snapshot *snapshot)
{
	identities_free(snapshot->identities);
	accord_serving_drop(snapshot->serving);
	policy_drop(snapshot->policy);
	users_free(&snapshot->users);
	trust_free(snapshot->accord);
	bundle_close(snapshot->bundle);
	*snapshot = (struct snapshot){0};
}
