#include "accord/anchor.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "pki/accord_ca.h"
#include "pki/authority.h"
#include "pki/slim.h"
#include "policy/config.h"
#include "proxy/keeper.h"
#include "proxy/keeper_client.h"

#include <dirent.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct loop *loop;
static struct error err;
static struct authority *authority;
static struct keeper *keeper;

/* A worker, and what it was told. */
struct worker {
	struct keeper_client *client;
	unsigned changed;
};

/* One wait, and how it ended. */
struct heard {
	unsigned calls;
	enum keeper_result result;
	char text[256];
	X509 *cert;
	size_t chain_len;
	bool key_fits;
};

static bool (*holds)(void);
static struct loop_timer look_timer;
static uint64_t give_up_ns;

static void look(struct loop_timer *timer)
{
	if (holds() || clock_monotonic_ns() > give_up_ns)
		loop_stop(loop);
	else
		loop_timer_set(loop, timer, clock_monotonic_ns() + NS_PER_MS, look);
}

/* Runs the loop until it holds; fails after twenty seconds. */
static void run_until(bool (*condition)(void))
{
	holds = condition;
	give_up_ns = clock_monotonic_ns() + 20 * NS_PER_S;
	loop_timer_set(loop, &look_timer, clock_monotonic_ns(), look);
	assert_true(loop_run(loop));
	loop_timer_clear(loop, &look_timer);
	assert_true(condition());
}

static void changed(unsigned what, void *ctx)
{
	((struct worker *)ctx)->changed |= what;
}

static void done(enum keeper_result result, const struct keeper_leaf *leaf, const char *text, void *ctx)
{
	struct heard *heard = ctx;
	heard->calls++;
	heard->result = result;
	snprintf(heard->text, sizeof(heard->text), "%s", text);
	assert_int_equal(leaf != NULL, result == KEEPER_OK);
	if (!leaf)
		return;
	heard->cert = leaf->cert;
	X509_up_ref(leaf->cert);
	heard->chain_len = (size_t)sk_X509_num(leaf->chain);
	heard->key_fits = X509_check_private_key(leaf->cert, leaf->key) == 1;
}

static struct keeper_options defaults(void)
{
	return (struct keeper_options){
		.state = folder, .authority = authority, .audit = true, .retention_ns = 3600 * NS_PER_S};
}

static void start_keeper(struct keeper_options options)
{
	keeper = keeper_new(loop, &options, &err);
	if (!keeper)
		fail_msg("%s", err.text);
}

static struct worker *waited_for;

static bool is_ready(void)
{
	return (waited_for->changed & KEEPER_CHANGED_READY) != 0;
}

static void join(struct worker *worker, const struct keeper_client_limits *limits)
{
	int fds[2];
	assert_true(ipc_pair(fds, &err));
	assert_true(keeper_serve(keeper, fds[0], "worker 1", &err));
	worker->client = keeper_client_new(loop, fds[1], limits, changed, worker, &err);
	assert_non_null(worker->client);
	waited_for = worker;
	run_until(is_ready);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/overt-keeper-XXXXXX");
	assert_non_null(mkdtemp(folder));
	loop = loop_new();
	struct authority_make make = {.host = "test"};
	if (!authority_in_memory(&authority, &make, (int64_t)(clock_wall_ns() / NS_PER_S), &err))
		fail_msg("%s", err.text);
	return 0;
}

static void remove_tree(const char *name)
{
	DIR *dir = opendir(name);
	char file[512];
	if (!dir) {
		unlink(name);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(file, sizeof(file), "%.200s/%s", name, entry->d_name);
		remove_tree(file);
	}
	closedir(dir);
	rmdir(name);
}

static int tear_down(void **state)
{
	(void)state;
	keeper_free(keeper);
	keeper = NULL;
	authority_free(authority);
	authority = NULL;
	loop_free(loop);
	remove_tree(folder);
	return 0;
}

/* A server's certificate for one name, self-signed: who verifies is not the keeper. */
static struct bytes upstream_for(const char *name, uint8_t *room, size_t cap)
{
	char san[300];
	uint8_t *at = room;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509V3_CTX ctx;
	snprintf(san, sizeof(san), "DNS:%s", name);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	int len = i2d_X509(cert, NULL);
	assert_true(len > 0 && (size_t)len <= cap);
	i2d_X509(cert, &at);
	X509_free(cert);
	EVP_PKEY_free(key);
	return bytes_of(room, (size_t)len);
}

static uint8_t der_room[4096];
static struct heard *awaited;

static bool was_heard(void)
{
	return awaited->calls > 0;
}

static struct keeper_wait *ask(struct worker *worker, const struct keeper_leaf_request *request, struct heard *heard)
{
	struct keeper_wait *wait =
		keeper_client_leaf(worker->client, request, clock_monotonic_ns() + 20 * NS_PER_S, done, heard);
	assert_non_null(wait);
	assert_int_equal(heard->calls, 0);
	return wait;
}

static void hear(struct heard *heard)
{
	awaited = heard;
	run_until(was_heard);
}

static void forget(struct heard *heard)
{
	X509_free(heard->cert);
	*heard = (struct heard){0};
}

