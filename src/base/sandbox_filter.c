#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define END INT32_MIN

/* Memory, time, randomness, signals, and descriptors that are already there: what every process does. */
static const int common[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close),
	SCMP_SYS(lseek), SCMP_SYS(pread64), SCMP_SYS(fstat), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(brk), SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2),
	SCMP_SYS(signalfd4), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(pipe2), SCMP_SYS(dup), SCMP_SYS(dup3), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getcpu), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(membarrier), SCMP_SYS(getrusage), SCMP_SYS(times),
	/* Sockets that were handed over: channels, connections. */
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), END};

/* TCP of one's own. socket() itself is checked by its arguments. */
static const int network[] = {SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept4), SCMP_SYS(accept),
	SCMP_SYS(splice), SCMP_SYS(tee), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), END};

/* Reading files. */
static const int files_read[] = {SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(fadvise64), END};

/* Writing files: what SQLite, the audit log and the sinks need. */
static const int files_write[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pwrite64), SCMP_SYS(pwritev),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(flock), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(fchmod), SCMP_SYS(chmod),
	SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(umask), SCMP_SYS(utimensat), SCMP_SYS(msync), END};

/* Answered EACCES where a role has no files: libraries try, and go on without. */
static const int files_refused[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), END};

/* What no part of a program that answers names has a use for, and an intruder has. */
static const int killed[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(bpf), SCMP_SYS(mount), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load), SCMP_SYS(keyctl), SCMP_SYS(userfaultfd), SCMP_SYS(perf_event_open), SCMP_SYS(unshare),
	SCMP_SYS(setns), SCMP_SYS(pidfd_getfd), END};

static const int lock_commands[] = {F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, END};
static const int fcntl_commands[] = {
	F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC, F_GET_SEALS, F_SETPIPE_SZ, F_GETPIPE_SZ, END};
static const int families_ip[] = {AF_INET, AF_INET6, END};
static const int families_all[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, END};
static const int families_unix[] = {AF_UNIX, END};

/* A filter being built; `code` keeps the first failure. */
struct filter {
	scmp_filter_ctx ctx;
	int code;
};

static void rule(struct filter *filter, uint32_t action, int call, struct scmp_arg_cmp *compared, unsigned count)
{
	/* EDOM: this machine has no such call (open, stat on arm64). EEXIST: listed twice. */
	int code = seccomp_rule_add_array(filter->ctx, action, call, count, compared);
	if (code < 0 && code != -EDOM && code != -EEXIST && !filter->code)
		filter->code = code;
}

static void rules(struct filter *filter, uint32_t action, const int *calls)
{
	for (; *calls != END; calls++)
		rule(filter, action, *calls, NULL, 0);
}

/* Allowed when argument `arg`, as far as `mask` goes, is `value`. */
static void allow_masked(struct filter *filter, int call, unsigned arg, uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp compared = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value);
	rule(filter, SCMP_ACT_ALLOW, call, &compared, 1);
}

/* Allowed when the 32 bits of argument `arg` are one of `values`. */
static void allow_values(struct filter *filter, int call, unsigned arg, const int *values)
{
	for (; *values != END; values++)
		allow_masked(filter, call, arg, UINT32_MAX, (uint32_t)*values);
}

/* Calls whose arguments decide, the same for all roles. */
static void common_arguments(struct filter *filter)
{
	static const unsigned long ioctls[] = {FIONBIO, FIONREAD, TCGETS, TIOCGWINSZ};
	allow_values(filter, SCMP_SYS(fcntl), 1, fcntl_commands);
	for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
		allow_masked(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, ioctls[i]);
	/* A thread's or mapping's name. */
	allow_masked(filter, SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NAME);
	allow_masked(filter, SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_VMA);
	/* Limits may be asked for, not set: the new value is NULL. */
	allow_masked(filter, SCMP_SYS(prlimit64), 2, UINT64_MAX, 0);
	/* abort() signals its own process only. */
	allow_masked(filter, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint32_t)getpid());
	/* glibc's fstat is this, with an empty path. */
	allow_masked(filter, SCMP_SYS(newfstatat), 3, UINT32_MAX, AT_EMPTY_PATH);
}

