/* SPDX-License-Identifier: Apache-2.0 */
#include "capacity.h"

/* The sum of one amount over all; those that are not given add nothing. Saturates: it is only compared. */
static int64_t sum_add(int64_t sum, int64_t amount)
{
	if (amount == AMOUNT_NONE || amount <= 0)
		return sum;
	return sum > INT64_MAX - amount ? INT64_MAX : sum + amount;
}

static const struct tenant *largest_memory(const struct intent *intent)
{
	const struct tenant *largest = NULL;

	vec_each(&intent->tenants, tenant)
		if (tenant->quota.memory != AMOUNT_NONE && (!largest || tenant->quota.memory > largest->quota.memory))
			largest = tenant;
	return largest;
}

static int memory_refuse(const struct intent *intent, int64_t promised, int64_t there, struct error *err)
{
	const struct tenant *largest = largest_memory(intent);

	error_set(err, ERROR_CAPACITY, "the tenants are guaranteed %lld MiB of memory together, and this machine has %lld MiB for them", (long long)(promised >> 20),
		  (long long)(there >> 20));
	return error_hint(err, "lower quota.memory; the largest is %s's (%s:%u), with %lld MiB", largest->name, largest->mark.file, largest->mark.line,
			  (long long)(largest->quota.memory >> 20));
}

int capacity_check(const struct intent *intent, const struct survey *survey, json_t *notes, struct error *err)
{
	int64_t cpu = 0, memory = 0, cpu_there = 0, memory_there = 0;

	vec_each(&survey->nodes, node) {
		cpu_there = sum_add(cpu_there, node->cpu);
		memory_there = sum_add(memory_there, node->memory);
	}
	vec_each(&intent->tenants, tenant) {
		cpu = sum_add(cpu, tenant->quota.cpu);
		memory = sum_add(memory, tenant->quota.memory);
	}
	if (memory_there > 0 && memory > memory_there)
		return memory_refuse(intent, memory, memory_there, err);
	if (cpu_there > 0 && cpu > cpu_there)
		json_array_append_new(notes, json_sprintf("the tenants' quota.cpu together is %lld.%03lld cores and there are %lld.%03lld: when all are busy, "
							  "each gets %lld %% of its quota",
							  (long long)(cpu / 1000), (long long)(cpu % 1000), (long long)(cpu_there / 1000),
							  (long long)(cpu_there % 1000), (long long)(cpu_there * 100 / cpu)));
	return 0;
}