static void a_worker_gets_a_leaf_that_the_ca_signed_for_the_key_it_has(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	struct keeper_leaf leaf;
	start_keeper(defaults());
	join(&worker, NULL);
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	assert_false(keeper_client_leaf_find(worker.client, &request, &leaf));
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_OK);
	assert_true(heard.key_fits);
	assert_int_equal(heard.chain_len, 0); /* the issuer is a root, which clients have */
	assert_int_equal(X509_check_host(heard.cert, "a.example", 0, 0, NULL), 1);
	assert_int_equal(X509_verify(heard.cert, X509_get0_pubkey(authority_cert(authority, 0))), 1);
	/* From now on it stands in the worker's cache, for this name and this certificate only. */
	assert_true(keeper_client_leaf_find(worker.client, &request, &leaf));
	assert_ptr_equal(leaf.cert, heard.cert);
	assert_ptr_equal(leaf.key, keeper_client_key(worker.client, KEEPER_KEY_ECDSA));
	request.upstream = upstream_for("a.example", der_room, sizeof(der_room));
	assert_false(keeper_client_leaf_find(worker.client, &request, &leaf));
	assert_int_equal(keeper_count(keeper).minted, 1);
	assert_int_equal(keeper_client_count(worker.client).cached, 1);
	forget(&heard);
	keeper_client_free(worker.client);
}

static void an_rsa_leaf_comes_with_its_key(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct worker other = {0};
	struct heard heard = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	join(&other, NULL);
	assert_null(keeper_client_key(worker.client, KEEPER_KEY_RSA));
	struct keeper_leaf_request request = {.key = KEEPER_KEY_RSA,
		.host = bytes_str("a.example"),
		.upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_OK);
	assert_true(heard.key_fits);
	assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(heard.cert)), EVP_PKEY_RSA);
	forget(&heard);
	request.key = KEEPER_KEY_ECDSA;
	ask(&other, &request, &heard);
	hear(&heard);
	assert_non_null(keeper_client_key(other.client, KEEPER_KEY_RSA)); /* all workers have it now */
	forget(&heard);
	keeper_client_free(worker.client);
	keeper_client_free(other.client);
}

static void leaves_decode_in_a_slim_context_too(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	struct slim *slim = slim_new();
	start_keeper(defaults());
	join(&worker, &(struct keeper_client_limits){.lib = slim_lib(slim)});
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_OK);
	assert_true(heard.key_fits);
	forget(&heard);
	keeper_client_free(worker.client);
	slim_free(slim);
}

static void those_who_wait_for_the_same_leaf_share_one_request(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard[3] = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard[0]);
	struct keeper_wait *cancelled = ask(&worker, &request, &heard[1]);
	ask(&worker, &request, &heard[2]);
	keeper_wait_cancel(cancelled);
	hear(&heard[2]);
	assert_int_equal(heard[0].calls, 1);
	assert_int_equal(heard[1].calls, 0);
	assert_ptr_equal(heard[0].cert, heard[2].cert);
	struct keeper_client_counts counts = keeper_client_count(worker.client);
	assert_int_equal(counts.shared, 2);
	assert_int_equal(counts.pending, 0);
	assert_int_equal(keeper_count(keeper).minted, 1);
	/* Asked again, it comes from the cache, but still never inside the call. */
	forget(&heard[0]);
	ask(&worker, &request, &heard[0]);
	hear(&heard[0]);
	assert_int_equal(keeper_count(keeper).minted + keeper_count(keeper).found, 1);
	for (int i = 0; i < 3; i++)
		forget(&heard[i]);
	keeper_client_free(worker.client);
}

static void another_worker_finds_the_leaf_in_the_store_also_after_a_restart(void **state)
{
	(void)state;
	struct worker first = {0};
	struct worker second = {0};
	struct heard heard[2] = {0};
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	start_keeper(defaults());
	join(&first, NULL);
	ask(&first, &request, &heard[0]);
	hear(&heard[0]);
	keeper_client_free(first.client);
	keeper_free(keeper);
	start_keeper(defaults());
	join(&second, NULL);
	ask(&second, &request, &heard[1]);
	hear(&heard[1]);
	assert_int_equal(keeper_count(keeper).found, 1);
	assert_int_equal(keeper_count(keeper).minted, 0);
	assert_int_equal(X509_cmp(heard[0].cert, heard[1].cert), 0);
	forget(&heard[0]);
	forget(&heard[1]);
	keeper_client_free(second.client);
}

static void a_faulty_upstream_gives_a_leaf_that_nobody_trusts_and_nobody_stores(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct keeper_leaf_request request = {.host = bytes_str("a.example"),
		.faults = 1ULL << 16,
		.upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_OK);
	assert_true(heard.key_fits);
	assert_int_not_equal(X509_verify(heard.cert, X509_get0_pubkey(authority_cert(authority, 0))), 1);
	struct keeper_leaf leaf;
	assert_true(keeper_client_leaf_find(worker.client, &request, &leaf));
	request.faults = 0;
	assert_false(keeper_client_leaf_find(worker.client, &request, &leaf));
	forget(&heard);
	keeper_client_free(worker.client);
}

static void what_cannot_be_mirrored_is_refused_with_a_reason(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct keeper_leaf_request request = {.host = bytes_str("a.example"), .upstream = bytes_str("no certificate")};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_LEAF_REFUSED);
	assert_non_null(strstr(heard.text, "malformed"));
	forget(&heard);
	request = (struct keeper_leaf_request){
		.host = bytes_str("b.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_LEAF_REFUSED);
	assert_int_equal(keeper_count(keeper).failed, 2);
	forget(&heard);
	keeper_client_free(worker.client);
}

static void a_ca_bound_to_names_says_so_for_others(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	struct name_ranges permit = {0};
	assert_true(name_ranges_parse(bytes_str("good.example"), &permit, &err));
	struct authority_make make = {.host = "test", .permit = &permit};
	authority_free(authority);
	assert_true(authority_in_memory(&authority, &make, (int64_t)(clock_wall_ns() / NS_PER_S), &err));
	start_keeper(defaults());
	join(&worker, NULL);
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_LEAF_NOT_PERMITTED);
	forget(&heard);
	keeper_client_free(worker.client);
}

