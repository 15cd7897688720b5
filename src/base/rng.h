/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_BASE_RNG_H
#define INSULA_BASE_RNG_H

/* Randomness as a parameter: the same seed gives the same numbers on every machine (xoshiro256**, seeded by splitmix64; Blackman and Vigna, 2018). Not for secrets: rng_secret is. */

#include "base.h"

struct rng { uint64_t s[4]; };

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t n);	/* 0 .. n-1 without bias; n > 0 */
double rng_double(struct rng *rng);			/* [0, 1) */
int rng_secret(void *data, size_t n, struct error *err) WARN_UNUSED;	/* getrandom(2) */

#endif
