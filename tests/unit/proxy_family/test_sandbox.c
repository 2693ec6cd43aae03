#include "base/sandbox.h"
#include "proxy/resolver_client.h"

#include "audit/log.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "proxy/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

/* In the child: asserts would return to cmocka. What failed is told through a pipe. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			leave(__LINE__);                                                                               \
	} while (0)

static int report_fd;

static no_return void leave(int line)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "line %d, errno %d", line, errno);
	if (write(report_fd, text, (size_t)n) < 0)
		_exit(3);
	_exit(2);
}

struct outcome {
	int status; /* of waitpid */
	char text[64];
};

/* Runs `work` in a child, inside the role's filter. */
static struct outcome inside(enum sandbox_role role, void (*before)(void), void (*work)(void))
{
	struct outcome outcome = {0};
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error err;
		report_fd = fds[1];
		CHECK(sandbox_prepare(&err));
		if (before)
			before();
		if (!sandbox_enter(role, &err)) {
			if (write(report_fd, err.text, strlen(err.text)) < 0)
				_exit(3);
			_exit(2);
		}
		work();
		_exit(0);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], outcome.text, sizeof(outcome.text) - 1);
	outcome.text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &outcome.status, 0), child);
	return outcome;
}

static void works(enum sandbox_role role, void (*before)(void), void (*work)(void))
{
	if (!sandbox_possible())
		skip(); /* the sanitizers' runtime makes calls that the filters forbid */
	struct outcome outcome = inside(role, before, work);
	if (WIFSIGNALED(outcome.status))
		fail_msg("killed by signal %d", WTERMSIG(outcome.status));
	assert_string_equal(outcome.text, "");
	assert_int_equal(WEXITSTATUS(outcome.status), 0);
}

static void kills(enum sandbox_role role, void (*work)(void))
{
	if (!sandbox_possible())
		skip();
	struct outcome outcome = inside(role, NULL, work);
	assert_true(WIFSIGNALED(outcome.status));
	assert_int_equal(WTERMSIG(outcome.status), SIGSYS);
}

/* A TLS server and client, made before the filter is entered, as a worker makes its contexts. */

static SSL_CTX *server_ctx, *client_ctx;

static void make_contexts(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	CHECK(key && cert && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1));
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	CHECK(X509_set_pubkey(cert, key) && X509_sign(cert, key, EVP_sha256()));
	server_ctx = SSL_CTX_new(TLS_server_method());
	client_ctx = SSL_CTX_new(TLS_client_method());
	CHECK(SSL_CTX_use_certificate(server_ctx, cert) == 1 && SSL_CTX_use_PrivateKey(server_ctx, key) == 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* A worker gets its channels from outside: socketpair is not among its calls. */
static int pair_fds[2];

static void contexts_and_pair(void)
{
	make_contexts();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair_fds) == 0);
}

static void handshake_over_pair(void)
{
	SSL *server = SSL_new(server_ctx);
	SSL *client = SSL_new(client_ctx);
	char byte = 0;
	int on = 1, waiting = 0;
	CHECK(ioctl(pair_fds[0], FIONBIO, &on) == 0 && ioctl(pair_fds[0], FIONREAD, &waiting) == 0);
	SSL_set_fd(server, pair_fds[0]);
	SSL_set_fd(client, pair_fds[1]);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (int i = 0; i < 10; i++) {
		(void)SSL_do_handshake(client);
		(void)SSL_do_handshake(server);
	}
	CHECK(SSL_is_init_finished(client) && SSL_is_init_finished(server));
	CHECK(SSL_write(client, "x", 1) == 1 && SSL_read(server, &byte, 1) == 1 && byte == 'x');
	SSL_free(server);
	SSL_free(client);
}

static void worker_shakes_hands(void **state)
{
	(void)state;
	works(SANDBOX_WORKER, contexts_and_pair, handshake_over_pair);
}

