#include "agent/server_attach.h"

#include "accord/server.h"
#include "agent/context.h"
#include "agent/post.h"
#include "base/hostport.h"
#include "pact/pact.h"
#include "pact/rulebook.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* What a context rules by. Each has a reference: connections go on under the rules that they began with. */
struct aware {
	atomic_uint references;
	struct rulebook *book;
	struct pact *pact; /* NULL: the rules name no anchors */
};

static const char *file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct aware *present; /* under `lock`; NULL: nothing read yet */
static struct stat read_at;   /* of the file, when it was last read or tried */
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int slot = -1;

void server_start(const char *rules)
{
	file = rules;
}

static void aware_drop(struct aware *aware)
{
	if (!aware || atomic_fetch_sub(&aware->references, 1) != 1)
		return;
	rulebook_free(aware->book);
	pact_free(aware->pact);
	free(aware);
}

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	aware_drop(ptr);
}

static void make_slot(void)
{
	slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
}

static struct aware *aware_read(struct error *err)
{
	struct aware *aware = calloc(1, sizeof(*aware));
	if (!aware) {
		(void)error_set(err, "no memory for the rules");
		return NULL;
	}
	atomic_init(&aware->references, 1);
	bool ok = rulebook_open(&aware->book, file, err);
	const char *anchors = ok ? rulebook_anchors(aware->book) : NULL;
	const struct pact_terms terms = {.anchors = anchors, .proxies_only = true};
	if (ok && (!anchors || pact_make(&aware->pact, &terms, err)))
		return aware;
	aware_drop(aware);
	return NULL;
}

static bool changed(const struct stat *now)
{
	return now->st_ino != read_at.st_ino || now->st_dev != read_at.st_dev || now->st_size != read_at.st_size ||
	       now->st_mtim.tv_sec != read_at.st_mtim.tv_sec || now->st_mtim.tv_nsec != read_at.st_mtim.tv_nsec;
}

static void tell_rules(const struct aware *fresh, const struct error *err)
{
	char text[REPORT_TEXT + 1];
	size_t rules = fresh ? rulebook_rules(fresh->book) : 0, clients = fresh ? rulebook_clients(fresh->book) : 0;
	if (fresh)
		snprintf(text, sizeof(text), "%.300s was read: %zu rule%s, %zu client%s", file, rules,
			rules == 1 ? "" : "s", clients, clients == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "the rules stay as they were: %.440s", err->text);
	post_text(REPORT_RULES, text);
}

/* Under `lock`. */
static bool refresh(struct error *err)
{
	struct stat now;
	struct error why = {""};
	bool there = stat(file, &now) == 0;
	bool gone = !there && errno == ENOENT;
	if (!there)
		(void)error_set_errno(&why, "%s", file);
	if (present && there && !changed(&now))
		return true;
	/* Workers that have given up their rights make contexts too. What they cannot see has not changed for them. */
	struct aware *fresh = there ? aware_read(&why) : NULL;
	if (there)
		read_at = now;
	if (fresh || (present && (there || gone)))
		tell_rules(fresh, &why);
	if (!fresh && !present)
		return error_set(err, "%s", why.text);
	if (fresh) {
		aware_drop(present);
		present = fresh;
	}
	return true;
}

static struct aware *take_present(struct error *err)
{
	pthread_mutex_lock(&lock);
	struct aware *aware = refresh(err) ? present : NULL;
	if (aware)
		atomic_fetch_add(&aware->references, 1);
	pthread_mutex_unlock(&lock);
	return aware;
}

/* Who speaks to us, as far as it is a socket. */
static void name_peer(const SSL *ssl, char *out, size_t cap)
{
	struct sockaddr_storage at;
	struct hostport peer;
	socklen_t len = sizeof(at);
	int fd = SSL_get_fd(ssl);
	char text[HOSTPORT_TEXT] = "";
	if (fd >= 0 && getpeername(fd, (struct sockaddr *)&at, &len) == 0 &&
		hostport_from_sockaddr(&peer, (struct sockaddr *)&at, len))
		hostport_ip_text(&peer, text);
	snprintf(out, cap, "%s", text);
}

