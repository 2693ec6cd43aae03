#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "version") == 0)
		return puts("overt " OVERT_VERSION) < 0;
	fprintf(stderr, "overt: no such verb\n");
	return 2;
}