static void tcp_and_epoll(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int one = 1, error = 0, pipe_fds[2];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 8) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(client, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
	int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	CHECK(server >= 0 && send(client, "hello", 5, MSG_NOSIGNAL) == 5);
	len = sizeof(error);
	CHECK(getsockopt(server, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
	/* Stepping aside moves bytes without looking at them. */
	CHECK(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK(splice(server, NULL, pipe_fds[1], NULL, 5, SPLICE_F_NONBLOCK) == 5);
	CHECK(shutdown(server, SHUT_WR) == 0 && close(server) == 0);
	int six = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK(six >= 0 || errno == EAFNOSUPPORT);
}

static void a_worker_listens_connects_and_splices(void **state)
{
	(void)state;
	works(SANDBOX_WORKER, NULL, tcp_and_epoll);
}

static void memory_time_and_randomness(void)
{
	struct timespec now;
	uint8_t random[32];
	struct tm local;
	struct rlimit limit;
	for (size_t size = 16; size <= (64U << 20); size *= 4) {
		char *memory = malloc(size);
		CHECK(memory);
		memory[size - 1] = 1;
		memory = realloc(memory, size * 2);
		CHECK(memory);
		free(memory);
	}
	malloc_trim(0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	CHECK(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) == 0);
	CHECK(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
	CHECK(localtime_r(&now.tv_sec, &local));
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(prctl(PR_SET_NAME, "worker 1") == 0);
	char text[64];
	int n = snprintf(text, sizeof(text), "%d", local.tm_year);
	CHECK(n > 0);
	fflush(stdout);
}

/* A channel whose other end is outside: descriptors come in, and shared memory is mapped for reading. */

static int memory_fd;

static void channel_and_memory(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair_fds) == 0);
	memory_fd = memfd_create("snapshot", MFD_CLOEXEC);
	CHECK(memory_fd >= 0 && ftruncate(memory_fd, 4096) == 0 && pwrite(memory_fd, "rules", 5, 0) == 5);
}

static const char *mapped;

static void took(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	(void)ipc;
	struct stat st;
	CHECK(message->fd_count == 1 && fstat(message->fds[0], &st) == 0 && st.st_size == 4096);
	mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, message->fds[0], 0);
	CHECK(mapped != MAP_FAILED && memcmp(mapped, "rules", 5) == 0);
	loop_stop(ctx);
}

static void ended(struct ipc *ipc, const char *reason, void *ctx)
{
	(void)ipc;
	(void)reason;
	loop_stop(ctx);
}

static void use_channel(void)
{
	static const struct ipc_handlers both = {.received = took, .closed = ended};
	struct error err;
	struct loop *turns = loop_new();
	CHECK(turns);
	struct ipc *near = ipc_new(turns, pair_fds[0], 4096, &both, turns, &err);
	struct ipc *far = ipc_new(turns, pair_fds[1], 4096, &both, turns, &err);
	CHECK(near && far);
	CHECK(ipc_send(far, &(struct ipc_message){.kind = 1, .fds = {memory_fd}, .fd_count = 1}) == IPC_SENT);
	CHECK(loop_run(turns) && mapped);
	ipc_free(near);
	ipc_free(far);
	loop_free(turns);
}

static void a_worker_takes_descriptors_and_maps_what_they_hold(void **state)
{
	(void)state;
	works(SANDBOX_WORKER, channel_and_memory, use_channel);
}

static void a_worker_has_memory_time_and_randomness(void **state)
{
	(void)state;
	works(SANDBOX_WORKER, NULL, memory_time_and_randomness);
}

static void files_are_refused(void)
{
	struct stat st;
	CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES);
	CHECK(stat("/etc/passwd", &st) == -1 && errno == EACCES);
	CHECK(access("/", R_OK) == -1 && errno == EACCES);
	CHECK(!fopen("/tmp/overt-none", "we") && errno == EACCES);
	CHECK(fstat(report_fd, &st) == 0);
}

