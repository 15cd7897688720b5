/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: from each tenant's instance a question about a workload of each tenant and about a foreign name. The answer must
 * follow who may reach whom. A tenant with egress is not asked for a foreign name: the question would leave the machine.
 */
#include "prove_internal.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUESTION_MAX 300
#define TRIES 4
#define WAIT_MS 400

struct question {
	uint32_t subject, row;
	char name[256];
	bool answered, found;
	uint8_t code;			/* RCODE, RFC 1035 */
};
struct asking {
	struct scene *scene;
	VEC(struct question) questions;
	VEC(int) sockets;		/* one a subject, -1: none */
};

static const char *label(const struct endpoint *endpoint, const char *key)
{
	for (size_t i = 0; i < endpoint->labels.n; i++)
		if (streq(endpoint->labels.items[i].key, key))
			return endpoint->labels.items[i].value;
	return NULL;
}

/* May a reach anything of b? The ports that are spoken of, one that is not, and echo requests. */
static bool may_see(const struct scene *scene, const struct subject *a, const struct subject *b)
{
	struct packet packet = { .family = AF_INET, .from = a->endpoints[0], .to = b->endpoints[0], .protocol = PROTOCOL_ICMP };

	if (a == b || reach_evaluate(scene->world, &packet).allowed)
		return true;
	vec_each(&scene->hints, h) {
		packet.protocol = h->protocol;
		packet.port = h->port;
		if (reach_evaluate(scene->world, &packet).allowed)
			return true;
	}
	return false;
}

static bool has_egress(const struct scene *scene, const struct subject *s)
{
	const struct world *world = scene->world;
	const struct address *own = reach_address_of(world, s->endpoints[0], AF_INET);

	vec_each(&world->policies, policy)
		for (size_t r = 0; policy->direction == DIRECTION_EGRESS && selector_matches(world, &policy->applies, s->endpoints[0], own) && r < policy->rule_n; r++)
			for (size_t k = 0; policy->rules[r].action == ACTION_ALLOW && k < policy->rules[r].peer_n; k++) {
				const struct selector *peer = &policy->rules[r].peers[k];
				bool to_own_gateway = peer->kind == SELECT_PREFIX && prefix_contains(&peer->prefix, &s->gateway_address) && peer->prefix.length == 32;
				if (peer->kind == SELECT_ALL || peer->kind == SELECT_INTERNET || (peer->kind == SELECT_PREFIX && !to_own_gateway))
					return true;
			}
	return false;
}

static void add_question(struct asking *asking, uint32_t subject, const char *name, bool expected, const char *reason, const char *to_tenant)
{
	struct scene *scene = asking->scene;
	const struct subject *s = &scene->subjects.items[subject];
	struct prove_row *row = prove_add_row(scene, PROVE_NAMES, prove_endpoint_name(scene, s->endpoints[0]), s->tenant, name, to_tenant);
	struct question *q = vec_add(&asking->questions);

	row->protocol = "name";
	row->expected = expected;
	row->reason = reason;
	q->subject = subject;
	q->row = (uint32_t)scene->report->rows.n - 1;
	snprintf(q->name, sizeof(q->name), "%s", name);
}

static void add_questions(struct asking *asking)
{
	struct scene *scene = asking->scene;

	for (uint32_t i = 0; i < scene->subjects.n; i++) {
		const struct subject *s = &scene->subjects.items[i];
		struct packet packet = { .family = AF_INET, .from = s->endpoints[0], .to = s->gateway, .destination = s->gateway_address, .protocol = PROTOCOL_UDP, .port = 53 };

		if (!s->gateway_address.family || !reach_evaluate(scene->world, &packet).allowed) {
			prove_skip(scene, s->tenant, "no resolver is open to it: names are not proven");
			continue;
		}
		vec_each(&scene->subjects, other) {
			const char *workload = label(&scene->world->endpoints.items[other->endpoints[0]], "workload");
			bool visible = may_see(scene, s, other);

			if (workload)
				add_question(asking, i, prove_print(scene, "%s.%s.insula", workload, other->tenant), visible,
					     visible ? "found: names are known along declared flows" : "unknown: no flow leads there", other->tenant);
		}
		if (has_egress(scene, s))
			prove_skip(scene, s->tenant, "foreign names are not asked for: it has egress, and the question would leave the machine");
		else
			add_question(asking, i, "example.org", false, "unknown: foreign names are for tenants with egress", NULL);
	}
}

