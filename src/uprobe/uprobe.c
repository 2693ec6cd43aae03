#include "uprobe/uprobe.h"

#include "uprobe/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCKDOWN_FILE "/sys/kernel/security/lockdown"
#define TYPES_FILE    "/sys/kernel/btf/vmlinux"
#define UPROBES       "/sys/bus/event_source/devices/uprobe"

/* A file in which probes stand, as it was when they were placed. */
struct file {
	dev_t device;
	ino_t inode;
	struct timespec changed;
	struct bpf_link *links[TARGET_PROBES];
	size_t link_count;
};

struct uprobe {
	struct bpf_object *object;
	struct ring_buffer *bell;
	struct probe_event *slots; /* the kernel's own */
	int state;
	struct bpf_link *exec;
	struct file files[UPROBE_FILES_MAX];
	size_t file_count;
	uint64_t events;
	/* Of uprobe_fetch. */
	void (*take)(void *arg, const struct probe_event *event);
	void *arg;
};

static const char *const programs[TARGET_PROBES] = {
	[TARGET_GO_LINE] = "go_line",
	[TARGET_GO_SUITE] = "go_suite",
	[TARGET_GO_MASTER] = "go_master",
	[TARGET_GO_NAME] = "go_name",
	[TARGET_GO_HELLO] = "go_hello",
	[TARGET_SSL_LINE] = "ssl_line",
	[TARGET_SSL_SUITE] = "ssl_suite",
};

#define SLOTS_OCTETS (PROBE_SLOTS * sizeof(struct probe_event))

/* What libbpf would say to standard error says less than explain does. */
static int be_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static bool locked_down(void)
{
	char text[128] = "";
	FILE *file = fopen(LOCKDOWN_FILE, "re");
	if (!file)
		return false;
	bool read = fgets(text, sizeof(text), file) != NULL;
	fclose(file);
	return read && strstr(text, "[confidentiality]") != NULL;
}

/* What is missing. */
static bool explain(struct error *err, int code)
{
	if (code == EPERM || code == EACCES)
		return error_set(err, "probes need root, or the right CAP_SYS_ADMIN");
	if (locked_down())
		return error_set(err, "this kernel is locked down: probes may not read");
	if (access(UPROBES, F_OK) != 0)
		return error_set(err, "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)");
	if (access(TYPES_FILE, R_OK) != 0)
		return error_set(err, "this kernel does not tell its types (CONFIG_DEBUG_INFO_BTF)");
	errno = code;
	return error_set_errno(err, "this kernel does not take the probes (Linux 6.1 or later does)");
}

static int map_fd(const struct uprobe *uprobe, const char *name)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(uprobe->object, name);
	return map ? bpf_map__fd(map) : -1;
}

static bool load(struct uprobe *uprobe, struct error *err)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "overt");
	libbpf_set_print(be_quiet);
	uprobe->object = bpf_object__open_mem(uprobe_object, uprobe_object_len, &options);
	if (!uprobe->object)
		return error_set_errno(err, "the probes cannot be read");
	int code = bpf_object__load(uprobe->object);
	return code == 0 || explain(err, -code);
}

/* The kernel's number of this process is not the one that its PID namespace gives it. */
static bool introduce(struct uprobe *uprobe, struct error *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);
	struct stat names;
	uint32_t zero = 0;
	uprobe->state = map_fd(uprobe, "state");
	if (stat("/proc/self/ns/pid", &names) != 0)
		return error_set_errno(err, "/proc/self/ns/pid");
	struct probe_state state = {.device = names.st_dev, .inode = names.st_ino};
	const struct bpf_program *whoami = bpf_object__find_program_by_name(uprobe->object, "whoami");
	if (!whoami || bpf_map_update_elem(uprobe->state, &zero, &state, BPF_ANY) != 0 ||
		bpf_prog_test_run_opts(bpf_program__fd(whoami), &options) != 0)
		return explain(err, errno);
	return true;
}

static int fetch_one(void *ctx, void *data, size_t size)
{
	struct uprobe *uprobe = ctx;
	uint32_t number;
	if (size < sizeof(number))
		return 0;
	memcpy(&number, data, sizeof(number));
	struct probe_event *slot = &uprobe->slots[number % PROBE_SLOTS];
	struct probe_event event = *slot;
	/* Lengths are the kernel's own doing; the slot is free once `full` is cleared. */
	explicit_bzero((char *)slot + sizeof(slot->full), sizeof(*slot) - sizeof(slot->full));
	__atomic_store_n(&slot->full, 0, __ATOMIC_RELEASE);
	if (event.text_len > PROBE_TEXT || event.secret_len > PROBE_SECRET)
		event.kind = 0;
	event.program[sizeof(event.program) - 1] = '\0';
	uprobe->events++;
	if (uprobe->take)
		uprobe->take(uprobe->arg, &event);
	explicit_bzero(&event, sizeof(event));
	return 0;
}