static void a_worker_that_asks_too_fast_is_refused_and_counted(void **state)
{
	(void)state;
	struct worker greedy = {0};
	struct worker modest = {0};
	struct heard heard[4] = {0};
	struct keeper_options options = defaults();
	options.mint_rate = 1;
	options.mint_burst = 2;
	start_keeper(options);
	join(&greedy, NULL);
	join(&modest, NULL);
	static const char *const hosts[] = {"a.example", "b.example", "c.example"};
	uint8_t rooms[3][2048];
	struct keeper_leaf_request request;
	for (int i = 0; i < 3; i++) {
		request = (struct keeper_leaf_request){
			.host = bytes_str(hosts[i]), .upstream = upstream_for(hosts[i], rooms[i], sizeof(rooms[i]))};
		ask(&greedy, &request, &heard[i]);
	}
	hear(&heard[2]);
	assert_int_equal(heard[1].result, KEEPER_OK);
	assert_int_equal(heard[2].result, KEEPER_LEAF_REFUSED);
	assert_int_equal(keeper_count(keeper).rate_refused, 1);
	/* The others are not made to pay for it. */
	ask(&modest, &request, &heard[3]);
	hear(&heard[3]);
	assert_int_equal(heard[3].result, KEEPER_OK);
	for (int i = 0; i < 4; i++)
		forget(&heard[i]);
	keeper_client_free(greedy.client);
	keeper_client_free(modest.client);
}

static void the_cap_on_waits_is_kept_and_counted(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard[2] = {0};
	uint8_t other[2048];
	start_keeper(defaults());
	join(&worker, &(struct keeper_client_limits){.pending = 1});
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard[0]);
	request = (struct keeper_leaf_request){
		.host = bytes_str("b.example"), .upstream = upstream_for("b.example", other, sizeof(other))};
	ask(&worker, &request, &heard[1]);
	hear(&heard[1]);
	assert_int_equal(heard[1].result, KEEPER_LEAF_FULL);
	assert_int_equal(keeper_client_count(worker.client).full, 1);
	hear(&heard[0]);
	assert_int_equal(heard[0].result, KEEPER_OK);
	forget(&heard[0]);
	keeper_client_free(worker.client);
}

static void a_deadline_ends_a_wait_for_a_silent_keeper(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	int fds[2];
	uint8_t datagram[1024];
	assert_true(ipc_pair(fds, &err));
	worker.client = keeper_client_new(loop, fds[1], NULL, changed, &worker, &err);
	assert_non_null(worker.client);
	struct keeper_leaf_request request = {.host = bytes_str("a.example"), .upstream = bytes_str("x")};
	/* Before its welcome there is no keeper. */
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_GONE);
	assert_non_null(keeper_client_audit_closed(worker.client));
	assert_int_equal(keeper_client_tickets(worker.client)->count, 0);
	heard = (struct heard){0};
	struct keeper_welcome welcome = {0};
	uint8_t body[512];
	struct writer w = writer_over(body, sizeof(body));
	struct ipc_message message = {.kind = KEEPER_WELCOME};
	keeper_welcome_write(&w, &welcome);
	assert_true(writer_done(&w, &message.body));
	size_t len = ipc_pack(datagram, sizeof(datagram), &message);
	assert_int_equal(write(fds[0], datagram, len), len);
	waited_for = &worker;
	run_until(is_ready);
	assert_non_null(keeper_client_leaf(worker.client, &request, clock_monotonic_ns() + NS_PER_MS, done, &heard));
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_LEAF_TIMEOUT);
	assert_int_equal(keeper_client_count(worker.client).timeouts, 1);
	close(fds[0]);
	keeper_client_free(worker.client);
}

static bool is_gone(void)
{
	return (waited_for->changed & KEEPER_CHANGED_GONE) != 0;
}

static unsigned syncs_ok, syncs_failed;

static void synced(bool ok, void *ctx)
{
	(void)ctx;
	syncs_ok += ok;
	syncs_failed += !ok;
}

static bool some_sync(void)
{
	return syncs_ok + syncs_failed > 0;
}

static struct audit_entry inspected(void)
{
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	audit_entry_add(&entry, AUDIT_N("flow", 1));
	audit_entry_add(&entry, AUDIT_C("client", bytes_str("192.0.2.1")));
	return entry;
}

static void a_lost_keeper_fails_all_waits_and_closes_the_audit_until_a_new_one_serves(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	int fds[2];
	start_keeper(defaults());
	join(&worker, NULL);
	struct audit_entry entry = inspected();
	assert_true(keeper_client_audit(worker.client, &entry));
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	syncs_ok = syncs_failed = 0;
	assert_true(keeper_client_audit_synced(worker.client, &entry, synced, NULL));
	ask(&worker, &request, &heard);
	keeper_free(keeper);
	keeper = NULL;
	waited_for = &worker;
	run_until(is_gone);
	assert_int_equal(heard.calls, 1);
	assert_int_equal(heard.result, KEEPER_GONE);
	assert_int_equal(syncs_failed, 1);
	assert_non_null(keeper_client_audit_closed(worker.client));
	assert_false(keeper_client_audit(worker.client, &entry));
	assert_int_equal(keeper_client_count(worker.client).audit_refused, 1);
	start_keeper(defaults());
	assert_true(ipc_pair(fds, &err));
	assert_true(keeper_serve(keeper, fds[0], "worker 1", &err));
	assert_true(keeper_client_attach(worker.client, fds[1], &err));
	worker.changed = 0;
	run_until(is_ready);
	assert_null(keeper_client_audit_closed(worker.client));
	assert_true(keeper_client_audit(worker.client, &entry));
	forget(&heard);
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_OK);
	forget(&heard);
	keeper_client_free(worker.client);
}

