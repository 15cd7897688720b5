/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insula-nvml [LIBRARY]: prints what NVIDIA's management library says of this machine's GPUs, as one JSON object.
 *
 * How it works: a process of its own, because the library is the vendor's and talks to a driver that can be sick: it may hang or
 * crash, and then only this does. Whoever starts it has a deadline. The library is loaded by name at run time,
 * so that nothing of it is needed where there is no GPU. A card that fails is told as such; the others are told all the same.
 *
 *   {"driver": "550.54.15", "cards": [{"index": 0, "minor": 0, "uuid": "GPU-...", "model": "NVIDIA A100-SXM4-80GB", "pci": "00000000:07:00.0",
 *     "memory": bytes, "free": bytes, "mig": "none|off|on", "links": [pci of the other end, once a link],
 *     "parts": [{"uuid", "model", "memory"}], "processes": [{"pid", "memory": bytes or null}]}, {"index": 1, "error": "..."}]}
 *   {"reason": "absent|driver|mismatch|permission|other", "error": "..."}, and status 1
 *
 * Names, numbers and structures are those of nvml.h (NVIDIA, NVML API Reference Guide). Never run against a real card yet: a stub of the
 * library is what the tests have.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CARDS_MAX 256
#define LINKS_MAX 18		/* NVML_NVLINK_MAX_LINKS */
#define PARTS_MAX 16
#define PROCESSES_MAX 1024
#define TEXT 96			/* NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE */
#define UNKNOWN_MEMORY UINT64_MAX

enum status { SUCCESS = 0, NO_PERMISSION = 4, DRIVER_NOT_LOADED = 9, MISMATCH = 18 };

typedef struct device *device_t;
struct memory { uint64_t total, free, used; };
struct pci { char bus_legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; };
struct process { unsigned pid; uint64_t memory; unsigned gpu_instance, compute_instance; };
struct process_v1 { unsigned pid; uint64_t memory; };

typedef int (*processes_call)(device_t device, unsigned *n, void *processes);

static struct {
	int (*init)(void);
	int (*shutdown)(void);
	const char *(*error_string)(int status);
	int (*driver_version)(char *text, unsigned size);
	int (*count)(unsigned *n);
	int (*by_index)(unsigned index, device_t *device);
	int (*name)(device_t device, char *text, unsigned size);
	int (*uuid)(device_t device, char *text, unsigned size);
	int (*minor)(device_t device, unsigned *minor);
	int (*memory)(device_t device, struct memory *memory);
	int (*pci)(device_t device, struct pci *pci);
	/* not in every version */
	int (*mig_mode)(device_t device, unsigned *current, unsigned *pending);
	int (*mig_count)(device_t device, unsigned *n);
	int (*mig_by_index)(device_t device, unsigned index, device_t *part);
	int (*link_state)(device_t device, unsigned link, unsigned *active);
	int (*link_pci)(device_t device, unsigned link, struct pci *pci);
	processes_call compute, graphics;
	bool processes_v1;
} nvml;

/* JSON */

static void print_text(const char *text)
{
	putchar('"');
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < 0x20 || *p > 0x7e)
			printf("\\u%04x", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void fail(const char *reason, const char *text) __attribute__((noreturn));
static void fail(const char *reason, const char *text)
{
	printf("{\"reason\": \"%s\", \"error\": ", reason);
	print_text(text);
	puts("}");
	exit(fflush(stdout) ? 2 : 1);
}

/* The library */

struct wanted { void *place; const char *names[4]; bool needed; };

static void symbols_load(void *library)
{
	const struct wanted wanted[] = {
		{ &nvml.init, { "nvmlInit_v2", "nvmlInit" }, true },
		{ &nvml.shutdown, { "nvmlShutdown" }, true },
		{ &nvml.error_string, { "nvmlErrorString" }, true },
		{ &nvml.driver_version, { "nvmlSystemGetDriverVersion" }, true },
		{ &nvml.count, { "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount" }, true },
		{ &nvml.by_index, { "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex" }, true },
		{ &nvml.name, { "nvmlDeviceGetName" }, true },
		{ &nvml.uuid, { "nvmlDeviceGetUUID" }, true },
		{ &nvml.minor, { "nvmlDeviceGetMinorNumber" }, true },
		{ &nvml.memory, { "nvmlDeviceGetMemoryInfo" }, true },
		{ &nvml.pci, { "nvmlDeviceGetPciInfo_v3" }, true },
		{ &nvml.mig_mode, { "nvmlDeviceGetMigMode" }, false },
		{ &nvml.mig_count, { "nvmlDeviceGetMaxMigDeviceCount" }, false },
		{ &nvml.mig_by_index, { "nvmlDeviceGetMigDeviceHandleByIndex" }, false },
		{ &nvml.link_state, { "nvmlDeviceGetNvLinkState" }, false },
		{ &nvml.link_pci, { "nvmlDeviceGetNvLinkRemotePciInfo_v2" }, false },
		{ &nvml.compute, { "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2" }, false },
		{ &nvml.graphics, { "nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2" }, false },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		void *symbol = NULL;

		for (size_t k = 0; !symbol && wanted[i].names[k]; k++)
			symbol = dlsym(library, wanted[i].names[k]);
		if (!symbol && wanted[i].needed) {
			char text[160];

			snprintf(text, sizeof(text), "the library is too old: it has no %s", wanted[i].names[0]);
			fail("other", text);
		}
		memcpy(wanted[i].place, &symbol, sizeof(symbol));
	}
	if (!nvml.compute) {
		void *symbol = dlsym(library, "nvmlDeviceGetComputeRunningProcesses");

		memcpy(&nvml.compute, &symbol, sizeof(symbol));
		nvml.processes_v1 = symbol != NULL;
	}
}

static void library_open(const char *name)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	int status;

	if (!library)
		fail("absent", dlerror());
	symbols_load(library);
	status = nvml.init();
	if (status == SUCCESS)
		return;
	fail(status == MISMATCH ? "mismatch" : status == DRIVER_NOT_LOADED ? "driver" : status == NO_PERMISSION ? "permission" : "other", nvml.error_string(status));
}