static void a_worker_is_refused_files_and_goes_on(void **state)
{
	(void)state;
	works(SANDBOX_WORKER, NULL, files_are_refused);
}

static void run_program(void)
{
	char name[] = "true";
	char *arguments[] = {name, NULL};
	execv("/bin/true", arguments);
}

static void trace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void open_netlink(void)
{
	(void)!socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

static void open_unix(void)
{
	(void)!socket(AF_UNIX, SOCK_STREAM, 0);
}

static void open_tcp(void)
{
	(void)!socket(AF_INET, SOCK_STREAM, 0);
}

/* Streams that are no TCP. */
static void open_mptcp(void)
{
	(void)!socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
}

static void open_sctp(void)
{
	(void)!socket(AF_INET6, SOCK_STREAM, IPPROTO_SCTP);
}

static void make_code(void)
{
	(void)!mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_child(void)
{
	if (fork() == 0)
		_exit(0);
}

static void signal_parent(void)
{
	syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static void raise_limit(void)
{
	const struct rlimit limit = {1, 1};
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void a_worker_dies_of_what_it_has_no_use_for(void **state)
{
	(void)state;
	void (*const calls[])(void) = {run_program, trace, open_netlink, open_unix, open_mptcp, open_sctp, make_code,
		make_child, signal_parent, raise_limit};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		kills(SANDBOX_WORKER, calls[i]);
}

static void a_keeper_dies_of_sockets_and_programs(void **state)
{
	(void)state;
	void (*const calls[])(void) = {run_program, trace, open_netlink, open_unix, open_tcp, make_code, make_child};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		kills(SANDBOX_KEEPER, calls[i]);
}

/* Abort is what a failed assertion ends in: its core is forbidden, its signal is not. */
static void give_up(void)
{
	abort();
}

static void abort_still_aborts(void **state)
{
	(void)state;
	if (!sandbox_possible())
		skip();
	struct outcome outcome = inside(SANDBOX_WORKER, NULL, give_up);
	assert_true(WIFSIGNALED(outcome.status));
	assert_int_equal(WTERMSIG(outcome.status), SIGABRT);
}

/* A keeper's files: the audit log (its thread started before) and SQLite. */

static struct loop *loop;
static struct audit_log *audit;

static void open_log(void)
{
	char path[96], openings[96];
	struct error err;
	snprintf(path, sizeof(path), "%s/audit.log", folder);
	snprintf(openings, sizeof(openings), "%s/openings", folder);
	struct audit_options options = {
		.path = path, .openings = openings, .retention_ns = 3600 * NS_PER_S, .rotate_octets = 1};
	loop = loop_new();
	audit = audit_log_new(loop, &options, NULL, NULL, &err);
	CHECK(audit);
}

static void entry_synced(bool ok, void *ctx)
{
	(void)ctx;
	CHECK(ok);
	loop_stop(loop);
}

static void keep(void)
{
	char path[96];
	struct error err;
	struct refusal refusal = {.client = "192.0.2.1", .name = "a.example"};
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	audit_entry_add(&entry, AUDIT_C("name", bytes_str("a.example")));
	CHECK(audit_append(audit, &entry, clock_wall_ns(), NULL) == AUDIT_QUEUED);
	CHECK(audit_flush(audit));
	/* From the loop, where a log that is long is put aside. */
	CHECK(audit_append_synced(audit, &entry, clock_wall_ns(), entry_synced, NULL) == AUDIT_QUEUED);
	CHECK(loop_run(loop));
	CHECK(audit_count(audit).rotations == 1);
	audit_expire(audit, clock_wall_ns() + 7200 * NS_PER_S);
	CHECK(audit_count(audit).expired == 1);
	audit_log_free(audit);
	loop_free(loop);
	snprintf(path, sizeof(path), "%s/refusals.db", folder);
	struct refusal_store *store = refusal_store_open(path, NULL, &err);
	CHECK(store && refusal_add(store, &refusal, 1, &err) && refusal_flush(store, 1, &err));
	refusal_store_close(store);
}

static void a_keeper_writes_its_log_and_its_databases(void **state)
{
	(void)state;
	static const char *const names[] = {"audit.log", "audit.log.head", "audit.log.key", "audit.log.pub",
		"audit.log.tree", "audit.log.1", "audit.log.1.head", "audit.log.1.pub", "audit.log.1.tree",
		"refusals.db", "refusals.db-journal", "openings"};
	snprintf(folder, sizeof(folder), "/tmp/overt-sandbox-XXXXXX");
	assert_non_null(mkdtemp(folder));
	if (sandbox_possible())
		works(SANDBOX_KEEPER, open_log, keep);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[128];
		snprintf(name, sizeof(name), "%s/%s", folder, names[i]);
		if (unlink(name) < 0)
			rmdir(name);
	}
	rmdir(folder);
	if (!sandbox_possible())
		skip();
}

/* A resolver looks names up, in threads that are there and in those it starts. */

static void answered(enum resolver_result result, const struct resolver_answer *answer, void *ctx)
{
	*(bool *)ctx = result == RESOLVER_OK && answer->count > 0;
	loop_stop(loop);
}

static void look_up(void)
{
	int fds[2];
	struct error err;
	bool found = false;
	memcpy(fds, pair_fds, sizeof(fds));
	struct resolver *resolver = resolver_serve(fds[0], 2, &err);
	CHECK(resolver);
	loop = loop_new();
	struct resolver_client *client = resolver_client_new(loop, fds[1], NULL, NULL, NULL, &err);
	CHECK(client);
	CHECK(resolver_client_resolve(
		client, bytes_str("localhost"), clock_monotonic_ns() + 20 * NS_PER_S, answered, &found));
	CHECK(loop_run(loop));
	CHECK(found);
	resolver_client_free(client);
	resolver_free(resolver);
	loop_free(loop);
	CHECK(open("/tmp/overt-none", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) == -1 && errno == EPERM);
}

static void seqpacket_pair(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair_fds) == 0);
}

static void a_resolver_finds_names_and_writes_nothing(void **state)
{
	(void)state;
	works(SANDBOX_RESOLVER, seqpacket_pair, look_up);
}

static void a_resolver_dies_of_programs(void **state)
{
	(void)state;
	kills(SANDBOX_RESOLVER, run_program);
	kills(SANDBOX_RESOLVER, trace);
}

static void *nothing(void *arg)
{
	return arg;
}

static void scribe_work(void)
{
	pthread_t thread;
	struct winsize size;
	tcp_and_epoll();
	CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
	int fd = open("/tmp/overt-sandbox-scribe", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && unlink("/tmp/overt-sandbox-scribe") == 0);
	CHECK(ioctl(fd, TIOCGWINSZ, &size) == -1 && errno == ENOTTY);
}

static void a_scribe_has_files_sockets_and_threads_and_dies_of_programs(void **state)
{
	(void)state;
	works(SANDBOX_SCRIBE, NULL, scribe_work);
	kills(SANDBOX_SCRIBE, run_program);
}

static void datagram_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && close(fd) == 0);
}

