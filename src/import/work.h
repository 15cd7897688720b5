/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_IMPORT_WORK_H
#define INSULA_IMPORT_WORK_H

/*
 * What every format comes to: a list of works, and the notes. The readers fill it, work_write makes our file of it.
 * All strings live in the importer's arena.
 */

#include "base/map.h"
#include "import.h"

struct work_volume { const char *name, *host_path, *mount_path; bool read_only; unsigned line; };
struct work_port { const char *address; int64_t host, port; bool udp; unsigned line; };	/* host 0: not published */
struct work_env { const char *name, *value; };

struct work {
	const char *name;		/* as given; the writer makes a DNS label of it */
	const char *image;		/* our reference */
	VEC(const char *) command;
	VEC(struct work_env) env;
	VEC(struct work_volume) volumes;
	VEC(struct work_port) ports;
	VEC(const char *) gpu_models;
	const char *working_dir, *restart;	/* restart: our word, or NULL */
	int64_t cpu, memory, gpu, time_limit, replicas;	/* milli, bytes, pieces, ms, 0: none */
	bool no_network;
	unsigned line;
};

struct importer {
	struct arena *arena;
	struct import_result *result;
	const struct import_options *options;
	const char *name;
	struct map variables;		/* name to value */
	VEC(struct work *) works;
	bool queue;			/* the works wait for each other's GPUs, as jobs do */
};

void importer_note(struct importer *importer, unsigned line, enum import_effect effect, bool grave, const char *item, const char *format, ...) PRINTF_LIKE(6, 7);
/* A new work, or NULL with a note when there are IMPORT_WORKS_MAX. */
struct work *importer_add(struct importer *importer, unsigned line);
void importer_drop_last(struct importer *importer);
void importer_clear(struct importer *importer);

/* Words that docker run and compose share. Each notes what it cannot take; `item` is the option as it is in the file. */
void work_take_image(struct importer *importer, struct work *work, unsigned line, const char *image);
void work_take_env(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);	/* "NAME=value" or "NAME" */
void work_take_mount(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);	/* "source:target:ro" */
void work_add_mount(struct importer *importer, struct work *work, unsigned line, const char *item, const char *source, const char *target, bool read_only);
void work_take_port(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);	/* "127.0.0.1:80:8080/tcp" */
void work_take_gpus(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);	/* "all", "2", "device=0,1" */
void work_take_memory(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_take_cpus(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_take_restart(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_take_user(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_take_network(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_take_directory(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_refuse_ipc(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);
void work_refuse_security(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);

/* A whole number from low to high; -1 when it is none. */
int64_t import_number(const char *text, int64_t low, int64_t high);

/* Our file of all works. */
void work_write(struct importer *importer, struct buf *ret);

/* The readers, one a format. */
int import_commands(struct importer *importer, const char *text, size_t n, struct error *err) WARN_UNUSED;
int import_compose(struct importer *importer, const char *text, size_t n, struct error *err) WARN_UNUSED;
int import_docker_run(struct importer *importer, const char *text, size_t n, struct error *err) WARN_UNUSED;
int import_slurm(struct importer *importer, const char *text, size_t n, struct error *err) WARN_UNUSED;

#endif
