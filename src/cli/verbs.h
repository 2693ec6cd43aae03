/* cli/verbs.h — one function per verb: argv[0] is the verb, the result is the exit code (0 done, 1 failed, 2 misused). */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#define EXIT_MISUSE 2

int verb_accord(int argc, char **argv);
int verb_assess(int argc, char **argv);
int verb_ca(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_collect(int argc, char **argv);
int verb_exec(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_get(int argc, char **argv);
int verb_grant(int argc, char **argv);
int verb_help(int argc, char **argv);
int verb_local(int argc, char **argv);
int verb_log(int argc, char **argv);
int verb_proxy(int argc, char **argv);
int verb_refusals(int argc, char **argv);
int verb_tour(int argc, char **argv);
int verb_version(int argc, char **argv);
int verb_watch(int argc, char **argv);

#endif