/* A question for the A record, its number as the id, recursion desired. */
static size_t build_question(const struct question *q, uint16_t id, uint8_t *into)
{
	size_t n = 12;

	memset(into, 0, 12);
	into[0] = (uint8_t)(id >> 8);
	into[1] = (uint8_t)id;
	into[2] = 1;
	into[5] = 1;
	for (const char *at = q->name; *at;) {
		size_t length = strcspn(at, ".");

		if (length == 0 || length > 63 || n + length + 6 > QUESTION_MAX)
			return 0;
		into[n++] = (uint8_t)length;
		memcpy(into + n, at, length);
		n += length;
		at += length + (at[length] == '.');
	}
	memcpy(into + n, "\0\0\1\0\1", 5);
	return n + 5;
}

static int open_socket(void *arg, struct error *err)
{
	int *fd = arg;

	*fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return *fd < 0 ? error_set_errno(err, errno, "cannot open a socket") : 0;
}

static int open_sockets(struct asking *asking, struct error *err)
{
	struct scene *scene = asking->scene;

	vec_each(&scene->subjects, s) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
		int fd = -1;

		if (netns_call(scene->wire.taps.items[s->taps[0]].netns, open_socket, &fd, err) < 0)
			return -1;
		vec_push(&asking->sockets, fd);
		memcpy(&to.sin_addr, s->gateway_address.bytes, 4);
		if (s->gateway_address.family && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			continue;	/* no route: then nothing can be sent either, and no answer is what is seen */
	}
	return 0;
}

static void receive(struct asking *asking, uint32_t subject)
{
	uint8_t answer[512];
	ssize_t n;

	while ((n = recv(asking->sockets.items[subject], answer, sizeof(answer), MSG_DONTWAIT)) >= 12 || (n < 0 && errno == ECONNREFUSED)) {
		size_t id = n < 0 ? SIZE_MAX : (size_t)(answer[0] << 8 | answer[1]);

		if (id >= asking->questions.n || asking->questions.items[id].subject != subject || !(answer[2] & 0x80))
			continue;
		struct question *q = &asking->questions.items[id];
		q->answered = true;
		q->code = answer[3] & 15;
		q->found = q->code == 0 && (answer[6] || answer[7]);
	}
}

static void ask(struct asking *asking)
{
	autofree struct pollfd *fds = xcalloc(MAX(asking->sockets.n, 1), sizeof(*fds));

	for (uint32_t i = 0; i < asking->sockets.n; i++)
		fds[i] = (struct pollfd){ .fd = asking->sockets.items[i], .events = POLLIN };
	for (int try = 0; try < TRIES; try++) {
		bool open = false;

		for (size_t i = 0; i < asking->questions.n && i <= UINT16_MAX; i++) {
			uint8_t message[QUESTION_MAX];
			size_t n = asking->questions.items[i].answered ? 0 : build_question(&asking->questions.items[i], (uint16_t)i, message);

			open |= n > 0;
			if (n > 0 && send(asking->sockets.items[asking->questions.items[i].subject], message, n, 0) < 0)
				continue;	/* no answer will tell */
		}
		int64_t until = clock_monotonic_ns(&clock_system) + WAIT_MS * INT64_C(1000000);
		for (int64_t now; open && (now = clock_monotonic_ns(&clock_system)) < until;) {
			if (poll(fds, asking->sockets.n, (int)((until - now) / 1000000) + 1) <= 0)
				continue;
			for (uint32_t i = 0; i < asking->sockets.n; i++)
				if (fds[i].revents)
					receive(asking, i);
			open = false;
			vec_each(&asking->questions, q)
				open |= !q->answered;
		}
	}
}

int prove_names(struct scene *scene, struct error *err)
{
	struct asking asking = { .scene = scene };

	add_questions(&asking);
	int r = open_sockets(&asking, err);
	if (r == 0) {
		ask(&asking);
		vec_each(&asking.questions, q)
			prove_finish_row(&scene->report->rows.items[q->row], q->found,
					 q->found ? "found" : q->answered ? prove_print(scene, "answered with code %u", q->code) : "no answer");
	}
	vec_each(&asking.sockets, fd)
		cleanup_fd(fd);
	vec_clear(&asking.sockets);
	vec_clear(&asking.questions);
	return r;
}