static void verify_log(uint64_t lines)
{
	char path[96];
	struct audit_report report;
	snprintf(path, sizeof(path), "%s/audit.log", folder);
	audit_verify(path, &report);
	assert_int_equal(report.verdict, AUDIT_INTACT);
	assert_int_equal(report.last.seq, lines);
}

static void entries_of_workers_reach_the_disk(void **state)
{
	(void)state;
	struct worker worker = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct audit_entry entry = inspected();
	for (int i = 0; i < 10; i++)
		assert_true(keeper_client_audit(worker.client, &entry));
	syncs_ok = syncs_failed = 0;
	assert_true(keeper_client_audit_synced(worker.client, &entry, synced, NULL));
	run_until(some_sync);
	assert_int_equal(syncs_ok, 1);
	assert_int_equal(keeper_count(keeper).audit.synced, 12); /* the first says which CA issues */
	verify_log(12);
	keeper_client_free(worker.client);
}

static void a_worker_writes_no_entries_that_are_not_its_own(void **state)
{
	(void)state;
	struct worker worker = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct audit_entry entry = {.kind = AUDIT_SNAPSHOT};
	syncs_ok = syncs_failed = 0;
	assert_true(keeper_client_audit_synced(worker.client, &entry, synced, NULL));
	run_until(some_sync);
	assert_int_equal(syncs_failed, 1);
	assert_int_equal(keeper_count(keeper).audit_invalid, 1);
	assert_int_equal(keeper_count(keeper).audit.appended, 1); /* which CA issues */
	/* One that the table does not know does not even leave the worker. */
	entry.kind = AUDIT_STOP;
	audit_entry_add(&entry, AUDIT_T("mood", bytes_str("good")));
	assert_false(keeper_client_audit(worker.client, &entry));
	keeper_client_free(worker.client);
}

static bool audit_is_closed(void)
{
	return keeper_client_audit_closed(waited_for->client) != NULL;
}

static bool audit_is_open(void)
{
	return !audit_is_closed();
}

static void file_limit(rlim_t octets)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = octets;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool refusals_lost(void)
{
	return keeper_count(keeper).refusals.lost > 0;
}

static bool refusal_kept(void)
{
	return keeper_client_refusal(waited_for->client, bytes_str("192.0.2.2"), bytes_str("b.test")) != NULL;
}

static void a_worker_that_writes_too_fast_inspects_nothing_until_it_may_again(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct keeper_options options = defaults();
	options.audit_rate = 400;
	options.audit_burst = 100;
	start_keeper(options);
	join(&worker, NULL);
	struct audit_entry entry = inspected();
	/* What was decided before the word came is still written, on credit; what is beyond that is not. */
	uint64_t sent = 0;
	for (; sent < 300; sent++)
		assert_true(keeper_client_audit(worker.client, &entry));
	run_until(audit_is_closed);
	assert_non_null(strstr(keeper_client_audit_closed(worker.client), "more audit entries"));
	assert_false(keeper_client_audit(worker.client, &entry));
	run_until(audit_is_open);
	struct keeper_counts counts = keeper_count(keeper);
	assert_int_equal(counts.audit_waits, 1);
	assert_in_range(counts.audit_over_rate, 1, 100);
	assert_int_equal(counts.audit.appended, 1 + sent - counts.audit_over_rate);
	assert_true(keeper_client_audit(worker.client, &entry));
	/* Another worker has a rate of its own, and the log itself never closed. */
	assert_null(keeper_audit_closed(keeper));
	keeper_client_free(worker.client);
}

static bool refusals_told(void)
{
	struct keeper_counts counts = keeper_count(keeper);
	return counts.refusals.added + counts.refusals_over_rate == 30;
}

static void refusals_over_the_rate_are_counted_and_not_noted(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct keeper_options options = defaults();
	options.refusal_rate = 1;
	start_keeper(options);
	join(&worker, NULL);
	for (int i = 0; i < 30; i++)
		keeper_client_refusal_add(worker.client, bytes_str("192.0.2.1"), bytes_str("a.test"), 48);
	run_until(refusals_told);
	assert_in_range(keeper_count(keeper).refusals.added, 10, 12);
	keeper_client_free(worker.client);
}

static void full_refusals_are_told_once_and_counted(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct keeper_options options = defaults();
	options.audit = false;
	start_keeper(options);
	join(&worker, NULL);
	file_limit(1);
	for (int i = 0; i < 30; i++)
		keeper_client_refusal_add(worker.client, bytes_str("192.0.2.1"), bytes_str("a.test"), 48);
	run_until(refusals_lost);
	file_limit(RLIM_INFINITY);
	uint64_t lost = keeper_count(keeper).refusals.lost;
	keeper_client_refusal_add(worker.client, bytes_str("192.0.2.2"), bytes_str("b.test"), 48);
	run_until(refusal_kept);
	assert_int_equal(keeper_count(keeper).refusals.lost, lost);
	keeper_client_free(worker.client);
}

/* Workers' channels that one keeper gave away. */
static int given_fds[4];
static char given_names[4][32];
static size_t given_count;

