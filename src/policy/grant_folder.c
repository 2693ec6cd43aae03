#include "policy/grant_folder.h"

#include "pki/file.h"
#include "policy/grant_entry.h"

#include <dirent.h>
#include <sys/stat.h>

#define YOUNG_NS UINT64_C(100000000) /* between looks at a folder that has just changed */

static bool ends(const char *name, const char *with)
{
	size_t len = strlen(name), tail = strlen(with);
	return len > tail && strcmp(name + len - tail, with) == 0;
}

static void add_file(struct grant_folder *folder, struct grant_set *set, const char *name)
{
	char path[FILE_PATH_MAX];
	struct file_bytes file = {0};
	struct error err;
	bool ok = file_join(path, folder->path, name, &err) && file_read(path, GRANT_FILE_MAX, &file, NULL, &err) &&
	          grant_set_add_note(
			  set, bytes_of(file.data, file.len), name, folder->signers, folder->signer_count, &err);
	file_bytes_free(&file);
	if (ok)
		return;
	folder->errors++;
	if (folder->bad)
		folder->bad(folder->arg, err.text);
}

struct grant_set *grant_folder_read(struct grant_folder *folder, uint64_t now_ns, struct error *err)
{
	struct stat about;
	const struct dirent *one;
	struct grant_set *set = grant_set_new();
	if (!set) {
		error_set(err, "no memory for grants");
		return NULL;
	}
	/* Its time before its files: what comes meanwhile is seen the next time. */
	DIR *all = stat(folder->path, &about) == 0 ? opendir(folder->path) : NULL;
	if (!all) {
		grant_set_free(set);
		error_set_errno(err, "%s", folder->path);
		return NULL;
	}
	folder->changed = about.st_mtim;
	folder->read_ns = now_ns;
	/* A revoked grant stands in both files; which comes first does not matter. */
	while ((one = readdir(all))) {
		if (one->d_name[0] != '.' && (ends(one->d_name, ".grant") || ends(one->d_name, ".revoked")))
			add_file(folder, set, one->d_name);
	}
	closedir(all);
	return set;
}

bool grant_folder_stale(const struct grant_folder *folder, int64_t wall_s, uint64_t now_ns)
{
	struct stat now;
	if (stat(folder->path, &now) != 0)
		return false;
	if (now.st_mtim.tv_sec != folder->changed.tv_sec || now.st_mtim.tv_nsec != folder->changed.tv_nsec)
		return true;
	int64_t age_s = wall_s - (int64_t)now.st_mtim.tv_sec;
	return age_s >= 0 && age_s <= 1 && now_ns - folder->read_ns >= YOUNG_NS;
}

struct append {
	bool (*append)(void *arg, const struct audit_entry *entry);
	void *arg;
};

static bool append_grant(const struct append *to, const struct grant *grant)
{
	struct grant_texts texts;
	struct audit_entry entry;
	entry_of_grant(grant, &texts, &entry);
	return to->append(to->arg, &entry);
}

static bool append_end(const struct append *to, const struct grant *grant, const char *reason)
{
	struct grant_texts texts;
	struct audit_entry entry;
	entry_of_revocation(grant, reason, &texts, &entry);
	return to->append(to->arg, &entry);
}

bool grant_folder_changes(const struct grant_set *old, const struct grant_set *fresh,
	bool (*append)(void *arg, const struct audit_entry *entry), void *arg)
{
	const struct append to = {append, arg};
	const struct grant *grant;
	bool ok = true;
	for (size_t i = 0; ok && (grant = grant_set_at(fresh, i)); i++) {
		const struct grant_revocation *revoked = grant_set_revoked(fresh, grant->id);
		if (!old || !grant_set_find(old, grant->id))
			ok = append_grant(&to, grant);
		if (ok && revoked && (!old || !grant_set_revoked(old, grant->id)))
			ok = append_end(&to, grant, revoked->reason);
	}
	for (size_t i = 0; ok && old && (grant = grant_set_at(old, i)); i++) {
		if (!grant_set_find(fresh, grant->id) && !grant_set_revoked(old, grant->id))
			ok = append_end(&to, grant, "its file is no longer there");
	}
	return ok;
}
