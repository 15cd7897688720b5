/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for NVIDIA's management library, of the shape that insula-nvml calls. What it tells stands in a file beside it,
 * "<library>.conf", a line each:
 *
 *   driver VERSION | init STATUS | hang | crash
 *   card uuid=U name=N total=B free=B minor=M pci=P [mig=on|off] [status=S] [link=PCI]... [process=PID:BYTES]... [part=UUID:NAME:BYTES]...
 *
 * An underscore in a name stands for a space.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 16

struct card {
	char uuid[96], name[96], pci[32], mig[8], links[MOST][32];
	unsigned long long total, free, used_by[MOST];
	unsigned minor, pids[MOST], links_n, pids_n, parts_n;
	int status;
	struct card *parts[MOST];
};
struct memory { uint64_t total, free, used; };
struct pci { char bus_legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; };
struct process { unsigned pid; uint64_t memory; unsigned gpu_instance, compute_instance; };

static struct card cards[MOST];
static unsigned cards_n;
static char driver[80];

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	for (char *p = to; *p; p++)
		if (*p == '_')
			*p = ' ';
}

static void word_read(struct card *card, char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		abort();
	*value++ = '\0';
	if (!strcmp(word, "uuid"))
		copy(card->uuid, sizeof(card->uuid), value);
	else if (!strcmp(word, "name"))
		copy(card->name, sizeof(card->name), value);
	else if (!strcmp(word, "total"))
		card->total = strtoull(value, NULL, 10);
	else if (!strcmp(word, "free"))
		card->free = strtoull(value, NULL, 10);
	else if (!strcmp(word, "minor"))
		card->minor = (unsigned)strtoul(value, NULL, 10);
	else if (!strcmp(word, "pci"))
		copy(card->pci, sizeof(card->pci), value);
	else if (!strcmp(word, "mig"))
		copy(card->mig, sizeof(card->mig), value);
	else if (!strcmp(word, "status"))
		card->status = atoi(value);
	else if (!strcmp(word, "link"))
		copy(card->links[card->links_n++], sizeof(card->links[0]), value);
	else if (!strcmp(word, "process"))
		card->used_by[card->pids_n] = strtoull(strchr(value, ':') + 1, NULL, 10), card->pids[card->pids_n++] = (unsigned)strtoul(value, NULL, 10);
	else if (!strcmp(word, "part")) {
		struct card *part = calloc(1, sizeof(*part));
		char *name = strchr(value, ':'), *bytes = strrchr(value, ':');

		*name++ = *bytes++ = '\0';
		copy(part->uuid, sizeof(part->uuid), value);
		copy(part->name, sizeof(part->name), name);
		part->total = part->free = strtoull(bytes, NULL, 10);
		card->parts[card->parts_n++] = part;
	} else {
		abort();
	}
}

int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
	Dl_info info;
	char path[4096], line[4096];
	int status = 0;
	FILE *file;

	if (!dladdr((void *)&cards_n, &info))
		abort();
	snprintf(path, sizeof(path), "%s.conf", info.dli_fname);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		char *rest = line, *word = strsep(&rest, " \n");

		if (!strcmp(word, "hang"))
			pause();
		else if (!strcmp(word, "crash"))
			raise(SIGSEGV);
		else if (!strcmp(word, "init"))
			status = atoi(rest);
		else if (!strcmp(word, "driver"))
			snprintf(driver, sizeof(driver), "%.*s", (int)strcspn(rest, "\n"), rest);
		else if (!strcmp(word, "card")) {
			while ((word = strsep(&rest, " \n")))
				if (*word)
					word_read(&cards[cards_n], word);
			cards_n++;
		}
	}
	if (file)
		fclose(file);
	return status;
}

#define CALL(name, ...) int name(__VA_ARGS__); int name(__VA_ARGS__)

CALL(nvmlShutdown, void) { return 0; }
CALL(nvmlSystemGetDriverVersion, char *text, unsigned size) { snprintf(text, size, "%s", driver); return 0; }
CALL(nvmlDeviceGetCount_v2, unsigned *n) { *n = cards_n; return 0; }
CALL(nvmlDeviceGetHandleByIndex_v2, unsigned i, struct card **card) { *card = &cards[i]; return cards[i].status; }
CALL(nvmlDeviceGetName, struct card *card, char *text, unsigned size) { snprintf(text, size, "%s", card->name); return 0; }
CALL(nvmlDeviceGetUUID, struct card *card, char *text, unsigned size) { snprintf(text, size, "%s", card->uuid); return 0; }
CALL(nvmlDeviceGetMinorNumber, struct card *card, unsigned *minor) { *minor = card->minor; return 0; }
CALL(nvmlDeviceGetMemoryInfo, struct card *card, struct memory *memory) { *memory = (struct memory){ card->total, card->free, card->total - card->free }; return 0; }
CALL(nvmlDeviceGetPciInfo_v3, struct card *card, struct pci *pci) { memcpy(pci->bus_id, card->pci, sizeof(pci->bus_id)); return 0; }
CALL(nvmlDeviceGetMigMode, struct card *card, unsigned *now, unsigned *next) { *now = *next = !strcmp(card->mig, "on"); return *card->mig ? 0 : 3; }
CALL(nvmlDeviceGetMaxMigDeviceCount, struct card *card, unsigned *n) { (void)card; *n = 7; return 0; }
CALL(nvmlDeviceGetMigDeviceHandleByIndex, struct card *card, unsigned i, struct card **part) { *part = i < card->parts_n ? card->parts[i] : NULL; return *part ? 0 : 6; }
CALL(nvmlDeviceGetNvLinkState, struct card *card, unsigned link, unsigned *active) { *active = link < card->links_n; return link < MOST ? 0 : 2; }
CALL(nvmlDeviceGetNvLinkRemotePciInfo_v2, struct card *card, unsigned link, struct pci *pci) { memcpy(pci->bus_id, card->links[link], sizeof(card->links[0])); return 0; }

CALL(nvmlDeviceGetComputeRunningProcesses_v3, struct card *card, unsigned *n, struct process *processes)
{
	if (*n < card->pids_n)
		return 7;
	*n = card->pids_n;
	for (unsigned i = 0; i < *n; i++)
		processes[i] = (struct process){ .pid = card->pids[i], .memory = card->used_by[i] };
	return 0;
}

const char *nvmlErrorString(int status);
const char *nvmlErrorString(int status)
{
	return status == 18 ? "Driver/library version mismatch" : status == 15 ? "GPU is lost" : status == 9 ? "Driver Not Loaded" : "Unknown Error";
}
