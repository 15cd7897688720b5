/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_PROBE_H
#define INSULA_SITE_LOCAL_PROBE_H

/*
 * What this machine is and can do. Facts:
 *
 *   "kernel", "boot", "root", "cpus" (thousandths), "memory" (bytes), "systemd", "disk" ("254:0": of the state folder, or absent)
 *   "cgroup"      {"summary", "unified": path or absent, "cpu": 0, 1 or 2, "memory", "pids", "io", ...}
 *   "works"       {"userNamespaces", "overlay", "loop", "nft", "packets", "idmap": bool; "nftError", "packetsError", "idmapError", "runtimeError": why not}: tried, once a boot
 *   "backing"     {"type": "ext4", "shared": over a network, "memory": gone at a reboot, "readOnly", "reserve": bool, absent when it was not tried}: of the state folder
 *   "runtime"     {"name", "path", "version", "reason": why not crun, or absent} or absent
 *   "programs"    {"mke2fs": path, ...}; what is missing is absent
 *   "uplink"      {"link", "mtu", "addresses"} or absent: where the default route leads
 *   "busy"        [{"prefix", "by"}]: what routes and links of others use
 *   "addresses"   [{"address", "link"}]
 *   "resolvers"   ["192.0.2.53"]: what the host itself asks, loopback left out
 *   "busyIds"     [{"base", "count", "by"}]: in the range that tenants' ids are from
 *   "ipForward"   bool
 *   "bridgeFilter" bool: bridged frames meet the firewall of the host (br_netfilter)
 *   "cuts"        [{"text": "chain FORWARD of table ip filter drops ...", "fix"}]: rules of others that can cut the way of tenants to the uplink
 *   "gpus"        {"onBus": cards on the PCI bus, "kernelDriver": line or absent, and what guest/insula-nvml.c tells; processes have "name", "user", "ours" too}
 *   "images"      {reference as written: digest}, "imageErrors" {reference as written: why}
 *   "storage"     {tenant: bytes}, "volumes" {key: bytes or null}: what is there already and never shrinks
 *   "checks"      see plan/site.h
 */

#include "site/local/local.h"

#define LOCAL_IDS_FIRST 1879048192LL	/* 0x70000000; up to 2147352575 systemd's UIDS-GIDS.md leaves uids to nobody */
#define LOCAL_IDS_LAST 2147352575LL
#define LOCAL_IDS_COUNT 65536LL

int local_probe(const struct site_config *config, struct site_facts *ret, struct error *err) WARN_UNUSED;
/* Only what the verbs need, without the network and the images. */
int local_probe_machine(const struct site_config *config, json_t **ret, struct error *err) WARN_UNUSED;
int local_survey(const struct site_facts *facts, struct survey *ret, struct error *err) WARN_UNUSED;

char *probe_path_existing(const char *path);	/* the nearest folder of the path that exists; caller frees */

/* Parts (probe_*.c): each adds its facts. */
void probe_system(const struct site_config *config, json_t *facts);
void probe_backing(const struct site_config *config, json_t *facts);
void probe_gpus(const struct site_config *config, json_t *facts);
void probe_firewalls(const struct site_config *config, json_t *facts);
int probe_works(const struct site_config *config, json_t *facts, struct error *err) WARN_UNUSED;
int probe_network(const struct site_config *config, json_t *facts, struct error *err) WARN_UNUSED;
void probe_storage(const struct site_config *config, json_t *facts);
int probe_ids(const struct site_config *config, json_t *facts, struct error *err) WARN_UNUSED;
void probe_images(const struct site_config *config, json_t *facts);
void probe_checks(const struct site_config *config, json_t *facts);

#endif
