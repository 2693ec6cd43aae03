/*
 * Prints the plaintext of one TLS connection: decrypt KEYLOG CLIENT SERVER, where CLIENT and SERVER hold the TCP payload
 * of each direction. What cannot be read stands as [gap of N octets].
 */
#include <overt/decrypt.h>

#include <stdio.h>
#include <stdlib.h>

static void on_data(void *arg, void *user, enum overt_sender sender, uint64_t offset, const uint8_t *octets, size_t len,
	uint64_t time_ns)
{
	(void)arg, (void)user, (void)sender, (void)offset, (void)time_ns;
	fwrite(octets, 1, len, stdout);
}

static void on_gap(void *arg, void *user, enum overt_sender sender, uint64_t offset, uint64_t octets, uint64_t time_ns)
{
	(void)arg, (void)user, (void)sender, (void)offset, (void)time_ns;
	printf("[gap of %llu octets]\n", (unsigned long long)octets);
}

static char *read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
	char *octets = size >= 0 ? malloc((size_t)size + 1) : NULL;
	if (!octets)
		exit((perror(path), 1));
	rewind(file);
	*len = fread(octets, 1, (size_t)size, file);
	fclose(file);
	return octets;
}

int main(int argc, char **argv)
{
	/* All that the client said comes before the server's first octet, so it must be allowed to wait. */
	struct overt_decryptor_options options = {.events = {.data = on_data, .gap = on_gap}, .keys_final = true};
	options.wait_connection = options.wait_total = SIZE_MAX;
	char *octets[3];
	size_t len[3];
	if (argc != 4)
		return fprintf(stderr, "decrypt KEYLOG CLIENT SERVER\n"), 2;
	for (int i = 0; i < 3; i++)
		octets[i] = read_file(argv[i + 1], &len[i]);
	struct overt_decryptor *decryptor = overt_decryptor_new(&options);
	struct overt_connection *connection = decryptor ? overt_connection_new(decryptor, NULL, true) : NULL;
	if (!connection)
		return 1;
	overt_decryptor_keys(decryptor, octets[0], len[0]);
	overt_connection_data(connection, OVERT_CLIENT, octets[1], len[1], 0);
	overt_connection_data(connection, OVERT_SERVER, octets[2], len[2], 0);
	overt_connection_close(connection, 0);
	bool all = overt_connection_outcome(connection).verdict == OVERT_DECRYPTED;
	fprintf(stderr, "%s\n", all ? "all of it" : overt_connection_outcome(connection).cause);
	overt_connection_free(connection);
	overt_decryptor_free(decryptor);
	return all ? 0 : 1;
}
