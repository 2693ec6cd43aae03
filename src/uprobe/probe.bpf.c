/*
 * uprobe/probe.bpf.c — the part that runs in the kernel. Each program stands at the first instruction of a function
 * (uprobe/target.h says which) and copies its arguments, when the process is one of the run, into a slot (event.h). They
 * sleep where memory has to be fetched. Nothing is changed in the process, and nothing is held back.
 */
#include "uprobe/event.h"

#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char terms[] SEC("license") = "Dual MIT/GPL";

/* Of the kernel's own structure what is needed; where it stands in the running kernel, its type data says. */
struct task_struct {
	int tgid;
	struct task_struct *real_parent;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct probe_state);
} state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROBE_SLOTS);
	__type(key, __u32);
	__type(value, struct probe_event);
} slots SEC(".maps");

/* Numbers of slots. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} bell SEC(".maps");

/* Arguments as Go (its register ABI) and C pass them; G is where Go keeps its goroutine. */
#if defined(__TARGET_ARCH_x86)
#define GO0(ctx)   ((ctx)->rax)
#define GO1(ctx)   ((ctx)->rbx)
#define GO2(ctx)   ((ctx)->rcx)
#define GO3(ctx)   ((ctx)->rdi)
#define GO4(ctx)   ((ctx)->rsi)
#define GO5(ctx)   ((ctx)->r8)
#define GO6(ctx)   ((ctx)->r9)
#define GO7(ctx)   ((ctx)->r10)
#define GO_G(ctx)  ((ctx)->r14)
#define STACK(ctx) ((ctx)->rsp)
#define C0(ctx)    ((ctx)->rdi)
#define C1(ctx)    ((ctx)->rsi)
#define C2(ctx)    ((ctx)->rdx)
#define C3(ctx)    ((ctx)->rcx)
#define C4(ctx)    ((ctx)->r8)
#define C5(ctx)    ((ctx)->r9)
#define CONTEXT    struct pt_regs
#elif defined(__TARGET_ARCH_arm64)
#define GO0(ctx)   ((ctx)->regs[0])
#define GO1(ctx)   ((ctx)->regs[1])
#define GO2(ctx)   ((ctx)->regs[2])
#define GO3(ctx)   ((ctx)->regs[3])
#define GO4(ctx)   ((ctx)->regs[4])
#define GO5(ctx)   ((ctx)->regs[5])
#define GO6(ctx)   ((ctx)->regs[6])
#define GO7(ctx)   ((ctx)->regs[7])
#define GO_G(ctx)  ((ctx)->regs[28])
#define STACK(ctx) ((ctx)->sp)
#define C0(ctx)    GO0(ctx)
#define C1(ctx)    GO1(ctx)
#define C2(ctx)    GO2(ctx)
#define C3(ctx)    GO3(ctx)
#define C4(ctx)    GO4(ctx)
#define C5(ctx)    GO5(ctx)
#define CONTEXT    struct user_pt_regs
#else
#error "no registers are known for this machine"
#endif

static __always_inline struct probe_state *get_state(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&state, &zero);
}

/* The process was started by the run, in however many steps. Orphans are the run's children: it is their subreaper. */
static __always_inline int is_ours(const struct probe_state *about)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	for (int i = 0; i < PROBE_PARENTS; i++) {
		task = BPF_CORE_READ(task, real_parent);
		__u32 tgid = (__u32)BPF_CORE_READ(task, tgid);
		if (tgid == about->run)
			return about->run != 0;
		if (tgid <= 1)
			break;
	}
	return 0;
}

/* A free slot, for this process; NULL when it is none of ours, or there is none. `number` is the slot's. */
static __always_inline struct probe_event *begin(struct probe_state **about, __u32 kind, __u32 *number)
{
	struct bpf_pidns_info names = {0};
	*about = get_state();
	if (!*about || !is_ours(*about))
		return NULL;
	*number = __sync_fetch_and_add(&(*about)->next, 1) & (PROBE_SLOTS - 1);
	struct probe_event *event = bpf_map_lookup_elem(&slots, number);
	if (!event)
		return NULL;
	if (event->full) {
		__sync_fetch_and_add(&(*about)->dropped, 1);
		return NULL;
	}
	event->kind = kind;
	event->owner = 0;
	event->text_len = event->secret_len = 0;
	event->pid = bpf_get_ns_current_pid_tgid((*about)->device, (*about)->inode, &names, sizeof(names)) == 0
	                     ? names.tgid
	                     : (__u32)(bpf_get_current_pid_tgid() >> 32);
	bpf_get_current_comm(event->program, sizeof(event->program));
	return event;
}

static __always_inline int commit(struct probe_state *about, struct probe_event *event, __u32 number, int whole)
{
	if (!whole) {
		__builtin_memset(event->secret, 0, sizeof(event->secret));
		__sync_fetch_and_add(&about->unreadable, 1);
		return 0;
	}
	event->full = 1;
	__sync_fetch_and_add(&about->taken, 1);
	if (bpf_ringbuf_output(&bell, &number, sizeof(number), 0) != 0) {
		__builtin_memset(event->secret, 0, sizeof(event->secret));
		event->full = 0;
		__sync_fetch_and_add(&about->dropped, 1);
	}
	return 0;
}

static __always_inline int copy(void *to, __u64 from, __u32 len)
{
	return bpf_copy_from_user(to, len, (const void *)from) == 0;
}

static __always_inline int copy_secret(struct probe_event *event, __u64 from, __u64 len)
{
	if (len == 0 || len > PROBE_SECRET)
		return 0;
	event->secret_len = (__u16)len;
	return copy(event->secret, from, (__u32)len);
}