static void on_rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	const struct aware *aware = ctx;
	rulebook_rule(aware->book, claim, out);
	name_peer(ssl, out->peer, sizeof(out->peer));
	/* The program's own clients show certificates here: a proxy's is not to pass for one of theirs. */
	bool asks = out->kind == ACCORD_RULING_DEMAND || out->kind == ACCORD_RULING_IDENTIFY;
	if (asks && !claim->identified && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER)) {
		out->kind = ACCORD_RULING_REFUSE;
		snprintf(
			out->statement, sizeof(out->statement), "this server asks for certificates of its own clients");
	}
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct aware *aware = ctx;
	return aware->pact ? pact_verify_proxy(aware->pact, chain, who, err)
	                   : error_set(err, "the rules name no Accord anchors");
}

static bool enrolled(void *ctx, SSL *ssl, struct bytes key)
{
	const struct aware *aware = ctx;
	const struct accord_claim *claim = accord_server_claim(ssl);
	return claim && rulebook_approver(aware->book, claim, key) != NULL;
}

static uint8_t wire_served(const struct accord_claim *claim, enum accord_served what)
{
	static const uint8_t wire[] = {[ACCORD_SERVED_ACCEPTED] = REPORT_ACCEPTED,
		[ACCORD_SERVED_REFUSED] = REPORT_DECLINED,
		[ACCORD_SERVED_UNMET] = REPORT_UNMET,
		[ACCORD_SERVED_LEFT] = REPORT_LEFT};
	return claim->ruling.kind == ACCORD_RULING_SILENT ? REPORT_IGNORED : wire[what];
}

static void tell(void *ctx, const struct accord_claim *claim, enum accord_served what)
{
	const struct accord_introduction *in = &claim->introduction;
	const struct aware *aware = ctx;
	struct bytes key = bytes_of(claim->approval_key, claim->approval_key_len);
	const char *client = key.len > 0 ? rulebook_approver(aware->book, claim, key) : NULL;
	struct report report = {.kind = REPORT_SERVED,
		.served = wire_served(claim, what),
		.told = claim->sealed ? REPORT_TOLD_SEALED : 0,
		.purpose = claim->introduced ? in->purpose_code : 0,
		.host = bytes_str(claim->host),
		.peer = bytes_str(claim->ruling.peer),
		.rule = bytes_str(claim->ruling.label),
		.client = client ? bytes_str(client) : BYTES_NONE,
		.statement = bytes_str(claim->ruling.statement),
		.text = bytes_str(claim->fault.text)};
	report.hops = claim->introduced ? in->hops : 0;
	for (size_t i = 0; i < report.hops; i++)
		report.hop[i].role = in->hop[i].role;
	if (claim->identified && report.hops > 0)
		report.hop[report.hops - 1].name = bytes_str(claim->proxy.name);
	post_report(&report);
}

bool server_attach(SSL_CTX *ctx, struct error *err)
{
	struct aware *aware = CRYPTO_THREAD_run_once(&once, make_slot) == 1 && slot >= 0 ? take_present(err) : NULL;
	if (!aware)
		return false;
	const struct accord_server_config config = {.ctx = aware,
		.rule = on_rule,
		.verify_proxy = verify_proxy,
		.enrolled = enrolled,
		.next_verify = context_next_verify,
		.report = tell};
	if (SSL_CTX_set_ex_data(ctx, slot, aware) != 1) {
		aware_drop(aware);
		return error_set(err, "no place for the rules");
	}
	return accord_server_attach(ctx, &config, err) && context_take(ctx, true, err);
}

X509 *server_peer_get0(const SSL *ssl)
{
	return accord_server_asked(ssl) ? NULL : SSL_get0_peer_certificate(ssl);
}

X509 *server_peer_get1(const SSL *ssl)
{
	return accord_server_asked(ssl) ? NULL : SSL_get1_peer_certificate(ssl);
}

STACK_OF(X509) * server_peer_chain(const SSL *ssl)
{
	return accord_server_asked(ssl) ? NULL : SSL_get_peer_cert_chain(ssl);
}