static void give(int fd, const char *name, void *ctx)
{
	(void)ctx;
	assert_true(given_count < 4);
	snprintf(given_names[given_count], sizeof(given_names[0]), "%s", name);
	given_fds[given_count++] = fd;
}

static void another_keeper_goes_on_where_one_handed_over_and_no_worker_notices(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard before = {0};
	struct heard after = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct audit_entry entry = inspected();
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	/* Sent, and not yet read by anybody. */
	assert_true(keeper_client_audit(worker.client, &entry));
	syncs_ok = syncs_failed = 0;
	assert_true(keeper_client_audit_synced(worker.client, &entry, synced, NULL));
	ask(&worker, &request, &before);
	given_count = 0;
	keeper_hand_over(keeper, give, NULL);
	assert_int_equal(given_count, 1);
	assert_string_equal(given_names[0], "worker 1");
	/* And some more while there is no keeper. */
	assert_true(keeper_client_audit(worker.client, &entry));
	start_keeper(defaults());
	assert_true(keeper_serve(keeper, given_fds[0], "former worker 1", &err));
	hear(&before);
	assert_int_equal(before.result, KEEPER_OK);
	run_until(some_sync);
	assert_int_equal(syncs_ok, 1);
	request.host = bytes_str("b.example");
	request.upstream = upstream_for("b.example", der_room, sizeof(der_room));
	ask(&worker, &request, &after);
	hear(&after);
	assert_int_equal(after.result, KEEPER_OK);
	assert_false(worker.changed & KEEPER_CHANGED_GONE);
	assert_null(keeper_client_audit_closed(worker.client));
	assert_int_equal(keeper_client_count(worker.client).audit_refused, 0);
	assert_true(keeper_client_audit_synced(worker.client, &entry, synced, NULL));
	syncs_ok = 0;
	run_until(some_sync);
	verify_log(7); /* which CA, handed over, which CA, and four entries */
	forget(&before);
	forget(&after);
	keeper_client_free(worker.client);
}

static void a_full_disk_is_told_to_workers_and_so_is_relief(void **state)
{
	(void)state;
	struct worker worker = {0};
	start_keeper(defaults());
	join(&worker, NULL);
	struct audit_entry entry = inspected();
	file_limit(10);
	assert_true(keeper_client_audit(worker.client, &entry));
	waited_for = &worker;
	run_until(audit_is_closed);
	assert_true(worker.changed & KEEPER_CHANGED_AUDIT);
	assert_non_null(strstr(keeper_client_audit_closed(worker.client), folder));
	assert_false(keeper_client_audit(worker.client, &entry));
	file_limit(RLIM_INFINITY);
	run_until(audit_is_open);
	assert_true(keeper_client_audit(worker.client, &entry));
	keeper_client_free(worker.client);
}

static struct ticket_key first_key;

static bool tickets_full(void)
{
	const struct ticket_keys *keys = keeper_client_tickets(waited_for->client);
	return keys->count == TICKET_KEYS_MAX && memcmp(&keys->key[2], &first_key, sizeof(first_key)) == 0;
}

static bool first_key_gone(void)
{
	const struct ticket_keys *keys = keeper_client_tickets(waited_for->client);
	for (size_t i = 0; i < keys->count; i++) {
		if (memcmp(&keys->key[i], &first_key, sizeof(first_key)) == 0)
			return false;
	}
	return true;
}

static void ticket_keys_rotate_in_all_workers_and_old_ones_end(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct keeper_options options = defaults();
	options.ticket_ns = 50 * NS_PER_MS;
	start_keeper(options);
	join(&worker, NULL);
	first_key = keeper_client_tickets(worker.client)->key[0];
	waited_for = &worker;
	run_until(tickets_full);
	run_until(first_key_gone);
	assert_int_equal(keeper_client_tickets(worker.client)->count, TICKET_KEYS_MAX);
	keeper_client_free(worker.client);
}

static bool refusal_known(void)
{
	return keeper_client_refusal(waited_for->client, bytes_str("192.0.2.1"), bytes_str("a.example")) != NULL;
}

static void a_refusal_seen_by_one_worker_is_known_to_all_and_to_later_ones(void **state)
{
	(void)state;
	struct worker first = {0};
	struct worker second = {0};
	struct worker later = {0};
	start_keeper(defaults());
	join(&first, NULL);
	join(&second, NULL);
	keeper_client_refusal_add(first.client, bytes_str("192.0.2.1"), bytes_str("a.example"), 48);
	waited_for = &second;
	run_until(refusal_known);
	const struct refusal *refusal =
		keeper_client_refusal(second.client, bytes_str("192.0.2.1"), bytes_str("a.example"));
	assert_int_equal(refusal->alert, 48);
	assert_int_equal(refusal->count, 1);
	assert_null(keeper_client_refusal(second.client, bytes_str("192.0.2.2"), bytes_str("a.example")));
	assert_null(keeper_client_refusal(second.client, bytes_str("192.0.2.1"), bytes_str("b.example")));
	keeper_client_free(first.client);
	keeper_client_free(second.client);
	keeper_free(keeper);
	start_keeper(defaults());
	join(&later, NULL);
	waited_for = &later;
	run_until(refusal_known);
	keeper_client_free(later.client);
}

