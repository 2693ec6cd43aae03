#include "share/granting.h"

#include "base/log.h"
#include "pki/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct place {
	uint8_t grant[RELEASE_GRANT];
	struct sealer *sealer;
	bool ended; /* by the collector */
};

struct granting {
	const char *folder;
	const struct grant_signer *signers;
	size_t signer_count;
	struct grant_set *set;
	struct timespec changed;
	struct place places[GRANT_MAX];
	size_t place_count;
};

static bool ends(const char *name, const char *with)
{
	size_t len = strlen(name), tail = strlen(with);
	return len > tail && strcmp(name + len - tail, with) == 0;
}

/* A bad file is left out and said, the others count: a grant that cannot be read gives nothing to anybody. */
static void add_file(const struct granting *granting, struct grant_set *set, const char *name)
{
	char path[FILE_PATH_MAX];
	struct file_bytes file = {0};
	struct error err;
	bool ok = file_join(path, granting->folder, name, &err) && file_read(path, GRANT_FILE_MAX, &file, NULL, &err) &&
	          grant_set_add_note(
			  set, bytes_of(file.data, file.len), name, granting->signers, granting->signer_count, &err);
	file_bytes_free(&file);
	if (!ok)
		log_error("grant not taken", LOG_S("why", err.text));
}

/* The time of the folder is taken before it is read: what comes meanwhile is seen the next time. */
static bool read_folder(struct granting *granting, struct error *err)
{
	struct stat about;
	const struct dirent *one;
	struct grant_set *set = grant_set_new();
	DIR *folder = set && stat(granting->folder, &about) == 0 ? opendir(granting->folder) : NULL;
	if (!folder) {
		grant_set_free(set);
		return error_set_errno(err, "%s", granting->folder);
	}
	while ((one = readdir(folder))) {
		if (one->d_name[0] != '.' && (ends(one->d_name, ".grant") || ends(one->d_name, ".revoked")))
			add_file(granting, set, one->d_name);
	}
	closedir(folder);
	grant_set_free(granting->set);
	granting->set = set;
	granting->changed = about.st_mtim;
	return true;
}

struct granting *granting_new(const char *folder, const struct grant_signer *signers, size_t count, struct error *err)
{
	struct granting *granting = calloc(1, sizeof(*granting));
	if (!granting) {
		error_set(err, "no memory for grants");
		return NULL;
	}
	*granting = (struct granting){.folder = folder, .signers = signers, .signer_count = count};
	if (read_folder(granting, err))
		return granting;
	granting_free(granting);
	return NULL;
}

void granting_free(struct granting *granting)
{
	if (!granting)
		return;
	for (size_t i = 0; i < granting->place_count; i++)
		sealer_free(granting->places[i].sealer);
	grant_set_free(granting->set);
	free(granting);
}

void granting_refresh(struct granting *granting)
{
	struct stat about;
	struct error err;
	if (stat(granting->folder, &about) == 0 && about.st_mtim.tv_sec == granting->changed.tv_sec &&
		about.st_mtim.tv_nsec == granting->changed.tv_nsec)
		return;
	if (!read_folder(granting, &err))
		log_error("grants not read again", LOG_S("why", err.text), LOG_S("in-force", "those read before"));
}

/* NULL when there are too many, or no memory. */
static struct place *place_of(struct granting *granting, const uint8_t id[static RELEASE_GRANT])
{
	for (size_t i = 0; i < granting->place_count; i++) {
		if (memcmp(granting->places[i].grant, id, RELEASE_GRANT) == 0)
			return &granting->places[i];
	}
	if (granting->place_count == GRANT_MAX)
		return NULL;
	struct place *place = &granting->places[granting->place_count++];
	memcpy(place->grant, id, RELEASE_GRANT);
	return place;
}

void granting_end(struct granting *granting, const uint8_t id[static RELEASE_GRANT])
{
	struct place *place = place_of(granting, id);
	if (place)
		place->ended = true;
}

size_t granting_seal(struct granting *granting, struct release *release, int64_t wall_s, uint64_t now_ns,
	void (*give)(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed),
	void *arg)
{
	uint8_t room[SEAL_MAX];
	const struct grant *grant;
	size_t count = 0;
	for (size_t i = 0; (grant = grant_set_at(granting->set, i)); i++) {
		struct place *place = place_of(granting, grant->id);
		struct writer to = writer_over(room, sizeof(room));
		memcpy(release->grant, grant->id, RELEASE_GRANT);
		if (!place || place->ended || grant_set_revoked(granting->set, grant->id) ||
			grant_judge(grant, release, wall_s) != GRANT_ALLOWS)
			continue;
		if (!place->sealer)
			place->sealer = sealer_new(grant->public_key, 0);
		if (!place->sealer || sealer_seal(place->sealer, now_ns, release, &to) != SEAL_OK)
			continue;
		give(arg, grant, release, bytes_of(room, to.len));
		count++;
	}
	return count;
}