static bool share_memory(struct uprobe *uprobe, struct error *err)
{
	void *slots = mmap(NULL, SLOTS_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(uprobe, "slots"), 0);
	if (slots == MAP_FAILED)
		return error_set_errno(err, "no memory that is shared with the probes");
	uprobe->slots = slots;
	(void)madvise(slots, SLOTS_OCTETS, MADV_DONTDUMP);
	uprobe->bell = ring_buffer__new(map_fd(uprobe, "bell"), fetch_one, uprobe, NULL);
	return uprobe->bell || error_set_errno(err, "no bell for the probes");
}

static bool follow(struct uprobe *uprobe, struct error *err)
{
	const struct bpf_program *became = bpf_object__find_program_by_name(uprobe->object, "became");
	uprobe->exec = became ? bpf_program__attach_raw_tracepoint(became, "sched_process_exec") : NULL;
	return uprobe->exec || explain(err, errno);
}

struct uprobe *uprobe_new(struct error *err)
{
	struct uprobe *uprobe = calloc(1, sizeof(*uprobe));
	if (!uprobe) {
		error_set(err, "no memory for probes");
		return NULL;
	}
	uprobe->state = -1;
	if (load(uprobe, err) && introduce(uprobe, err) && share_memory(uprobe, err) && follow(uprobe, err))
		return uprobe;
	uprobe_free(uprobe);
	return NULL;
}

static void take_away(struct file *file)
{
	for (size_t i = 0; i < file->link_count; i++)
		bpf_link__destroy(file->links[i]);
	file->link_count = 0;
}

void uprobe_free(struct uprobe *uprobe)
{
	if (!uprobe)
		return;
	for (size_t i = 0; i < uprobe->file_count; i++)
		take_away(&uprobe->files[i]);
	bpf_link__destroy(uprobe->exec);
	ring_buffer__free(uprobe->bell);
	if (uprobe->slots) {
		explicit_bzero(uprobe->slots, SLOTS_OCTETS);
		munmap(uprobe->slots, SLOTS_OCTETS);
	}
	bpf_object__close(uprobe->object);
	free(uprobe);
}

static bool attach_one(
	struct uprobe *uprobe, struct file *file, const char *path, const struct target_point *point, struct error *err)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options);
	const struct bpf_program *program = bpf_object__find_program_by_name(uprobe->object, programs[point->probe]);
	struct bpf_link *link =
		program ? bpf_program__attach_uprobe_opts(program, -1, path, (size_t)point->offset, &options) : NULL;
	if (!link)
		return explain(err, errno);
	file->links[file->link_count++] = link;
	return true;
}

/* NULL: no probes stand in it. */
static struct file *find(struct uprobe *uprobe, const struct stat *about)
{
	for (size_t i = 0; i < uprobe->file_count; i++) {
		if (uprobe->files[i].device == about->st_dev && uprobe->files[i].inode == about->st_ino)
			return &uprobe->files[i];
	}
	return NULL;
}

/* Where its functions were, something else may stand by now. */
static bool has_changed(const struct file *file, const struct stat *about)
{
	return file->changed.tv_sec != about->st_ctim.tv_sec || file->changed.tv_nsec != about->st_ctim.tv_nsec;
}

static void forget(struct uprobe *uprobe, struct file *file)
{
	take_away(file);
	*file = uprobe->files[--uprobe->file_count];
}

void uprobe_detach_changed(struct uprobe *uprobe, int fd)
{
	struct stat about;
	struct file *file = fstat(fd, &about) == 0 ? find(uprobe, &about) : NULL;
	if (file && has_changed(file, &about))
		forget(uprobe, file);
}

bool uprobe_attach(struct uprobe *uprobe, int fd, const struct target *target, struct error *err)
{
	char path[48];
	struct stat about;
	uprobe_detach_changed(uprobe, fd);
	if (fstat(fd, &about) != 0)
		return error_set_errno(err, "the program's file");
	if (find(uprobe, &about))
		return true;
	if (uprobe->file_count == UPROBE_FILES_MAX)
		return error_set(err, "there are probes in %d programs already", UPROBE_FILES_MAX);
	struct file *file = &uprobe->files[uprobe->file_count++];
	*file = (struct file){.device = about.st_dev, .inode = about.st_ino, .changed = about.st_ctim};
	/* The very file, whatever its name stands for by now, and in whichever mount namespace. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bool ok = true;
	for (size_t i = 0; ok && i < target->count; i++)
		ok = attach_one(uprobe, file, path, &target->points[i], err);
	if (!ok)
		forget(uprobe, file);
	return ok;
}

unsigned uprobe_files(const struct uprobe *uprobe)
{
	return (unsigned)uprobe->file_count;
}

int uprobe_fd(const struct uprobe *uprobe)
{
	return ring_buffer__epoll_fd(uprobe->bell);
}

void uprobe_fetch(struct uprobe *uprobe, void (*take)(void *arg, const struct probe_event *event), void *arg)
{
	uprobe->take = take;
	uprobe->arg = arg;
	(void)ring_buffer__consume(uprobe->bell);
	uprobe->take = NULL;
}

struct uprobe_counts uprobe_count(const struct uprobe *uprobe)
{
	struct probe_state state = {0};
	uint32_t zero = 0;
	(void)bpf_map_lookup_elem(uprobe->state, &zero, &state);
	return (struct uprobe_counts){
		.events = uprobe->events, .dropped = state.dropped, .unreadable = state.unreadable};
}