/* Memory that is written is never run. */
static void memory_without_code(struct filter *filter)
{
	allow_masked(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
	allow_masked(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

static void threads(struct filter *filter)
{
	/* clone3 hides its flags behind a pointer; glibc then takes clone. */
	rule(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), NULL, 0);
	allow_masked(filter, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
}

static void allow_socket(struct filter *filter, int family, int protocol)
{
	struct scmp_arg_cmp compared[] = {SCMP_CMP(0, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)family),
		SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM),
		SCMP_CMP(2, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)protocol)};
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), compared, 3);
}

/* TCP and nothing else: a stream may also be SCTP or MPTCP, which are much more kernel than that. */
static void sockets_tcp(struct filter *filter)
{
	for (const int *family = families_ip; *family != END; family++) {
		allow_socket(filter, *family, 0);
		allow_socket(filter, *family, IPPROTO_TCP);
	}
}

/* Of every type. */
static void sockets(struct filter *filter, const int *families)
{
	for (; *families != END; families++)
		allow_masked(filter, SCMP_SYS(socket), 0, UINT32_MAX, (uint32_t)*families);
}

static void worker(struct filter *filter)
{
	struct scmp_arg_cmp with_path = {3, SCMP_CMP_NE, AT_EMPTY_PATH, 0};
	rules(filter, SCMP_ACT_ERRNO(EACCES), files_refused);
	rule(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), &with_path, 1);
	rules(filter, SCMP_ACT_ALLOW, network);
	sockets_tcp(filter);
	memory_without_code(filter);
}

static void keeper(struct filter *filter)
{
	rules(filter, SCMP_ACT_ALLOW, files_read);
	rules(filter, SCMP_ACT_ALLOW, files_write);
	allow_values(filter, SCMP_SYS(fcntl), 1, lock_commands);
	memory_without_code(filter);
}

static void scribe(struct filter *filter)
{
	keeper(filter);
	rules(filter, SCMP_ACT_ALLOW, network);
	sockets_tcp(filter);
	threads(filter);
}

static void names(struct filter *filter)
{
	rules(filter, SCMP_ACT_KILL_PROCESS, killed);
	rules(filter, SCMP_ACT_ALLOW, files_read);
	rules(filter, SCMP_ACT_ALLOW, network);
	sockets(filter, families_all);
	/* Modules of nsswitch.conf are loaded when first needed. */
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), NULL, 0);
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), NULL, 0);
	threads(filter);
}

static void resolver(struct filter *filter)
{
	names(filter);
	allow_masked(filter, SCMP_SYS(open), 1, O_ACCMODE | O_CREAT, O_RDONLY);
	allow_masked(filter, SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT, O_RDONLY);
}

/* keeper() without what it says of memory, which names() says otherwise. */
static void collector_with_bus(struct filter *filter)
{
	names(filter);
	rules(filter, SCMP_ACT_ALLOW, files_write);
	allow_values(filter, SCMP_SYS(fcntl), 1, lock_commands);
}

static void build(struct filter *filter, enum sandbox_role role)
{
	/* A tree instead of a list: the filter runs at each call. The second lets all threads in. */
	filter->code = seccomp_attr_set(filter->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!filter->code)
		filter->code = seccomp_attr_set(filter->ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	rules(filter, SCMP_ACT_ALLOW, common);
	common_arguments(filter);
	switch (role) {
	case SANDBOX_WORKER:
		worker(filter);
		break;
	case SANDBOX_KEEPER_TOKEN:
		keeper(filter);
		sockets(filter, families_unix);
		rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), NULL, 0);
		threads(filter);
		break;
	case SANDBOX_KEEPER:
		keeper(filter);
		break;
	case SANDBOX_RESOLVER:
		resolver(filter);
		break;
	case SANDBOX_SCRIBE:
	case SANDBOX_COLLECTOR:
		scribe(filter);
		break;
	case SANDBOX_COLLECTOR_BUS:
		collector_with_bus(filter);
		break;
	}
}

bool sandbox_enter(enum sandbox_role role, struct error *err)
{
	bool foreseen = role != SANDBOX_RESOLVER && role != SANDBOX_COLLECTOR_BUS;
	uint32_t otherwise = !foreseen ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
	struct filter filter = {.ctx = seccomp_init(otherwise)};
	if (!filter.ctx)
		return error_set(err, "no memory for the sandbox");
	build(&filter, role);
	int code = filter.code ? filter.code : seccomp_load(filter.ctx);
	seccomp_release(filter.ctx);
	errno = -code;
	return code == 0 || error_set_errno(err, "cannot enter the sandbox");
}
