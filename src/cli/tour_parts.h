/*
 * cli/tour_parts.h — what the steps of `overt tour` share: a folder of their own, an HTTPS server on loopback, and programs
 * that are run in that folder. Nothing of it outlives the tour, unless the folder is to be kept.
 */
#ifndef CLI_TOUR_PARTS_H
#define CLI_TOUR_PARTS_H

#include "base/buffer.h"
#include "base/error.h"
#include "explain/story.h"
#include "pki/file.h"

#include <sys/types.h>

#define TOUR_WORDS    40                           /* of a command */
#define TOUR_SAID_MAX ((size_t)1024 * 1024)        /* octets kept of what a program says on one stream */
#define TOUR_WAIT_NS  ((uint64_t)60 * 1000000000U) /* for a program to end, or to say that it is ready */

struct tour {
	struct story *story;
	char dir[FILE_PATH_MAX];  /* the tour's own folder */
	char self[FILE_PATH_MAX]; /* this program */
	uint16_t port;            /* of its server, at 127.0.0.1 */
	pid_t server;             /* 0: none */
	int stop_fd;              /* readable once the tour is to end */
};

/* tour_run.c: programs, run in the tour's folder with nothing of the user's settings for proxies and homes. */

/* A command as an array of words. "overt" as the first stands for this program. */
struct tour_command {
	const char *word[TOUR_WORDS + 1];
	size_t count;
};

/* Splits at blanks; the words are views of `text`, whose blanks become NUL. False when there are too many. */
must_check bool tour_split(char *text, struct tour_command *out);

struct tour_said {
	struct buffer out, err;
	int code; /* as a shell has it: 128 + signal */
};

void tour_said_clear(struct tour_said *said);
/* Runs the command, given as one text with single blanks, to its end. Says it in the story as the one that repeats it. */
must_check bool tour_run(struct tour *tour, const char *command, struct tour_said *said, struct error *err);
/* As tour_run, and not told. */
must_check bool tour_run_quietly(struct tour *tour, const char *command, struct tour_said *said, struct error *err);

struct tour_program {
	pid_t pid; /* 0: none */
	int err_fd;
	struct buffer err; /* what it said until it was ready */
};

/* Starts it, and waits until a line of its standard error holds `ready`. False with err set, and nothing running. */
must_check bool tour_begin(
	struct tour *tour, const char *command, const char *ready, struct tour_program *out, struct error *err);
/* SIGTERM, then its end. Also where nothing runs. */
void tour_end(struct tour *tour, struct tour_program *program);
/* The tour was told to stop (SIGINT, SIGTERM). */
must_check bool tour_stopped(const struct tour *tour);

/* tour_room.c: the folder. */

/* Makes tour->dir: `keep`, which must be new or empty, or where NULL a temporary one. */
must_check bool tour_room_make(struct tour *tour, const char *keep, struct error *err);
/* Removes it with all that is in it. Follows no links. */
void tour_room_remove(struct tour *tour);
/* "NAME in the folder" into `out`; false with err set when that is too long. */
must_check bool tour_path(const struct tour *tour, const char *name, char out[FILE_PATH_MAX], struct error *err);
must_check bool tour_write(const struct tour *tour, const char *name, struct bytes content, struct error *err);

/* tour_server.c: an HTTPS server of stock OpenSSL for "localhost", in a process of its own. */

/* Makes ca.pem and server.pem in the folder, and listens on a port of the kernel's choice, which it writes to "port". */
must_check bool tour_server_begin(struct tour *tour, struct error *err);
void tour_server_end(struct tour *tour);
/* Serves what tour_server_begin made and a tour kept in `dir`, at the same port, until a signal. Returns an exit code. */
must_check int tour_serve(const char *dir);

/* The steps, one file each. False with err set where a step cannot be run; what went otherwise than told is in the story. */
must_check bool tour_dropout(struct tour *tour, struct error *err);
must_check bool tour_split_step(struct tour *tour, struct error *err);
must_check bool tour_share_step(struct tour *tour, struct error *err);
must_check bool tour_accord(struct tour *tour, struct error *err);
must_check bool tour_lossy(struct tour *tour, struct error *err);
must_check bool tour_log(struct tour *tour, struct error *err);

#endif