static void collector_work(void)
{
	scribe_work();
	CHECK(mkdir("/tmp/overt-sandbox-collector", 0700) == 0 && rmdir("/tmp/overt-sandbox-collector") == 0);
}

static void collector_with_bus_work(void)
{
	collector_work();
	datagram_socket();
}

static void a_collector_has_files_tcp_and_threads_and_looks_names_up_for_a_bus_alone(void **state)
{
	(void)state;
	works(SANDBOX_COLLECTOR, NULL, collector_work);
	kills(SANDBOX_COLLECTOR, run_program);
	kills(SANDBOX_COLLECTOR, datagram_socket);
	works(SANDBOX_COLLECTOR_BUS, NULL, collector_with_bus_work);
	kills(SANDBOX_COLLECTOR_BUS, run_program);
	kills(SANDBOX_COLLECTOR_BUS, trace);
}

/* Without a filter: these hold under sanitizers too. */

static void in_child(void (*work)(void))
{
	struct outcome outcome = {0};
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0) {
		report_fd = fds[1];
		work();
		_exit(0);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], outcome.text, sizeof(outcome.text) - 1);
	outcome.text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &outcome.status, 0), child);
	assert_string_equal(outcome.text, "");
	assert_int_equal(outcome.status, 0);
}

static void prepared(void)
{
	struct error err;
	struct rlimit core;
	CHECK(sandbox_prepare(&err));
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void a_prepared_process_leaves_no_core_and_gains_nothing_by_exec(void **state)
{
	(void)state;
	in_child(prepared);
}

static void dropped(void)
{
	struct error err;
	struct sandbox_user user;
	CHECK(sandbox_user_find("nobody", &user, &err));
	CHECK(sandbox_prepare(&err) && sandbox_drop(&user, false, &err));
	CHECK(getuid() == user.uid && geteuid() == user.uid && getgid() == user.gid);
	CHECK(getgroups(0, NULL) == 0);
	CHECK(setuid(0) == -1);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	/* Asking for what is gone is an error with a reason. */
	CHECK(!sandbox_drop(NULL, true, &err) && strstr(err.text, "CAP_NET_ADMIN"));
	CHECK(sandbox_drop(NULL, false, &err));
}

static void who_drops_its_user_cannot_come_back(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	in_child(dropped);
}

static void kept(void)
{
	struct error err;
	struct sandbox_user user;
	int one = 1;
	CHECK(sandbox_user_find("65534", &user, &err));
	CHECK(sandbox_drop(&user, true, &err));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one)) == 0);
	CHECK(setuid(0) == -1); /* and nothing else was kept */
	CHECK(chown("/", 1, 1) == -1);
}