static void a_refusal_is_forgotten_when_its_lifetime_is_over(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct keeper_options options = defaults();
	options.refusals.lifetime_s = 1;
	start_keeper(options);
	join(&worker, NULL);
	keeper_client_refusal_add(worker.client, bytes_str("192.0.2.1"), bytes_str("a.example"), REFUSAL_CLOSED);
	waited_for = &worker;
	run_until(refusal_known);
	while (refusal_known()) {
		holds = refusal_known;
		give_up_ns = 0;
		loop_timer_set(loop, &look_timer, clock_monotonic_ns() + 10 * NS_PER_MS, look);
		holds = audit_is_open; /* one turn */
		assert_true(loop_run(loop));
	}
	keeper_client_free(worker.client);
}

static bool worker_cut_off(void)
{
	return keeper_count(keeper).workers == 0;
}

static void a_malformed_message_cuts_its_worker_off_and_nobody_else(void **state)
{
	(void)state;
	static const struct {
		uint16_t kind;
		size_t len;
	} bad[] = {{KEEPER_LEAF_GET, 3}, {KEEPER_REFUSAL_ADD, 1}, {KEEPER_WELCOME, 0}, {999, 0}, {KEEPER_WORKER, 4}};
	uint8_t datagram[64] = {0};
	start_keeper(defaults());
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fds[2];
		struct ipc_message message = {.kind = bad[i].kind,
			.body = bytes_of("\x03"
					 "abc",
				bad[i].len)};
		assert_true(ipc_pair(fds, &err));
		assert_true(keeper_serve(keeper, fds[0], "rogue", &err));
		size_t len = ipc_pack(datagram, sizeof(datagram), &message);
		assert_int_equal(write(fds[1], datagram, len), len);
		run_until(worker_cut_off);
		assert_int_equal(keeper_count(keeper).malformed, i + 1);
		close(fds[1]);
	}
	struct worker worker = {0};
	join(&worker, NULL);
	assert_null(keeper_client_audit_closed(worker.client));
	keeper_client_free(worker.client);
}

static void the_supervisor_writes_snapshots_hands_over_workers_and_gets_no_keys(void **state)
{
	(void)state;
	struct worker supervisor = {0};
	struct worker worker = {0};
	int fds[2];
	int worker_fds[2];
	start_keeper(defaults());
	assert_true(ipc_pair(fds, &err));
	assert_true(keeper_serve_supervisor(keeper, fds[0], &err));
	supervisor.client = keeper_client_new(loop, fds[1], NULL, changed, &supervisor, &err);
	waited_for = &supervisor;
	run_until(is_ready);
	assert_null(keeper_client_key(supervisor.client, KEEPER_KEY_ECDSA));
	assert_int_equal(keeper_client_tickets(supervisor.client)->count, 0);
	struct audit_entry entry = {.kind = AUDIT_SNAPSHOT};
	audit_entry_add(&entry, AUDIT_T("sinks", bytes_str("terminal")));
	syncs_ok = syncs_failed = 0;
	assert_true(keeper_client_audit_synced(supervisor.client, &entry, synced, NULL));
	run_until(some_sync);
	assert_int_equal(syncs_ok, 1);
	assert_true(ipc_pair(worker_fds, &err));
	assert_true(keeper_client_worker(supervisor.client, worker_fds[0], "worker 2"));
	close(worker_fds[0]);
	worker.client = keeper_client_new(loop, worker_fds[1], NULL, changed, &worker, &err);
	waited_for = &worker;
	run_until(is_ready);
	assert_non_null(keeper_client_key(worker.client, KEEPER_KEY_ECDSA));
	assert_int_equal(keeper_count(keeper).workers, 1);
	keeper_client_free(worker.client);
	keeper_client_free(supervisor.client);
}

/* The leaf was in the store, and its row is gone; so is the refusal. */
static bool nothing_kept(void)
{
	struct keeper_counts counts = keeper_count(keeper);
	return counts.minted == 1 && counts.rows == 0 && counts.refusals.added == 1 && !refusal_known();
}

static bool issuer_changed(void)
{
	return (waited_for->changed & KEEPER_CHANGED_ISSUER) != 0;
}

static void a_new_ca_empties_the_workers_caches(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	struct keeper_leaf leaf;
	struct authority *fresh;
	start_keeper(defaults());
	join(&worker, NULL);
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	forget(&heard);
	assert_true(authority_in_memory(&fresh, NULL, (int64_t)(clock_wall_ns() / NS_PER_S), &err));
	keeper_authority_set(keeper, fresh);
	authority_free(authority);
	authority = fresh;
	worker.changed = 0;
	waited_for = &worker;
	run_until(issuer_changed);
	assert_false(keeper_client_leaf_find(worker.client, &request, &leaf));
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(X509_verify(heard.cert, X509_get0_pubkey(authority_cert(fresh, 0))), 1);
	forget(&heard);
	keeper_client_free(worker.client);
}

/* The log's lines so far, in one static buffer. */
static const char *log_lines(void)
{
	static char lines[65536];
	char path[96];
	snprintf(path, sizeof(path), "%s/audit.log", folder);
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(lines, 1, sizeof(lines) - 1, file) : 0;
	if (file)
		fclose(file);
	lines[len] = '\0';
	return lines;
}

static void the_log_says_which_ca_was_opened_and_that_the_end_was_a_clean_one(void **state)
{
	(void)state;
	struct keeper_options options = defaults();
	options.ca_made = true;
	start_keeper(options);
	keeper_free(keeper);
	keeper = NULL;
	assert_non_null(strstr(log_lines(), "\"kind\":\"ca\",\"action\":\"made\",\"subject\":\"CN=Overt CA test"));
	const char *stop = strstr(log_lines(), "\"kind\":\"stop\",\"reason\":\"stopped\"");
	assert_non_null(stop);
	start_keeper(defaults());
	keeper_stop(keeper, "the supervisor is gone");
	keeper_free(keeper);
	keeper = NULL;
	assert_non_null(strstr(log_lines(), "\"action\":\"opened\""));
	stop = strstr(stop + 1, "\"kind\":\"stop\"");
	assert_non_null(strstr(stop, "the supervisor is gone"));
	assert_null(strstr(stop + 1, "\"kind\":\"stop\""));
	verify_log(4);
}