/* As much of it as there is room for. */
static __always_inline int copy_text(struct probe_event *event, __u64 from, __u64 len)
{
	__u32 taken = len < PROBE_TEXT ? (__u32)len : PROBE_TEXT;
	taken &= PROBE_TEXT;
	event->text_len = (__u16)taken;
	return copy(event->text, from, taken);
}

/*
 * func (c *Config) writeKeyLog(label string, clientRandom, secret []byte) error. That of TLS 1.2 is not needed: go_master
 * has all that belongs to it.
 */
SEC("uprobe.s")
int go_line(CONTEXT *ctx)
{
	__u32 number;
	struct probe_state *about;
	if (GO2(ctx) == sizeof("CLIENT_RANDOM") - 1)
		return 0;
	struct probe_event *event = begin(&about, PROBE_LINE, &number);
	if (!event)
		return 0;
	event->owner = GO_G(ctx);
	int whole = GO4(ctx) == PROBE_RANDOM && copy(event->random, GO3(ctx), PROBE_RANDOM) &&
	            copy_text(event, GO1(ctx), GO2(ctx)) && copy_secret(event, GO6(ctx), GO7(ctx));
	return commit(about, event, number, whole);
}

/* func (c *cipherSuiteTLS13) trafficKey(trafficSecret []byte) (key, iv []byte); the suite's number is its first field. */
SEC("uprobe.s")
int go_suite(CONTEXT *ctx)
{
	__u32 number;
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_SUITE, &number);
	if (!event)
		return 0;
	event->owner = GO_G(ctx);
	int whole = copy(&event->suite, GO0(ctx), sizeof(event->suite)) && copy_secret(event, GO1(ctx), GO2(ctx));
	return commit(about, event, number, whole);
}

/*
 * func keysFromMasterSecret(version uint16, suite *cipherSuite, masterSecret, clientRandom, serverRandom []byte, macLen,
 * keyLen, ivLen int): the third slice finds too few registers left, and stands on the stack, above the return address.
 */
SEC("uprobe.s")
int go_master(CONTEXT *ctx)
{
	__u32 number;
	__u64 slice[2] = {0};
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_MASTER, &number);
	if (!event)
		return 0;
	event->owner = GO_G(ctx);
	event->version = (__u16)GO0(ctx);
	int whole = copy(&event->suite, GO1(ctx), sizeof(event->suite)) && GO6(ctx) == PROBE_RANDOM &&
	            copy(event->random, GO5(ctx), PROBE_RANDOM) && copy(slice, STACK(ctx) + 8, sizeof(slice)) &&
	            slice[1] == PROBE_RANDOM && copy(event->server_random, slice[0], PROBE_RANDOM) &&
	            copy_secret(event, GO2(ctx), GO3(ctx));
	return commit(about, event, number, whole);
}

/* func hostnameInSNI(name string) string */
SEC("uprobe.s")
int go_name(CONTEXT *ctx)
{
	__u32 number;
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_NAME, &number);
	if (!event)
		return 0;
	event->owner = GO_G(ctx);
	return commit(about, event, number, copy_text(event, GO0(ctx), GO1(ctx)));
}

/* func (m *clientHelloMsg) unmarshal(data []byte) bool */
SEC("uprobe.s")
int go_hello(CONTEXT *ctx)
{
	__u32 number;
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_HELLO, &number);
	if (!event)
		return 0;
	event->owner = GO_G(ctx);
	return commit(about, event, number, copy_text(event, GO1(ctx), GO2(ctx)));
}

/*
 * int nss_keylog_int(const char *prefix, SSL *ssl, const uint8_t *parameter_1, size_t parameter_1_len, const uint8_t
 * *parameter_2, size_t parameter_2_len). Of a text that ends with NUL it is not known how far it may be read: its first
 * octets fetch the memory, then it is read up to its end.
 */
SEC("uprobe.s")
int ssl_line(CONTEXT *ctx)
{
	__u32 number;
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_LINE, &number);
	if (!event)
		return 0;
	event->owner = C1(ctx);
	int whole = C3(ctx) == PROBE_RANDOM && copy(event->random, C2(ctx), PROBE_RANDOM) &&
	            copy(event->text, C0(ctx), 1) && copy_secret(event, C4(ctx), C5(ctx));
	long len = bpf_probe_read_user_str(event->text, 64, (const void *)C0(ctx));
	event->text_len = len > 0 ? (__u16)(len - 1) : 0;
	return commit(about, event, number, whole && len > 0);
}

/*
 * static int derive_secret_key_and_iv(SSL *s, int sending, const EVP_MD *md, const EVP_CIPHER *ciph, ...); from 3.2 on
 * without `sending`. The first field of both is their number in OpenSSL.
 */
SEC("uprobe.s")
int ssl_suite(CONTEXT *ctx)
{
	__u32 number;
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_CIPHER, &number);
	if (!event)
		return 0;
	event->owner = C0(ctx);
	event->ciphers[0] = event->ciphers[1] = 0;
	int whole = copy(&event->ciphers[0], C2(ctx), sizeof(__s32));
	if (!copy(&event->ciphers[1], C3(ctx), sizeof(__s32)))
		event->ciphers[1] = 0;
	return commit(about, event, number, whole);
}

SEC("raw_tp/sched_process_exec")
int became(void *ctx)
{
	__u32 number;
	struct probe_state *about;
	struct probe_event *event = begin(&about, PROBE_EXEC, &number);
	(void)ctx;
	return event ? commit(about, event, number, 1) : 0;
}

/* Run by the run itself, once: its own number. */
SEC("raw_tp")
int whoami(void *ctx)
{
	struct probe_state *about = get_state();
	(void)ctx;
	if (about)
		about->run = (__u32)(bpf_get_current_pid_tgid() >> 32);
	return 0;
}