static void a_transparent_worker_keeps_one_capability(void **state)
{
	(void)state;
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool able = getuid() == 0 && setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one)) == 0;
	close(fd);
	if (!able)
		skip();
	in_child(kept);
}

static void an_unknown_user_is_named(void **state)
{
	(void)state;
	struct error err;
	struct sandbox_user user;
	assert_false(sandbox_user_find("no-such-user-here", &user, &err));
	assert_non_null(strstr(err.text, "no-such-user-here"));
	assert_true(sandbox_user_find("0", &user, &err));
	assert_int_equal(user.uid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker_shakes_hands),
		cmocka_unit_test(a_worker_listens_connects_and_splices),
		cmocka_unit_test(a_worker_has_memory_time_and_randomness),
		cmocka_unit_test(a_worker_takes_descriptors_and_maps_what_they_hold),
		cmocka_unit_test(a_worker_is_refused_files_and_goes_on),
		cmocka_unit_test(a_worker_dies_of_what_it_has_no_use_for),
		cmocka_unit_test(a_keeper_dies_of_sockets_and_programs),
		cmocka_unit_test(abort_still_aborts),
		cmocka_unit_test(a_keeper_writes_its_log_and_its_databases),
		cmocka_unit_test(a_resolver_finds_names_and_writes_nothing),
		cmocka_unit_test(a_resolver_dies_of_programs),
		cmocka_unit_test(a_collector_has_files_tcp_and_threads_and_looks_names_up_for_a_bus_alone),
		cmocka_unit_test(a_scribe_has_files_sockets_and_threads_and_dies_of_programs),
		cmocka_unit_test(a_prepared_process_leaves_no_core_and_gains_nothing_by_exec),
		cmocka_unit_test(who_drops_its_user_cannot_come_back),
		cmocka_unit_test(a_transparent_worker_keeps_one_capability),
		cmocka_unit_test(an_unknown_user_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