/* An authority in a folder, and the configuration that means it. */
static struct config *config_of_state(void)
{
	char words[] = "proxy\0--state";
	char *argv[] = {words, words + 6, folder, NULL};
	int rest;
	struct config *config = config_new(&err);
	assert_non_null(config);
	if (!config_read_args(config, CONFIG_PROXY, 3, argv, &rest, &err))
		fail_msg("%s", err.text);
	return config;
}

static void a_rotated_ca_is_taken_up_by_a_running_keeper(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	bool changed_now;
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	struct config *config = config_of_state();
	authority_free(authority);
	assert_true(authority_open(&authority, folder, NULL, now_s, &err));
	start_keeper(defaults());
	join(&worker, NULL);
	/* Nothing happened: nothing changes. */
	const struct authority *before = authority;
	assert_true(keeper_reopen(keeper, config, &authority, &changed_now, &err));
	assert_false(changed_now);
	assert_ptr_equal(authority, before);
	assert_true(authority_rotate(folder, NULL, 0, now_s, &err));
	worker.changed = 0;
	assert_true(keeper_reopen(keeper, config, &authority, &changed_now, &err));
	assert_true(changed_now);
	assert_non_null(authority_cert(authority, 1));
	waited_for = &worker;
	run_until(issuer_changed);
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(X509_verify(heard.cert, X509_get0_pubkey(authority_cert(authority, 0))), 1);
	forget(&heard);
	keeper_client_free(worker.client);
	keeper_free(keeper);
	keeper = NULL;
	const char *rotated = strstr(log_lines(), "\"action\":\"rotated\"");
	assert_non_null(rotated);
	assert_null(strstr(rotated + 1, "\"action\":\"rotated\"")); /* only the new one */
	config_free(config);
}

static void a_ca_that_cannot_be_opened_again_leaves_the_old_one_in_force(void **state)
{
	(void)state;
	char path[96];
	bool changed_now;
	struct config *config = config_of_state();
	authority_free(authority);
	assert_true(authority_open(&authority, folder, NULL, (int64_t)(clock_wall_ns() / NS_PER_S), &err));
	start_keeper(defaults());
	const struct authority *before = authority;
	snprintf(path, sizeof(path), "%s/ca.key", folder);
	assert_int_equal(truncate(path, 10), 0);
	assert_false(keeper_reopen(keeper, config, &authority, &changed_now, &err));
	assert_false(changed_now);
	assert_non_null(strstr(err.text, "ca.key"));
	assert_ptr_equal(authority, before);
	/* A CA that was taken away is not made anew behind the operator's back. */
	unlink(path);
	snprintf(path, sizeof(path), "%s/ca.pem", folder);
	unlink(path);
	assert_false(keeper_reopen(keeper, config, &authority, &changed_now, &err));
	assert_int_equal(access(path, F_OK), -1);
	assert_ptr_equal(authority, before);
	config_free(config);
}

static void retention_bounds_refusals_and_stored_leaves(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	struct keeper_options options = defaults();
	options.retention_ns = NS_PER_S;
	start_keeper(options);
	join(&worker, NULL);
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	forget(&heard);
	keeper_client_refusal_add(worker.client, bytes_str("192.0.2.1"), bytes_str("a.example"), 48);
	waited_for = &worker;
	run_until(refusal_known);
	run_until(nothing_kept);
	keeper_client_free(worker.client);
}

static void without_a_folder_nothing_is_kept_and_all_else_works(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct heard heard = {0};
	start_keeper((struct keeper_options){.authority = authority});
	join(&worker, NULL);
	struct audit_entry entry = inspected();
	assert_null(keeper_client_audit_closed(worker.client));
	assert_true(keeper_client_audit(worker.client, &entry));
	struct keeper_leaf_request request = {
		.host = bytes_str("a.example"), .upstream = upstream_for("a.example", der_room, sizeof(der_room))};
	ask(&worker, &request, &heard);
	hear(&heard);
	assert_int_equal(heard.result, KEEPER_OK);
	forget(&heard);
	keeper_client_refusal_add(worker.client, bytes_str("192.0.2.1"), bytes_str("a.example"), 48);
	waited_for = &worker;
	run_until(refusal_known);
	keeper_client_free(worker.client);
	int files = 0;
	DIR *dir = opendir(folder);
	while (readdir(dir))
		files++;
	closedir(dir);
	assert_int_equal(files, 2);
}

static bool shows_another(void)
{
	return (waited_for->changed & KEEPER_CHANGED_ACCORD) != 0;
}

/* The certificate is an Accord proxy's, of this anchor, and the key is its own. */
static void shows_one_of(const struct worker *worker, const struct accord_ca *anchor)
{
	X509 *cert;
	EVP_PKEY *key;
	struct accord_identity who;
	keeper_client_accord(worker->client, &cert, &key);
	assert_non_null(cert);
	assert_int_equal(X509_check_private_key(cert, key), 1);
	assert_int_equal(X509_verify(cert, X509_get0_pubkey(accord_ca_cert(anchor))), 1);
	assert_int_equal(accord_leaf_judge(cert, &who, &err), ACCORD_LEAF_OK);
	assert_string_equal(who.name, "proxy.test");
}

