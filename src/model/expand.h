/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_EXPAND_H
#define INSULA_MODEL_EXPAND_H

#include "decisions.h"
#include "world.h"

/*
 * Intent to ground: instances with their endpoints and ports, a link for each tenant below the
 * uplink, the policies that the words of the file mean, publications. Pure.
 *
 * The meaning of `network` (docs/architecture.md, "Who may reach whom"):
 *   same tenant            everything is allowed
 *   from: {tenant: a}      a's instances may reach ours on these ports; the receiver's word suffices
 *   to: {tenant: b}        a statement of intent; opens nothing unless b says `from` (a note says so)
 *   to: {internet: true}   public addresses on these ports; never private ranges, never link-local
 *   to: {cidr: ...}        these addresses; link-local and metadata are refused in the file
 *   hosts and gateways     denied, but for the resolver (udp/53, tcp/53 of the own gateway) and echo requests to the own gateway
 *   publish                whoever reaches the host's address reaches the service's port; instances do not reach hosts
 *
 * Policies, for each tenant: tier 0 "T wall" (egress: its gateway's resolver and echo allowed, then metadata addresses,
 * hosts and gateways denied), tier 1 "T in" and "T out", which isolate; for each published service tier 1
 * "T/S published", for hosts and for what lies outside of the pool. `from` on the receiver allows at both ends.
 * A `cidr` never means addresses of the pool: who is in there is told by tenant.
 *
 * Endpoints: "host/NODE" (with its end of the uplink, the first address of it), "outside", "T/gateway", "T/W/N". Links:
 * "uplink" is the first of world->links, "T/network" follow in the order of names. MACs follow from the addresses.
 */
int world_expand(const struct intent *intent, const struct survey *survey, const json_t *decisions,
		 struct world *ret, struct error *err) WARN_UNUSED;

#endif
