#include "base/sandbox.h"

#include "base/bytes.h"
#include "base/text.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool sandbox_possible(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
	return false;
#else
	return true;
#endif
#else
	return true;
#endif
}

bool sandbox_prepare(struct error *err)
{
	/* localtime would read the zone's file at its first call, which the sandbox refuses. */
	tzset();
	const struct rlimit none = {0, 0};
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return error_set_errno(err, "cannot forbid core dumps");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, "cannot forbid tracing this process");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, "cannot forbid new privileges");
	return true;
}

bool sandbox_user_find(const char *name, struct sandbox_user *user, struct error *err)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char room[16384];
	uint64_t number;
	if (text_number(bytes_str(name), UINT32_MAX - 1, &number))
		(void)getpwuid_r((uid_t)number, &entry, room, sizeof(room), &found);
	else
		(void)getpwnam_r(name, &entry, room, sizeof(room), &found);
	if (!found)
		return error_set(err, "user %s is not known on this machine", name);
	*user = (struct sandbox_user){.uid = found->pw_uid, .gid = found->pw_gid};
	return true;
}

static bool become(const struct sandbox_user *user, struct error *err)
{
	if (getuid() == user->uid && geteuid() == user->uid && getgid() == user->gid && getegid() == user->gid)
		return true;
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
		setresuid(user->uid, user->uid, user->uid) < 0)
		return error_set_errno(
			err, "cannot become user %u, group %u", (unsigned)user->uid, (unsigned)user->gid);
	return true;
}

#define CAPABILITY_WORDS 2

static bool capabilities_get(struct __user_cap_data_struct data[CAPABILITY_WORDS])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	return syscall(SYS_capget, &header, data) == 0;
}

static bool capabilities_keep(uint32_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[CAPABILITY_WORDS] = {{.effective = kept, .permitted = kept}};
	return syscall(SYS_capset, &header, data) == 0;
}

bool sandbox_drop(const struct sandbox_user *user, bool transparent, struct error *err)
{
	const uint32_t net_admin = 1U << CAP_NET_ADMIN;
	struct __user_cap_data_struct held[CAPABILITY_WORDS];
	if (!capabilities_get(held))
		return error_set_errno(err, "cannot ask for the capabilities of this process");
	if (transparent && !(held[0].permitted & net_admin))
		return error_set(err,
			"transparent listeners with source addresses need CAP_NET_ADMIN: start as root, or "
			"give the program that capability");
	/* Without CAP_SETPCAP this fails, and then there is nothing that exec could give back: no_new_privs is set. */
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (transparent && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, "cannot keep CAP_NET_ADMIN");
	if (user && !become(user, err))
		return false;
	if (!capabilities_keep(transparent ? net_admin : 0))
		return error_set_errno(err, "cannot drop the capabilities of this process");
	/* Changing the user set it again. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, "cannot forbid tracing this process");
	return true;
}