static void remove_anchor(void)
{
	char name[96];
	snprintf(name, sizeof(name), "%s/" ACCORD_CA_FILE, folder);
	assert_int_equal(unlink(name), 0);
	snprintf(name, sizeof(name), "%s/" ACCORD_CA_KEY_FILE, folder);
	assert_int_equal(unlink(name), 0);
}

static void workers_show_a_certificate_of_the_accord_anchor_and_of_another_once_it_is_replaced(void **state)
{
	(void)state;
	struct worker worker = {0};
	struct accord_ca *anchor = NULL;
	int64_t now = (int64_t)(clock_wall_ns() / NS_PER_S);
	X509 *cert;
	EVP_PKEY *key;
	struct config *config = config_new(&err);
	config->state = strdup(folder);
	start_keeper(defaults());
	join(&worker, NULL);
	keeper_client_accord(worker.client, &cert, &key);
	assert_null(cert);
	assert_null(key);
	/* None there: nothing changes. Then there is one. */
	assert_true(keeper_accord_reopen(keeper, config, &anchor, &err));
	assert_null(anchor);
	for (int i = 0; i < 2; i++) {
		worker.changed = 0;
		assert_true(accord_ca_make(folder, "proxy.test", ACCORD_KEY_PURPOSE_OID, now, &err));
		assert_true(keeper_accord_reopen(keeper, config, &anchor, &err));
		assert_non_null(anchor);
		run_until(shows_another);
		shows_one_of(&worker, anchor);
		remove_anchor();
	}
	/* One that is gone goes on as it is; but not where the configuration asks for it. */
	struct accord_ca *before = anchor;
	assert_true(keeper_accord_reopen(keeper, config, &anchor, &err));
	config->accord = CONFIG_ACCORD_PREFER;
	assert_false(keeper_accord_reopen(keeper, config, &anchor, &err));
	assert_non_null(strstr(err.text, "overt accord init --state"));
	assert_ptr_equal(anchor, before);
	shows_one_of(&worker, anchor);
	keeper_client_free(worker.client);
	keeper_free(keeper);
	keeper = NULL;
	accord_ca_free(anchor);
	config_free(config);
}

static void a_keeper_whose_log_was_altered_does_not_start(void **state)
{
	(void)state;
	char path[96];
	struct audit_entry entry = {.kind = AUDIT_START};
	start_keeper(defaults());
	assert_int_equal(keeper_audit(keeper, &entry, synced, NULL), AUDIT_QUEUED);
	keeper_free(keeper);
	snprintf(path, sizeof(path), "%s/audit.log", folder);
	FILE *file = fopen(path, "r+e");
	fseek(file, -10, SEEK_END);
	fputc('z', file);
	fclose(file);
	struct keeper_options options = defaults();
	keeper = keeper_new(loop, &options, &err);
	assert_null(keeper);
	assert_non_null(strstr(err.text, "line 3"));
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_worker_gets_a_leaf_that_the_ca_signed_for_the_key_it_has),
		CASE(an_rsa_leaf_comes_with_its_key),
		CASE(leaves_decode_in_a_slim_context_too),
		CASE(those_who_wait_for_the_same_leaf_share_one_request),
		CASE(another_worker_finds_the_leaf_in_the_store_also_after_a_restart),
		CASE(a_faulty_upstream_gives_a_leaf_that_nobody_trusts_and_nobody_stores),
		CASE(what_cannot_be_mirrored_is_refused_with_a_reason),
		CASE(a_ca_bound_to_names_says_so_for_others),
		CASE(a_worker_that_asks_too_fast_is_refused_and_counted),
		CASE(the_cap_on_waits_is_kept_and_counted),
		CASE(a_deadline_ends_a_wait_for_a_silent_keeper),
		CASE(a_lost_keeper_fails_all_waits_and_closes_the_audit_until_a_new_one_serves),
		CASE(entries_of_workers_reach_the_disk),
		CASE(a_worker_writes_no_entries_that_are_not_its_own),
		CASE(a_worker_that_writes_too_fast_inspects_nothing_until_it_may_again),
		CASE(refusals_over_the_rate_are_counted_and_not_noted),
		CASE(full_refusals_are_told_once_and_counted),
		CASE(another_keeper_goes_on_where_one_handed_over_and_no_worker_notices),
		CASE(a_full_disk_is_told_to_workers_and_so_is_relief),
		CASE(ticket_keys_rotate_in_all_workers_and_old_ones_end),
		CASE(a_refusal_seen_by_one_worker_is_known_to_all_and_to_later_ones),
		CASE(a_refusal_is_forgotten_when_its_lifetime_is_over),
		CASE(a_malformed_message_cuts_its_worker_off_and_nobody_else),
		CASE(the_supervisor_writes_snapshots_hands_over_workers_and_gets_no_keys),
		CASE(a_new_ca_empties_the_workers_caches),
		CASE(the_log_says_which_ca_was_opened_and_that_the_end_was_a_clean_one),
		CASE(a_rotated_ca_is_taken_up_by_a_running_keeper),
		CASE(a_ca_that_cannot_be_opened_again_leaves_the_old_one_in_force),
		CASE(retention_bounds_refusals_and_stored_leaves),
		CASE(without_a_folder_nothing_is_kept_and_all_else_works),
		CASE(workers_show_a_certificate_of_the_accord_anchor_and_of_another_once_it_is_replaced),
		CASE(a_keeper_whose_log_was_altered_does_not_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
