/* cli/collect_parts.h — the actions of overt collect that have a file of their own. */
#ifndef CLI_COLLECT_PARTS_H
#define CLI_COLLECT_PARTS_H

/* argv[0] is "fetch". The exit code. */
int collect_fetch(int argc, char **argv);
/* Prints its options. */
void collect_fetch_help(void);

/* argv[0] is "bus". The exit code. */
int collect_bus(int argc, char **argv);
void collect_bus_help(void);

#endif
