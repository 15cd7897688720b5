/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_CLI_SESSION_H
#define INSULA_CLI_SESSION_H

/* What most commands begin with: reading the file, saying what is wrong with it, opening the deployment. */

#include "command.h"
#include "model/spec.h"
#include "output.h"
#include "plan/deployment.h"

struct session {
	struct cli *cli;
	struct intent intent;
	bool has_intent;	/* a file was read; otherwise deployment.intent is what was last applied, or NULL */
	json_t *files;		/* its texts */
	struct deployment deployment;
	bool open;
};

extern const struct site_ops *const session_sites[];	/* NULL-ended */

/* Reads the files named by the operands (default: insula.yaml, if it is there); prints every finding. */
int session_read(struct session *session, struct cli *cli, struct error *err) WARN_UNUSED;
/* Which deployment when no file says so: --deployment, else the only one in the state folder, else "local". */
int session_name(struct cli *cli, char **ret, struct error *err) WARN_UNUSED;
/* Opens the deployment of the file that was read, or by session_name. */
int session_open(struct session *session, struct cli *cli, bool write, bool offline, struct error *err) WARN_UNUSED;
/* Intent from texts: [{"name": ..., "text": ...}]. */
int session_parse(struct session *session, const json_t *files, struct error *err) WARN_UNUSED;
/* Is there such a tenant in what was applied? ERROR_INPUT names the nearest. True too when that file no longer reads. */
int session_tenant(struct session *session, const char *name, struct error *err) WARN_UNUSED;
void session_close(struct session *session);
#define autosession CLEANUP(session_close)

/* "vision/train/0", "vision/train" (its only or first replica), "train" (when only one tenant has it): the whole key of a live instance. */
int session_instance(struct session *session, const char *name, char **ret, struct error *err) WARN_UNUSED;

#endif