/* Cards */

static void print_links(device_t card)
{
	bool first = true;

	printf(", \"links\": [");
	for (unsigned link = 0; nvml.link_state && nvml.link_pci && link < LINKS_MAX; link++) {
		struct pci other;
		unsigned active = 0;

		memset(&other, 0, sizeof(other));
		if (nvml.link_state(card, link, &active) != SUCCESS || !active || nvml.link_pci(card, link, &other) != SUCCESS)
			continue;
		other.bus_id[sizeof(other.bus_id) - 1] = '\0';
		printf(first ? "" : ", ");
		print_text(other.bus_id);
		first = false;
	}
	printf("]");
}

/* The same words for a card and for a part of one; false: it does not answer, and nothing was printed. */
static bool print_what(device_t device, int *ret_status)
{
	char uuid[TEXT] = "", name[TEXT] = "";
	struct memory memory = { 0 };

	if ((*ret_status = nvml.uuid(device, uuid, sizeof(uuid))) != SUCCESS || (*ret_status = nvml.name(device, name, sizeof(name))) != SUCCESS ||
	    (*ret_status = nvml.memory(device, &memory)) != SUCCESS)
		return false;
	uuid[TEXT - 1] = name[TEXT - 1] = '\0';
	printf("\"uuid\": ");
	print_text(uuid);
	printf(", \"model\": ");
	print_text(name);
	printf(", \"memory\": %llu, \"free\": %llu", (unsigned long long)memory.total, (unsigned long long)memory.free);
	return true;
}

static void print_parts(device_t card)
{
	unsigned current = 0, pending = 0, n = 0;
	bool has = nvml.mig_mode && nvml.mig_mode(card, &current, &pending) == SUCCESS, first = true;

	printf(", \"mig\": \"%s\", \"parts\": [", !has ? "none" : current ? "on" : "off");
	if (has && current && nvml.mig_count && nvml.mig_by_index && nvml.mig_count(card, &n) == SUCCESS)
		for (unsigned i = 0; i < n && i < PARTS_MAX; i++) {
			device_t part;
			int ignored;

			if (nvml.mig_by_index(card, i, &part) != SUCCESS)
				continue;	/* fewer than there can be */
			printf(first ? "{" : ", {");
			print_what(part, &ignored);
			printf("}");
			first = false;
		}
	printf("]");
}

static void print_processes(device_t card)
{
	static struct process found[PROCESSES_MAX];
	const processes_call calls[] = { nvml.compute, nvml.graphics };
	bool first = true;

	printf(", \"processes\": [");
	for (size_t c = 0; c < 2; c++) {
		unsigned n = PROCESSES_MAX;

		if (!calls[c] || calls[c](card, &n, found) != SUCCESS)
			continue;
		for (unsigned i = 0; i < n && i < PROCESSES_MAX; i++) {
			const struct process_v1 *old = &((const struct process_v1 *)(const void *)found)[i];
			unsigned pid = nvml.processes_v1 ? old->pid : found[i].pid;
			uint64_t memory = nvml.processes_v1 ? old->memory : found[i].memory;

			printf("%s{\"pid\": %u, \"memory\": ", first ? "" : ", ", pid);
			if (memory == UNKNOWN_MEMORY)
				printf("null}");
			else
				printf("%llu}", (unsigned long long)memory);
			first = false;
		}
	}
	printf("]");
}

static void print_card(unsigned index)
{
	device_t card;
	unsigned minor = index;
	struct pci pci;
	int status;

	memset(&pci, 0, sizeof(pci));
	printf("%s{\"index\": %u", index ? ",\n " : "", index);
	if ((status = nvml.by_index(index, &card)) == SUCCESS && (status = nvml.pci(card, &pci)) == SUCCESS && (status = nvml.minor(card, &minor)) == SUCCESS) {
		pci.bus_id[sizeof(pci.bus_id) - 1] = '\0';
		printf(", \"minor\": %u, \"pci\": ", minor);
		print_text(pci.bus_id);
		printf(", ");
		if (print_what(card, &status)) {
			print_parts(card);
			print_links(card);
			print_processes(card);
			printf("}");
			return;
		}
	} else {
		printf(", ");
	}
	printf("\"error\": ");
	print_text(nvml.error_string(status));
	printf("}");
}

int main(int argc, char **argv)
{
	char driver[TEXT] = "";
	unsigned n = 0;
	int status;

	library_open(argc > 1 ? argv[1] : "libnvidia-ml.so.1");
	status = nvml.count(&n);
	if (status != SUCCESS)
		fail("other", nvml.error_string(status));
	nvml.driver_version(driver, sizeof(driver));
	driver[TEXT - 1] = '\0';
	printf("{\"driver\": ");
	print_text(driver);
	printf(", \"cards\": [");
	for (unsigned i = 0; i < n && i < CARDS_MAX; i++)
		print_card(i);
	puts("]}");
	nvml.shutdown();
	return fflush(stdout) ? 2 : 0;
}
