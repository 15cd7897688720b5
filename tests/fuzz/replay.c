/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over each file of its corpus, and over every cut of it and every file with
 * one byte changed, as far as that stays quick: a parser meets torn files more often than any other.
 */
#include "base/base.h"
#include "base/fs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE_LIMIT ((size_t)1 << 20)
#define VARIANTS_SIZE_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void run(const char *data, size_t n)
{
	uint8_t *copy = xmalloc(n);	/* exactly as large, so that a read behind the end is seen */

	memcpy(copy, data, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void run_variants(char *data, size_t n)
{
	static const char changes[] = { 0, '\n', ' ', '-', ':', '{', '"', '9', (char)0xff };

	for (size_t i = 0; i < n; i++) {
		char was = data[i];

		run(data, i);
		for (size_t j = 0; j < sizeof(changes); j++) {
			data[i] = changes[j];
			run(data, n);
		}
		data[i] = was;
	}
}

int main(int argc, char **argv)
{
	struct dirent **files;
	int n = argc == 2 ? scandir(argv[1], &files, NULL, alphasort) : -1, count = 0;

	if (n < 0) {
		printf("1..1\nnot ok 1 - no corpus folder\n");
		return 1;
	}
	for (int i = 0; i < n; i++) {
		autofree char *path = fs_join(argv[1], files[i]->d_name), *data = NULL;
		struct error err = { 0 };
		size_t size = 0;

		free(files[i]);
		if (fs_is_dir(path))
			continue;
		if (fs_read_file(path, SIZE_LIMIT, &data, &size, &err) < 0) {
			printf("not ok %d - %s\n", ++count, err.message);
			continue;
		}
		printf("# %s\n", path);	/* the last one named is the one that ended the program */
		fflush(stdout);
		run(data, size);
		if (size <= VARIANTS_SIZE_MAX)
			run_variants(data, size);
		printf("ok %d - %s\n", ++count, strrchr(path, '/') + 1);
	}
	free(files);
	printf("1..%d\n", count);
	return count ? 0 : 1;
}
